# SPDX-License-Identifier: Apache-2.0
"""The capability registers of an Intel IOMMU (VT-d specification, 10.4.2 and 10.4.3).

What a machine does not say of its IOMMU is as in the one that QEMU 7.2 emulates with caching mode
and interrupt remapping. Modes with PASIDs are not in these registers.
"""

from __future__ import annotations

#: Number of domains, caching mode, offset of the fault register, invalidation of single pages, how
#: many of them at once, draining of writes and of reads.
_CAPABILITIES = 6 | 1 << 7 | 0x22 << 24 | 1 << 39 | 0x12 << 48 | 1 << 54 | 1 << 55
#: Queued invalidation, interrupt remapping, pass-through, offset of the IOTLB register, largest
#: handle mask.
_EXTENDED = 1 << 1 | 1 << 3 | 1 << 6 | 0xF << 8 | 0xF << 20
_DEVICE_IOTLB = 1 << 2
_SNOOP_CONTROL = 1 << 7
#: Bits for the numbers of levels that page tables can have, by the largest width of an address.
_LEVELS = {39: 0b10, 48: 0b110, 57: 0b1110}


def capability(address_width: int, page_sizes: int) -> int:
    """The capability register. ``address_width`` in bits; ``page_sizes`` has a bit for each."""
    width = _LEVELS[address_width] << 8 | address_width - 1 << 16
    large = (page_sizes >> 21 & 1 | page_sizes >> 30 << 1 & 2) << 34
    return _CAPABILITIES | width | large


def extended_capability(*, snoop_control: bool, device_iotlb: bool) -> int:
    """The extended capability register; ``device_iotlb`` says that it takes ATS."""
    return (
        _EXTENDED
        | (_SNOOP_CONTROL if snoop_control else 0)
        | (_DEVICE_IOTLB if device_iotlb else 0)
    )
