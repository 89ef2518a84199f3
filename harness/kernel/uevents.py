# SPDX-License-Identifier: Apache-2.0
"""Uevents: what the kernel tells the world when objects come, go and change (lib/kobject_uevent.c).

Events are kept in order, and passed to subscribers after the tree already shows what they tell.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping

from attrs import define, field, frozen

from harness.kernel.errors import Errno

ACTIONS = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ARGUMENT = re.compile(rb" ([0-9A-Za-z]+)=([0-9A-Za-z]+)")


@frozen
class Uevent:
    """One message. ``devpath`` begins below /sys; ``variables`` are in the kernel's order."""

    action: str
    devpath: str
    variables: Mapping[str, str]


@define(eq=False)
class Uevents:
    """The events of one machine, all of them since its start."""

    events: list[Uevent] = field(factory=list)
    subscribers: list[Callable[[Uevent], None]] = field(factory=list)

    def send(self, action: str, devpath: str, variables: Mapping[str, str]) -> Uevent:
        """kobject_uevent_env: ACTION, DEVPATH, the object's own variables, then SEQNUM."""
        message = {"ACTION": action, "DEVPATH": devpath, **variables}
        message["SEQNUM"] = str(len(self.events) + 1)
        event = Uevent(action, devpath, message)
        self.events.append(event)
        for subscriber in self.subscribers:
            subscriber(event)
        return event


def kobject_action_type(data: bytes) -> tuple[str, bytes | None]:
    """The action and the text after it; EINVAL for anything but an action word (6.1)."""
    text = data[:-1] if data[-1:] in (b"\n", b"\0") else data
    word, blank, arguments = text.partition(b" ")
    name = word.decode(errors="replace")
    if name not in ACTIONS:
        raise Errno(errno.EINVAL)
    return name, arguments if blank else None


def kobject_action_args(data: bytes) -> dict[str, str]:
    """``UUID KEY=value ...`` as SYNTH_ variables; EINVAL if it is anything else (6.1)."""
    uuid = _UUID.match(data)
    if uuid is None:
        raise Errno(errno.EINVAL)
    variables = {"SYNTH_UUID": uuid.group().decode()}
    position = uuid.end()
    while position < len(data):
        argument = _ARGUMENT.match(data, position)
        if argument is None:
            raise Errno(errno.EINVAL)
        variables[f"SYNTH_ARG_{argument[1].decode()}"] = argument[2].decode()
        position = argument.end()
    return variables


def kobject_synth_uevent(data: bytes, send: Callable[[str, dict[str, str]], None]) -> None:
    """A write to a ``uevent`` attribute: send a made-up event, or EINVAL (6.1)."""
    action, arguments = kobject_action_type(data)
    send(action, {"SYNTH_UUID": "0"} if arguments is None else kobject_action_args(arguments))
