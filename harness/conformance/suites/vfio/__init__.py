# SPDX-License-Identifier: Apache-2.0
"""VFIO before any device: containers, groups and mapped memory (drivers/vfio).

The machine is qemu-q35: edu, e1000e and nvme are each alone in their IOMMU groups; behind a bridge
a second edu and pci-testdev share the group of the bridge.
"""
