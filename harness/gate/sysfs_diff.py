# SPDX-License-Identifier: Apache-2.0
"""What has changed between two snapshots' sysfs nodes and behaviours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.gate.findings import Finding
from harness.gate.snapshot import STATUSES, Behaviour, Snapshot, SysfsNode

_ERRNO = re.compile(r"\bE[A-Z0-9]{2,}\b")
#: Outcomes that say nothing about the kernel.
_UNJUDGED = frozenset({"skip", "not-runnable", "timeout"})
_GOOD = "pass"
#: How a kernel says that it has no such thing.
_ABSENT = frozenset({"ENOENT", "ENOTTY"})


def compare_sysfs(old: Snapshot, new: Snapshot) -> Iterator[Finding]:
    """Every change of a node, unless one of the snapshots has none at all."""
    if not old.sysfs or not new.sysfs:
        return
    for path in sorted({*old.sysfs, *new.sysfs}):
        before, after = old.sysfs.get(path), new.sysfs.get(path)
        if before is None:
            yield Finding("node-added", path, "it is new")
        elif after is None:
            yield Finding("node-removed", path, "it is gone")
        elif before != after:
            yield from _node(path, before, after)


def _node(path: str, old: SysfsNode, new: SysfsNode) -> Iterator[Finding]:
    if old.kind != new.kind:
        yield Finding("node-kind-changed", path, f"{old.kind} became {new.kind}")
        return
    yield from _mode(path, old.mode, new.mode)
    yield from _format(path, old.format, new.format)
    yield from _values(path, old.values, new.values)
    if (old.visible, new.visible) == ("always", "sometimes"):
        yield Finding("node-conditional", path, "some devices are without it now")
    elif (old.visible, new.visible) == ("sometimes", "always"):
        yield Finding("node-general", path, "all devices have it now")
    yield from _status(path, old.status, new.status)


def _mode(path: str, old: int | None, new: int | None) -> Iterator[Finding]:
    if old is None or new is None or old == new:
        return
    rule = "mode-lost" if old & ~new else "mode-gained"
    yield Finding(rule, path, f"{old:04o} became {new:04o}")


def _format(path: str, old: str | None, new: str | None) -> Iterator[Finding]:
    if old == new:
        return
    if old is None or new is None:
        yield Finding("format-unknown", path, f"{old or 'unknown'} became {new or 'unknown'}")
    else:
        yield Finding("format-changed", path, f"{old!r} became {new!r}")


def _values(
    path: str, old: tuple[str, ...] | None, new: tuple[str, ...] | None
) -> Iterator[Finding]:
    if old is None and new is None:
        return
    if old is None or new is None:
        yield Finding("values-unknown", path, "what it takes is known in one of them only")
        return
    if lost := [value for value in old if value not in new]:
        yield Finding("value-removed", path, f"it no longer takes {', '.join(lost)}")
    if gained := [value for value in new if value not in old]:
        yield Finding("value-added", path, f"it takes {', '.join(gained)}, too")


def _status(path: str, old: str | None, new: str | None) -> Iterator[Finding]:
    if old not in STATUSES or new not in STATUSES or old == new:
        return
    detail = f"from {old} to {new}"
    if STATUSES.index(new) < STATUSES.index(old):
        yield Finding("node-promoted", path, detail)
    elif new != "testing":
        yield Finding("node-withdrawn" if new == "removed" else "node-obsolete", path, detail)


def compare_behaviours(old: Snapshot, new: Snapshot) -> Iterator[Finding]:
    """Every case that ended differently, unless one of the snapshots has none at all."""
    if not old.behaviours or not new.behaviours:
        return
    for case in sorted({*old.behaviours, *new.behaviours}):
        before, after = old.behaviours.get(case), new.behaviours.get(case)
        if before is None:
            yield Finding("behaviour-added", case, "it is new")
        elif after is None:
            yield Finding("behaviour-gone", case, "nobody asked")
        elif _said(before) != _said(after):
            yield Finding(_rule(before, after), case, f"{_shown(before)} became {_shown(after)}")


def _shown(behaviour: Behaviour) -> str:
    if behaviour.answer is None:
        return behaviour.outcome
    return f"{behaviour.outcome} ({behaviour.answer})"


def _rule(old: Behaviour, new: Behaviour) -> str:
    if {old.outcome, new.outcome} & _UNJUDGED:
        return "behaviour-unjudged"
    if new.outcome == _GOOD and old.outcome != _GOOD:
        return "behaviour-restored"
    first, second = _errnos(old), _errnos(new)
    if old.outcome == new.outcome == _GOOD and (second < first or (first and first <= _ABSENT)):
        return "behaviour-error-gone"
    if first and second and first != second:
        return "behaviour-errno-changed"
    return "behaviour-changed"


def _said(behaviour: Behaviour) -> tuple[str, set[str] | str | None]:
    """What counts: errors if there are any, in no order."""
    return behaviour.outcome, _errnos(behaviour) or behaviour.answer


def _errnos(behaviour: Behaviour) -> set[str]:
    return set(_ERRNO.findall(behaviour.answer or ""))
