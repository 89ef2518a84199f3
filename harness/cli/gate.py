# SPDX-License-Identifier: Apache-2.0
"""``snapshot``, ``gate`` and ``coverage``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from harness.cli.common import BAD_INPUT, NOTHING_RAN, RAW, fail

_SOURCES = """\
SOURCE is a directory of kernel headers (/usr/include, an unpacked linux-libc-dev, a kernel tree
after `make headers_install`), one header, git:DIR:REVISION of a kernel tree, package:SUITE for the
linux-libc-dev of a suite of Debian's, a directory of the kernel's Documentation/ABI, profile:NAME,
a report of `conform --format json`, or a machine file of `uapi-harness record`. A snapshot that is
there already will do, too.
"""

_SNAPSHOT_EPILOG = f"""{_SOURCES}
examples:
  uapi-harness snapshot /usr/include -o mine.yaml --header 'linux/vfio*.h'
  uapi-harness snapshot package:bookworm -o 6.1.yaml --header linux/vfio.h
  uapi-harness snapshot profile:6.12 -o 6.12.yaml"""

_GATE_EPILOG = f"""{_SOURCES}
The rules are in docs/gate-rules.md. Exit codes: 0 nothing at or above --fail-on, 1 there is, 2 bad
input.

examples:
  uapi-harness gate old.yaml new.yaml
  uapi-harness gate old.yaml usr/include --policy policy.yaml --format github
  uapi-harness gate profile:6.1 profile:7.2 --fail-on risky"""


def add_parsers(commands: Any) -> None:
    """Declare these commands."""
    snapshot = commands.add_parser(
        "snapshot", help="write down a uAPI", epilog=_SNAPSHOT_EPILOG, formatter_class=RAW
    )
    snapshot.add_argument("source", metavar="SOURCE")
    snapshot.add_argument("-o", dest="output", required=True, metavar="FILE", help="where to")
    snapshot.set_defaults(function=_snapshot, parser=snapshot)
    gate = commands.add_parser(
        "gate",
        help="say whether a change of a uAPI breaks programs",
        epilog=_GATE_EPILOG,
        formatter_class=RAW,
    )
    gate.add_argument("old", metavar="OLD", help="a SOURCE")
    gate.add_argument("new", metavar="NEW", help="a SOURCE")
    gate.add_argument("--policy", metavar="FILE", help="changes that may pass, with reasons")
    gate.add_argument(
        "--format",
        default="text",
        choices=("text", "json", "sarif", "github", "markdown", "junit"),
    )
    gate.add_argument(
        "--fail-on",
        default="breaking",
        choices=("breaking", "risky", "unknown", "compatible"),
        help="the least verdict that is a finding (default: %(default)s)",
    )
    gate.set_defaults(function=_gate, parser=gate)
    coverage = commands.add_parser("coverage", help="which program uses which uAPI")
    coverage.add_argument(
        "--record",
        nargs="*",
        metavar="TOOL",
        help="run the scenarios of these tools (default: all that are installed) and write down "
        "what they use; without it, a table of what was recorded",
    )
    coverage.add_argument(
        "-o", dest="folder", metavar="DIR", help="where recordings go (default: fixtures/coverage)"
    )
    coverage.set_defaults(function=_coverage, parser=coverage)
    for parser in (snapshot, gate):
        parser.add_argument(
            "--header",
            action="append",
            default=[],
            metavar="NAME",
            help="only this header, or all that match a pattern such as linux/vfio*.h; may be "
            "repeated",
        )
        parser.add_argument("--cc", metavar="PROGRAM", help="the C compiler (default: $CC or gcc)")


def _snapshot(options: argparse.Namespace) -> int:
    from harness.gate.command import write_snapshot

    words = (options.source, options.output, options.header, options.cc)
    return _gated("snapshot", lambda: write_snapshot(*words, sys.stdout))


def _gate(options: argparse.Namespace) -> int:
    from harness.gate.command import gate

    return _gated(
        "gate",
        lambda: gate(
            options.old,
            options.new,
            headers=options.header,
            compiler=options.cc,
            policy=options.policy,
            format=options.format,
            fail_on=options.fail_on,
            output=sys.stdout,
        ),
    )


def _coverage(options: argparse.Namespace) -> int:
    from pathlib import Path

    from harness.gate import coverage

    if options.record is None:
        if options.folder is not None:
            return fail("coverage", "-o is for what --record writes", BAD_INPUT)
        return _gated("coverage", lambda: coverage.table(sys.stdout.write))
    from harness.gate.recording import record

    folder = coverage.folder() if options.folder is None else Path(options.folder)
    return _gated("coverage", lambda: record(options.record, folder, sys.stdout.write))


def _gated(command: str, action: Callable[[], int]) -> int:
    from harness.data import DataError
    from harness.gate.errors import GateError, NotHere

    try:
        return action()
    except NotHere as error:
        return fail(command, str(error), NOTHING_RAN)
    except (GateError, DataError) as error:
        return fail(command, str(error), BAD_INPUT)
