# SPDX-License-Identifier: Apache-2.0
"""A filter's program, from a table of the system calls that we want to be told of.

A classic BPF program over struct seccomp_data (linux/seccomp.h): the number at 0, the architecture
at 4, six arguments of 64 bits from 16 on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from attrs import frozen

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NOTIFY, _ALLOW = 0x7FC00000, 0x7FFF0000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_AUDIT_ARCH_X86_64 = 0xC000003E
_ALL_BITS = 0xFFFFFFFF


@frozen
class Argument:
    """A condition on the low half of an argument: all the kernel takes of an fd or a command.

    The bits in ``mask`` are ``value``, or with ``at_least`` no less. ``high``: of the other half.
    """

    index: int
    value: int
    mask: int = _ALL_BITS
    at_least: bool = False
    high: bool = False

    def holds(self, arguments: Sequence[int]) -> bool:
        """Whether a call with these has met the condition."""
        value = arguments[self.index] >> 32 * self.high & self.mask
        return value >= self.value if self.at_least else value == self.value


@frozen
class Rule:
    """Tell us of system call ``number`` if all conditions hold."""

    number: int
    arguments: tuple[Argument, ...] = ()

    def meets(self, number: int, arguments: Sequence[int]) -> bool:
        """Whether it is this rule (too) that we were told of the call for."""
        return number == self.number and all(
            argument.holds(arguments) for argument in self.arguments
        )


def build(rules: Iterable[Rule]) -> bytes:
    """The program. Calls that no rule is about, or of another architecture, are let pass."""
    program = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _AUDIT_ARCH_X86_64)]
    program.append((_RETURN, 0, 0, _ALLOW))
    for rule in rules:
        program += _compiled(rule)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _compiled(rule: Rule) -> list[tuple[int, int, int, int]]:
    """Code, jumps if true and if not, operand. What does not hold leads behind the end."""
    steps = [(_LOAD, _NUMBER), (_EQUAL, rule.number)]
    for argument in rule.arguments:
        steps.append((_LOAD, _ARGUMENTS + 8 * argument.index + 4 * argument.high))
        if argument.mask != _ALL_BITS:
            steps.append((_AND, argument.mask))
        steps.append((_AT_LEAST if argument.at_least else _EQUAL, argument.value))
    steps.append((_RETURN, _NOTIFY))
    left = range(len(steps) - 1, -1, -1)
    jumps = (_EQUAL, _AT_LEAST)
    return [
        (code, 0, after if code in jumps else 0, operand)
        for (code, operand), after in zip(steps, left, strict=True)
    ]
