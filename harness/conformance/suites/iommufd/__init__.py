# SPDX-License-Identifier: Apache-2.0
"""iommufd: /dev/iommu, and devices of VFIO by nodes of their own (drivers/iommu/iommufd).

The machine is qemu-q35; the kernels are those of our own configuration, +iommufd.
"""
