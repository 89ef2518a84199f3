# SPDX-License-Identifier: Apache-2.0
"""What programs do with a machine's files that not every kind of mount hears of by itself."""

from __future__ import annotations

from attrs import frozen


@frozen
class Watched:
    """What the files of some modules ask for: a mount has to watch programs for it.

    ``fd_commands`` are commands of ioctl that make an fd (:mod:`harness.uapi.fd_commands`),
    ``maps_files`` says that there can be files that programs map, ``unpollable`` that there can be
    some without a poll method, and ``known_by_number`` that programs tell devices by the numbers of
    their nodes, so that stat must show them.
    """

    fd_commands: frozenset[int] = frozenset()
    maps_files: bool = False
    unpollable: bool = False
    known_by_number: bool = False

    def __or__(self, other: Watched) -> Watched:
        return Watched(
            self.fd_commands | other.fd_commands,
            self.maps_files or other.maps_files,
            self.unpollable or other.unpollable,
            self.known_by_number or other.known_by_number,
        )
