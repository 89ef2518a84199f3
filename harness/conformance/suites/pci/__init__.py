# SPDX-License-Identifier: Apache-2.0
"""The PCI bus: functions' files, drivers, IOMMU groups, slots, and what vfio-pci makes appear."""
