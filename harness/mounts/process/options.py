# SPDX-License-Identifier: Apache-2.0
"""What a mount does besides showing /sys and /dev; nothing unless it is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen
class MountOptions:
    """``uevents``: programs are in a network of their own, where the machine's uevents arrive."""

    uevents: bool = False

    @classmethod
    def of(cls, names: Iterable[str]) -> MountOptions:
        """Those of these names are wanted."""
        return cls(**dict.fromkeys(names, True))


#: Only /sys and /dev.
PLAIN = MountOptions()
