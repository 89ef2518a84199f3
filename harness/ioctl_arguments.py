# SPDX-License-Identifier: Apache-2.0
"""Which constants an ioctl carried: those that the program passed, and those that it was given.

The tables in :mod:`harness.uapi.vfio_commands` and its like say where they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ctypes import LittleEndianStructure, sizeof

from harness.kernel.anon_inode import PREFIX
from harness.kernel.errors import Errno
from harness.kernel.task import AddressSpace
from harness.kernel.trace import Event
from harness.uapi.commands import Chain, Command, Constants, Fields, Part, Parts, Payload, Table
from harness.uapi.iommufd_commands import IOMMUFD
from harness.uapi.vfio import InfoCapHeader, offsetofend
from harness.uapi.vfio_commands import CONTAINER, DEVICE, GROUP, MIGRATION

#: The commands of files by how their paths begin; an iommufd takes a container's, too.
_FILES: tuple[tuple[str, Table], ...] = (
    ("/dev/vfio/vfio", CONTAINER),
    ("/dev/vfio/devices/", DEVICE),
    ("/dev/vfio/", GROUP),
    ("/dev/iommu", {**IOMMUFD, **CONTAINER}),
    (f"{PREFIX}[vfio-device]", DEVICE),
    (PREFIX, MIGRATION),
)


def _table(path: str) -> Table:
    return next((table for start, table in _FILES if path.startswith(start)), {})


def command_of(path: str, number: int) -> Command | None:
    """The command to the file ``path``, which may be one without a name; None for none we know."""
    return _table(path).get(number)


def is_vfio_device(path: str) -> bool:
    """Whether the file is a device's, with its regions in it."""
    return _table(path) is DEVICE


def carriers() -> dict[str, set[str]]:
    """By structure (its name in C): the commands, and constants in commands, that come with it."""
    found: dict[str, set[str]] = defaultdict(set)
    for command in (command for _, table in _FILES for command in table.values()):
        if command.part is not None:
            found[str(command.part.structure.c_name)].add(command.name)
        for follows in (command.chain, command.payload):
            for name, (_, part) in follows.parts.items() if follows is not None else ():
                if part is not None:
                    found[str(part.structure.c_name)].add(name)
        for name in command.chain.parts if command.chain is not None else ():
            found[InfoCapHeader.c_name].add(name)
    return found


def names(constants: Constants, value: int) -> Iterator[str]:
    """Which of the constants a field holds."""
    yield from (name for name, bits in constants.bits.items() if value & bits == bits)
    held = value & constants.mask
    yield from (name for name, number in constants.values.items() if held == number)


def _held(fields: Fields, structure: LittleEndianStructure) -> Iterator[str]:
    for field, constants in fields.items():
        yield from names(constants, getattr(structure, field))


def exchange_of(event: Event) -> Exchange | None:
    """The call that is about to be made; None for what is no command that we know."""
    if event.operation != "ioctl" or event.memory is None:
        return None
    number, argument = event.arguments
    command = command_of(event.object, number)
    if command is None:
        return None
    try:
        return Exchange(command, event.memory(), argument)
    except Errno:
        return None  # the program has gone


class Exchange:
    """One call of a ``command``, made before the kernel answers it.

    ``passed`` are the constants in its argument. Memory that cannot be read holds none.
    """

    def __init__(self, command: Command, memory: AddressSpace, argument: int) -> None:
        self.command, self._memory, self._argument = command, memory, argument
        part = command.part
        self._request = self._read(part.structure, argument) if part is not None else None
        self.passed = set(self._passed())

    def _read(
        self, kind: type[LittleEndianStructure], address: int
    ) -> LittleEndianStructure | None:
        try:
            return kind.from_buffer_copy(self._memory.read(address, sizeof(kind)))
        except Errno:
            return None

    def _passed(self) -> Iterator[str]:
        command = self.command
        yield from names(command.argument, self._argument)
        if command.part is None or self._request is None:
            return
        yield from _held(command.part.passed, self._request)
        if command.payload is not None:
            name, part = self._told(command.payload)
            yield from (name,) if name is not None else ()
            if part is not None and self._has_payload(command.payload, command.payload.passed):
                yield from self._at(self._behind(command.part), part, part.passed)

    def given(self, result: object) -> set[str]:
        """The constants in the answer of a call that has succeeded with ``result``."""
        return set(self._given(result))

    def _given(self, result: object) -> Iterator[str]:
        command = self.command
        if isinstance(result, int):
            yield from names(command.result, result)
        if command.part is None or self._request is None:
            return
        yield from self._at(self._argument, command.part, command.part.given)
        if command.chain is not None:
            yield from self._chained(command.chain)
        if command.payload is not None:
            _, part = self._told(command.payload)
            if part is not None and self._has_payload(command.payload, command.payload.given):
                yield from self._at(self._behind(command.part), part, part.given)

    def _at(self, address: int, part: Part, fields: Fields) -> Iterator[str]:
        structure = self._read(part.structure, address) if fields else None
        if structure is not None:
            yield from _held(fields, structure)

    # --- what is behind the structure

    def _behind(self, part: Part) -> int:
        return self._argument + sizeof(part.structure)

    def _flags(self) -> int:
        return int(getattr(self._request, "flags", 0))

    def _has_payload(self, payload: Payload, way: int) -> bool:
        return bool(self._flags() & way) and not self._flags() & payload.probe

    def _told(self, payload: Payload) -> tuple[str | None, Part | None]:
        return _numbered(payload.parts, self._flags() & payload.mask)

    def _chained(self, chain: Chain) -> Iterator[str]:
        """Each capability; a chain that leads out of what the program has room for ends there."""
        room = int(getattr(self._request, "argsz", 0))
        if room < offsetofend(chain.structure, "cap_offset"):
            return
        whole = self._read(chain.structure, self._argument)
        offset = getattr(whole, "cap_offset", 0)
        seen = {0}
        while offset not in seen and offset + sizeof(InfoCapHeader) <= room:
            seen.add(offset)
            header = self._read(InfoCapHeader, self._argument + offset)
            name, part = _numbered(chain.parts, getattr(header, "id", -1))
            yield from (name,) if name is not None else ()
            if part is not None:
                yield from self._at(self._argument + offset, part, part.given)
            offset = getattr(header, "next", 0)


def _numbered(parts: Parts, number: int) -> tuple[str | None, Part | None]:
    found = ((name, part) for name, (known, part) in parts.items() if known == number)
    return next(found, (None, None))
