# SPDX-License-Identifier: Apache-2.0
"""What a mount does besides showing /sys and /dev; nothing unless it is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen
class MountOptions:
    """``uevents``: programs are in a network of their own, where the machine's uevents arrive.

    ``udevd``: the host's systemd-udevd runs in the machine, too, and hears of them.
    ``system``: uname, modprobe and files of /proc are about the machine's kernel.
    ``char_devices``: the machine's devices pass for character devices to stat(2) and the like, as
    they do in any case where their numbers matter (``Watched.known_by_number``).
    """

    uevents: bool = False
    udevd: bool = False
    char_devices: bool = False
    system: bool = False

    @property
    def network(self) -> bool:
        """Whether programs have a network of their own."""
        return self.uevents or self.udevd

    @property
    def surroundings(self) -> bool:
        """Whether there is more to be arranged than /sys and /dev."""
        return self.udevd or self.system

    @property
    def devices(self) -> bool:
        """Whether devices pass for character devices; udevd passes over what is none."""
        return self.char_devices or self.udevd

    @classmethod
    def of(cls, names: Iterable[str]) -> MountOptions:
        """Those of these names are wanted."""
        return cls(**dict.fromkeys(names, True))


#: Only /sys and /dev.
PLAIN = MountOptions()
