# SPDX-License-Identifier: Apache-2.0
"""What tables of commands of ioctl(2) are made of: which constants an argument holds, and where.

A table says what no ctypes structure says: of which field a flag is, and whether the program sets
it or the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import LittleEndianStructure
from types import ModuleType
from typing import Any

from attrs import Factory, frozen


@frozen
class Constants:
    """What a field can hold, by name.

    ``bits`` are or-ed together; of ``values`` it holds one, in the bits of ``mask``.
    """

    bits: Mapping[str, int] = Factory(dict)
    values: Mapping[str, int] = Factory(dict)
    mask: int = -1


Fields = Mapping[str, Constants]


@frozen
class Part:
    """A structure: the fields with constants that the program sets (``passed``), and those that
    the kernel sets if the call succeeds (``given``)."""

    structure: type[LittleEndianStructure]
    passed: Fields = Factory(dict)
    given: Fields = Factory(dict)


#: What a constant tells to follow, if it is more than the constant; with its number.
Parts = Mapping[str, tuple[int, Part | None]]


@frozen
class Chain:
    """Capabilities behind a structure, each of which tells where the next one is.

    ``structure`` has the field ``cap_offset``, and is there if the program's ``argsz`` says so; a
    number in ``parts`` is the ``id`` of a capability.
    """

    structure: type[LittleEndianStructure]
    parts: Parts


@frozen
class Payload:
    """What follows a structure: the bits ``mask`` of its field ``flags`` are a number in ``parts``.

    It is passed if the flag ``passed`` is set, given if ``given`` is, not there if ``probe`` is.
    """

    mask: int
    passed: int
    given: int
    probe: int
    parts: Parts


@frozen
class Command:
    """A command. Without a ``part``, its argument is a number, a string, or nothing at all.

    ``argument`` and ``result`` are what the argument itself and the call's result can be.
    """

    name: str
    number: int
    part: Part | None = None
    argument: Constants = Constants()
    result: Constants = Constants()
    chain: Chain | None = None
    payload: Payload | None = None


Table = Mapping[int, Command]


def table(*commands: Command) -> Table:
    """The commands by number."""
    return {command.number: command for command in commands}


@frozen
class Names:
    """Makes parts of a table out of the constants of ``module``, by their names."""

    module: ModuleType

    def named(self, *names: str) -> dict[str, int]:
        """The constants."""
        return {name: getattr(self.module, name) for name in names}

    def bits(self, *names: str) -> Constants:
        """Those of which a field can hold several."""
        return Constants(bits=self.named(*names))

    def values(self, *names: str) -> Constants:
        """Those of which a field holds one."""
        return Constants(values=self.named(*names))

    def parts(self, parts: Mapping[str, Part | None]) -> Parts:
        """What these constants tell to follow."""
        return {name: (getattr(self.module, name), part) for name, part in parts.items()}

    def command(self, name: str, part: Part | None = None, **more: Any) -> Command:
        """The command; ``more`` as :class:`Command` has it."""
        return Command(name, getattr(self.module, name), part, **more)
