# SPDX-License-Identifier: Apache-2.0
"""A filter's program, from a table of the system calls that we want to be told of.

A classic BPF program over struct seccomp_data (linux/seccomp.h): the number at 0, the architecture
at 4, six arguments of 64 bits from 16 on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve, frozen

_LOAD, _AND, _EQUAL, _AT_LEAST, _JUMP, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x05, 0x06
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
    """The program. Calls that no rule is about, or of another architecture, are let pass.

    Rules of one call lie together, and those that ask for one value of an argument share its load:
    a call that none of them meets has then cost two instructions, and one for each value.
    """
    by_number: dict[int, list[Rule]] = {}
    for rule in rules:
        by_number.setdefault(rule.number, []).append(rule)
    program = [_Step(_LOAD, _ARCHITECTURE), _Step(_EQUAL, _AUDIT_ARCH_X86_64, 1), _ALLOWED]
    program.append(_Step(_LOAD, _NUMBER))
    for number, same in by_number.items():
        body = [step for block in _blocks(same) for step in block] + [_ALLOWED]
        program += [_Step(_EQUAL, number, 1), _Step(_JUMP, len(body)), *body]
    program.append(_ALLOWED)
    return b"".join(step.pack() for step in program)


def _blocks(rules: Iterable[Rule]) -> Iterator[list[_Step]]:
    """Of the rules of one call: what one block does not notify falls through to the next."""
    values: dict[Argument, list[int]] = {}
    for rule in rules:
        if len(rule.arguments) == 1 and not rule.arguments[0].at_least:
            (argument,) = rule.arguments
            values.setdefault(evolve(argument, value=0), []).append(argument.value)
        else:
            yield _block(rule)
    for argument, wanted in values.items():
        yield [
            *_loads(argument),
            *(_Step(_EQUAL, value, len(wanted) - n) for n, value in enumerate(wanted)),
            _Step(_JUMP, 1),
            _NOTIFIED,
        ]


def _block(rule: Rule) -> list[_Step]:
    """One rule: what does not hold leads behind it."""
    steps = []
    for argument in rule.arguments:
        code = _AT_LEAST if argument.at_least else _EQUAL
        steps += [*_loads(argument), _Step(code, argument.value)]
    steps.append(_NOTIFIED)
    return [
        evolve(step, otherwise=len(steps) - 1 - n) if step.is_condition else step
        for n, step in enumerate(steps)
    ]


def _loads(argument: Argument) -> list[_Step]:
    steps = [_Step(_LOAD, _ARGUMENTS + 8 * argument.index + 4 * argument.high)]
    if argument.mask != _ALL_BITS:
        steps.append(_Step(_AND, argument.mask))
    return steps


@frozen
class _Step:
    """An instruction: how many are skipped where a condition holds, and otherwise."""

    code: int
    operand: int
    then: int = 0
    otherwise: int = 0

    @property
    def is_condition(self) -> bool:
        return self.code in (_EQUAL, _AT_LEAST)

    def pack(self) -> bytes:
        return struct.pack("<HBBI", self.code, self.then, self.otherwise, self.operand)


_ALLOWED, _NOTIFIED = _Step(_RETURN, _ALLOW), _Step(_RETURN, _NOTIFY)
