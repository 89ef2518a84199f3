# SPDX-License-Identifier: Apache-2.0
"""Capability chains behind an info structure (vfio_info_cap_add and _shift, vfio_main.c, 6.1)."""

from __future__ import annotations

from ctypes import LittleEndianStructure

from harness.drivers.vfio.user import copy_out
from harness.kernel.task import Caller
from harness.uapi import vfio as u


class InfoCaps:
    """Capabilities that are being collected (struct vfio_info_cap).

    ``align`` is what the size of each is rounded up to: 1 before 6.6, then 8.
    """

    def __init__(self, align: int) -> None:
        self._align = align
        self._capabilities: list[bytes] = []

    def add(self, capability: LittleEndianStructure, data: bytes = b"") -> None:
        """One more, with ``data`` behind it; its header has id and version."""
        content = bytes(capability) + data
        self._capabilities.append(content + bytes(-len(content) % self._align))

    @property
    def size(self) -> int:
        """Of all, in bytes."""
        return sum(map(len, self._capabilities))

    def chain(self, offset: int) -> bytes:
        """All, linked, for a place that is ``offset`` from the start of the info structure."""
        chained = b""
        for number, content in enumerate(self._capabilities):
            header = u.InfoCapHeader.from_buffer_copy(content)
            is_last = number == len(self._capabilities) - 1
            header.next = 0 if is_last else offset + len(chained) + len(content)
            chained += bytes(header) + content[len(bytes(header)) :]
        return chained


def put_region_info(caller: Caller, address: int, info: u.RegionInfo, caps: InfoCaps) -> None:
    """Write what is known of a region, and its capabilities if the caller has room for them; who
    has not is told how much it takes (vfio_get_region_info, vfio_main.c, 6.19; before that
    vfio_pci_ioctl_get_region_info)."""
    if caps.size:
        info.flags |= u.VFIO_REGION_INFO_FLAG_CAPS
        start = u.offsetofend(u.RegionInfo, "offset")
        if info.argsz < start + caps.size:
            info.argsz, info.cap_offset = start + caps.size, 0
        else:
            caller.copy_to_user(address + start, caps.chain(start))
            info.cap_offset = start
    copy_out(caller, address, info)
