# SPDX-License-Identifier: Apache-2.0
"""Compare the model with a real kernel, call by call, where nobody has written a case.

``python -m tests.vm.differential --profile 6.1 --program config --seed 1 --count 5`` runs programs
of system calls, chosen by seeds, in a virtual machine and in the model, and shows where the answers
differ. A program never looks at an answer to choose what comes next, so that both sides are asked
the same. What a kernel answered is kept in a folder: only what is new needs the virtual machine.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from random import Random

from attrs import define, field, frozen

from harness.agent.client import AgentError
from harness.conformance.call import Buffer, Call, Context, Fd, TaskGoneError
from harness.conformance.results import CaseFailedError, Result
from harness.conformance.targets import Target, target_maker
from harness.data import lineage

#: What was asked, and what came of it.
Answer = tuple[str, str]
_SECONDS = 900.0
_LONG = 200
ARENA = 16 * 4096


@frozen
class Ptr:
    """The address of a place in the memory that a program has."""

    offset: int
    read_only: bool = False

    def __repr__(self) -> str:
        return f"&{'read-only ' * self.read_only}{self.offset:#x}"


@frozen
class Num:
    """The number of a file."""

    fd: Fd
    size: int = 4

    def __repr__(self) -> str:
        return f"#{self.fd!r}"


Part = bytes | Ptr | Num | Fd


@define(eq=False)
class Script:
    """Calls of one program, and all that was answered."""

    call: Call
    random: Random
    answers: list[Answer] = field(factory=list)
    #: Files of other kinds.
    files: list[Fd] = field(factory=list)
    #: Memory whose neighbours on both sides can neither be read nor written.
    arena: Buffer = field(init=False)
    read_only: Buffer = field(init=False)

    def __attrs_post_init__(self) -> None:
        nothing, private = Fd(-1, ""), 0x22
        # A kernel puts each mapping below the last; the model leaves room around each. What
        # chooses addresses may look at how memory is aligned.
        self.call.mmap(4096, 0, private, nothing)
        self.arena = self.call.buffer(ARENA)
        while self.arena.address % ARENA:
            self.call.mmap(4096, 0, private, nothing)
            self.arena = self.call.buffer(ARENA)
        self.call.mmap(4096, 0, private, nothing)
        self.read_only = self.call.mmap(4096, 1, private, nothing).value
        self.call.mmap(4096, 0, private, nothing)

    def note(self, text: str, outcome: object) -> None:
        """Keep an answer."""
        self.answers.append((text, str(outcome)))

    def keep(self, result: Result[object]) -> bool:
        """Keep the answer of a call; whether it succeeded."""
        value = result._value
        shown = value.hex() if isinstance(value, bytes) else repr(value)
        self.note(result.text, result.error if result.error is not None else shown)
        return result.error is None

    def open(self, path: str, flags: int = 2, name: str | None = None) -> Fd:
        """A file, or one whose number is -1; ``name`` is what it is called."""
        result = self.call.open(path, flags)
        name, number = name or path, -1
        if result.error is None:
            number = result.value.number
        self.note(f"open {name} {flags}", result.error or number)
        return Fd(number, name)

    def close(self, fd: Fd) -> None:
        """close(2)."""
        self.keep(self.call.close(fd))

    def pread(self, fd: Fd, count: int, offset: int) -> None:
        """pread(2)."""
        self.keep(self.call.pread(fd, count, offset))

    def pwrite(self, fd: Fd, data: bytes, offset: int) -> None:
        """pwrite(2)."""
        self.keep(self.call.pwrite(fd, data, offset))

    def address(self, place: Ptr) -> int:
        """Where a place is in this target."""
        return (self.read_only if place.read_only else self.arena).address + place.offset

    def bytes_of(self, parts: tuple[Part, ...]) -> bytes:
        """What is put into memory."""
        content = b""
        for part in parts:
            match part:
                case bytes():
                    content += part
                case Ptr():
                    content += struct.pack("<Q", self.address(part))
                case Num(fd=fd, size=size):
                    content += fd.number.to_bytes(size, "little", signed=True)
                case Fd():
                    content += struct.pack("<i", part.number)
        return content

    def ioctl(self, fd: Fd, command: int, *parts: Part, room: int = 0, at: int = 0) -> int:
        """ioctl(2) with a structure at a place of the arena; its value, or minus the errno.

        ``room`` bytes of 0xee are behind the structure. Only what it changed is kept.
        """
        before = self.bytes_of(parts) + b"\xee" * room
        self.call.poke(self.arena + at, before)
        text = f"{fd!r} {command:#x} {_parts(parts)}" + (f" +{room}" if room else "")
        result = self.call.ioctl(fd, command, self.arena + at)
        after = self.call.peek(self.arena + at, len(before)).value
        return self._answered(text, result, before, after)

    def plain(self, fd: Fd, command: int, argument: int | Ptr = 0) -> int:
        """ioctl(2) with a number or an address alone."""
        value = self.address(argument) if isinstance(argument, Ptr) else argument
        result = self.call.ioctl(fd, command, value)
        shown = repr(argument) if isinstance(argument, Ptr) else hex(argument)
        return self._answered(f"{fd!r} {command:#x} {shown}", result, b"", b"")

    def _answered(self, text: str, result: Result[int], before: bytes, after: bytes) -> int:
        outcome = str(result.error) if result.error is not None else str(result._value)
        self.note(text, outcome + _changes(before, after))
        return -int(result.error.number) if result.error is not None else int(result._value or 0)

    def put(self, offset: int, data: bytes) -> None:
        """Memory of the program."""
        self.call.poke(self.arena + offset, data)

    def look(self, offset: int, count: int) -> None:
        """Keep what is in memory."""
        data = self.call.peek(self.arena + offset, count).value
        self.note(f"memory {offset:#x}+{count:#x}", _short(data))


def _short(data: bytes) -> str:
    """Bytes, those of a long run as their number."""
    return data.hex() if len(data) <= 8192 else f"{data[:64].hex()} {sha256(data).hexdigest()}"


def _parts(parts: tuple[Part, ...]) -> str:
    return " ".join(part.hex() if isinstance(part, bytes) else repr(part) for part in parts)


def _changes(before: bytes, after: bytes) -> str:
    """Runs of changed bytes."""
    text, start = "", None
    for n in range(len(after) + 1):
        differs = n < len(after) and before[n] != after[n]
        if differs and start is None:
            start = n
        elif not differs and start is not None:
            text += f" {start:#x}:{_short(after[start:n])}"
            start = None
    return text


Program = Callable[[Script], None]


def run(target: Target, machine: str, profile: str, program: Program, seed: int) -> list[Answer]:
    """All answers of a program on a target, up to the one of which it died."""
    answers: list[Answer] = []
    try:
        with target.open(machine, profile) as endpoint:
            call = Call(Context(endpoint, time.monotonic() + _SECONDS, lineage(profile)))
            script = Script(call, Random(seed), answers)
            program(script)
    except CaseFailedError as error:
        answers.append(("the program ended", str(error)))
    except (AgentError, TaskGoneError, TimeoutError) as error:
        print(f"{target.name}: {error}", file=sys.stderr)
        answers.append(("the target died", type(error).__name__))
    return answers


@define(eq=False)
class _Comparison:
    """Programs on a kernel and on the model."""

    machine: str
    profile: str
    keep: Path
    most: int
    again: bool
    kernel: Target = field(init=False)
    model: Target = field(factory=target_maker("model"))
    prepared: bool = False
    compared: int = 0
    differing: int = 0

    def __attrs_post_init__(self) -> None:
        self.kernel = target_maker(f"vm:{self.profile}")()

    def close(self) -> None:
        """Switch both off."""
        self.kernel.close()
        self.model.close()

    def program(self, name: str, program: Program, seed: int) -> None:
        """Compare all answers of a program."""
        file = self.keep / f"{name}-{seed}-{self.machine}-{self.profile}.json"
        kept = [(text, outcome) for text, outcome in json.loads(_text(file))]
        theirs = kept
        if self.again or not kept:
            theirs = self._ask(name, program, seed)
            file.write_text(json.dumps(theirs, indent=0))
        if self.again and kept:
            compare(f"{name} {seed}, kernel and kernel", kept, theirs, self.most)
        ours = run(self.model, self.machine, self.profile, program, seed)
        self.differing += compare(f"{name} {seed}", theirs, ours, self.most)
        self.compared += len(theirs)

    def _ask(self, name: str, program: Program, seed: int) -> list[Answer]:
        if not self.prepared:
            self.kernel.prepare(self.profile)
            self.prepared = True
        if name.startswith("config"):
            # A reset leaves BARs elsewhere, and what is in no capability as it is.
            self.kernel.close()
        return run(self.kernel, self.machine, self.profile, program, seed)


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else "[]"


def compare(what: str, theirs: list[Answer], ours: list[Answer], most: int) -> int:
    """How many answers differ; ``most`` of them are shown: the kernel's, then the model's."""
    found = 0
    if len(theirs) != len(ours):
        print(f"{what}: {len(theirs)} answers and {len(ours)}")
        found += 1
    for index, (their, our) in enumerate(zip(theirs, ours, strict=False)):
        if their == our:
            continue
        found += 1
        if found <= most:
            print(f"{what} #{index}: {their[0][:_LONG]}")
            if their[0] != our[0]:
                print(f"    other: {our[0][:_LONG]}")
            print(f"    {_apart(their[1], our[1])}")
    return found


def _apart(one: str, other: str) -> str:
    """Two outcomes; of long ones the places where they differ."""
    if len(one) <= 120 and len(other) <= 120:
        return f"{one}  |  {other}"
    if len(one) == len(other) and " " not in one:
        places = [n for n in range(0, len(one), 2) if one[n : n + 2] != other[n : n + 2]]
        listed = [f"{n // 2:#x}: {one[n : n + 2]}/{other[n : n + 2]}" for n in places[:20]]
        return f"{len(places)} bytes: {', '.join(listed)}"
    return f"{one[:300]}\n    {other[:300]}"


def main(words: list[str]) -> int:
    """0 if all agreed, 1 if something did not."""
    from tests.vm.differential_programs import PROGRAMS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="6.1")
    parser.add_argument("--program", action="append", choices=sorted(PROGRAMS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--machine", default="qemu-q35")
    parser.add_argument("--keep", type=Path, default=Path("differential"))
    parser.add_argument("--most", type=int, default=12, help="differences shown of a program")
    parser.add_argument("--again", action="store_true", help="ask the kernel anew, and compare")
    options = parser.parse_args(words)
    options.keep.mkdir(parents=True, exist_ok=True)
    comparison = _Comparison(
        options.machine, options.profile, options.keep, options.most, options.again
    )
    with closing(comparison):
        for name in options.program or sorted(PROGRAMS):
            for seed in range(options.seed, options.seed + options.count):
                comparison.program(name, PROGRAMS[name], seed)
                print(f"{name} {seed}: done", flush=True)
    print(f"{comparison.compared} answers on {options.profile}, {comparison.differing} differ")
    return 1 if comparison.differing else 0


if __name__ == "__main__":
    # Not this copy of the module, of whose classes the programs know nothing.
    from tests.vm.differential import main

    sys.exit(main(sys.argv[1:]))
