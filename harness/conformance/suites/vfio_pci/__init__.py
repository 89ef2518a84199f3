# SPDX-License-Identifier: Apache-2.0
"""A PCI function in a program's hands: the driver vfio-pci (drivers/vfio/pci).

The machine is qemu-q35: edu (one MSI, no reset, 256 bytes of configuration space), nvme (65 vectors
of MSI-X, function level reset) and e1000e (MSI, 5 vectors, I/O ports, a ROM), each alone in its
IOMMU group; behind a bridge a second edu and pci-testdev in one group.
"""
