# SPDX-License-Identifier: Apache-2.0
"""Capability chains behind an info structure (vfio_info_cap_add and _shift, vfio_main.c, 6.1)."""

from __future__ import annotations

from ctypes import LittleEndianStructure

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
