# SPDX-License-Identifier: Apache-2.0
"""Which addresses of devices can be mapped: the iova list of vfio_iommu_type1.c, 6.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.drivers.vfio.group import VfioGroup

#: Reserved only while the kernel's own drivers need it.
_RELAXABLE = "direct-relaxable"


def valid_ranges(groups: list[VfioGroup]) -> list[tuple[int, int]]:
    """First and last address of what all groups have, without what any of them reserves
    (vfio_iommu_aper_resize, vfio_iommu_resv_exclude)."""
    iommu_groups = [group.iommu_group for group in groups if group.iommu_group is not None]
    width = min(group.capabilities.address_width for group in iommu_groups)
    ranges = [(0, (1 << width) - 1)]
    for group in iommu_groups:
        for start, last, kind in group.reserved_regions:
            if kind != _RELAXABLE:
                ranges = [part for whole in ranges for part in _without(whole, start, last)]
    return ranges


def _without(whole: tuple[int, int], start: int, last: int) -> list[tuple[int, int]]:
    low, high = whole
    if last < low or start > high:
        return [whole]
    parts = [(low, start - 1), (last + 1, high)]
    return [(first, final) for first, final in parts if first <= final]
