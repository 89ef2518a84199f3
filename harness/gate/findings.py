# SPDX-License-Identifier: Apache-2.0
"""One finding: a change, and what it means."""

from __future__ import annotations

from attrs import frozen

from harness.gate.rules import ORDER, RULES, Rule, Verdict


@frozen
class User:
    """A program that is known to use a finding's subject, such as ``qemu 7.2``, and how."""

    tool: str
    how: str

    def __str__(self) -> str:
        return f"{self.tool} {self.how}"


@frozen
class Finding:
    """A change of ``subject``. ``header`` is where it is, if it is in a header, and ``line`` there.

    ``subject`` names a thing, such as ``struct vfio_device_info.flags`` or a path of sysfs.
    ``related`` are names that share its value, whose users are concerned, too; ``users`` are the
    programs that are known to use one of them.
    """

    rule_id: str
    subject: str
    detail: str
    header: str | None = None
    line: int | None = None
    related: tuple[str, ...] = ()
    users: tuple[User, ...] = ()

    @property
    def rule(self) -> Rule:
        """The rule that it falls under."""
        return RULES[self.rule_id]

    @property
    def verdict(self) -> Verdict:
        """What it means for programs."""
        return self.rule.verdict

    @property
    def order(self) -> tuple[int, str, str, str]:
        """The worst first, then by place and name."""
        return ORDER.index(self.verdict), self.header or "", self.subject, self.rule_id
