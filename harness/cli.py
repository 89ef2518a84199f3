# SPDX-License-Identifier: Apache-2.0
"""The command ``uapi-harness``.

Exit codes are stable. ``run`` gives the program's own status, 128+n after a signal, 125 for an
error of ours, 126 and 127 for a command that cannot be executed or found. Every other command: 0
good, 1 findings, 2 bad input, 3 nothing could run here.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from harness import __version__

GOOD, FINDINGS, BAD_INPUT, NOTHING_RAN = 0, 1, 2, 3
#: What ``run`` answers for an error of ours, as env(1) and timeout(1) do.
RUN_ERROR = 125

DESCRIPTION = """\
A machine with Intel DSA/IAA accelerators as the Linux kernel would show it, without the hardware:
run any program in it, and check it case by case against results of real kernels."""

EPILOG = """\
examples:
  uapi-harness run --machine spr-2s -- accel-config list -i
  uapi-harness run --trace -- cat /sys/bus/dsa/devices/dsa0/state
  uapi-harness conform --target process --suite idxd
  uapi-harness machines
  uapi-harness doctor"""

RUN_EPILOG = """\
The command sees /sys and /dev of the machine where the machine has them, and the host's own
elsewhere. It is root there unless --uid says otherwise. Its exit status is passed on; 128+n after
a signal, 125 for an error of uapi-harness, 126/127 if it cannot be executed or found.

examples:
  uapi-harness run -- accel-config list -i
  uapi-harness run --machine ./my-machine.yaml --uid 1000 -- cat /sys/bus/dsa/devices/wq0.0/size
  uapi-harness run --trace=calls.txt -- sh -c 'echo wq0.0 > /sys/bus/dsa/drivers/user/bind'"""


class _Parser(argparse.ArgumentParser):
    """One line for a wrong command line, with the exit code of the command it is for."""

    exit_code = BAD_INPUT

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(self.exit_code)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="uapi-harness", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw
    )
    parser.add_argument("--version", action="version", version=f"uapi-harness {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run", help="run a program in a machine", epilog=RUN_EPILOG, formatter_class=raw
    )
    run.exit_code = RUN_ERROR
    _machine_options(run)
    run.add_argument("--uid", type=_uid, metavar="N", help="be user N in the machine, not root")
    run.add_argument(
        "--trace",
        nargs="?",
        const="-",
        metavar="FILE",
        help="print each call with its result and the kernel function that decided it, "
        "to stderr or FILE (write --trace=FILE)",
    )
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    run.set_defaults(function=_run, parser=run)

    conform = commands.add_parser(
        "conform", help="run conformance suites on a target and report", formatter_class=raw
    )
    _conform_options(conform)
    conform.set_defaults(function=_conform, parser=conform)

    machines = commands.add_parser("machines", help="the machines that come along, or one of them")
    machines.add_argument("name", nargs="?", metavar="NAME|FILE", help="show what is in this one")
    machines.add_argument("--profile", metavar="P", help="the kernel, instead of the machine's own")
    machines.set_defaults(function=_machines, parser=machines)
    doctor = commands.add_parser("doctor", help="what this host can do, and what it lacks")
    doctor.set_defaults(function=_doctor, parser=doctor)
    return parser


def _machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--machine",
        default="spr-2s",
        metavar="NAME|FILE",
        help="a machine that comes along, or your own file (default: %(default)s)",
    )
    parser.add_argument(
        "--profile", metavar="P", help="the kernel to be, instead of the machine's own"
    )


def _conform_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="model", help="model or process (default: %(default)s)")
    parser.add_argument("--profile", default="6.1", help="kernel profile (default: %(default)s)")
    parser.add_argument(
        "--suite", action="append", metavar="S", help="a suite, may be repeated (default: all)"
    )
    parser.add_argument("-k", dest="pattern", metavar="TEXT", help="only cases whose id has TEXT")
    parser.add_argument("--format", default="text", choices=("text", "json"))
    parser.add_argument("--jobs", type=int, metavar="N", help="cases at once (default: one a core)")
    parser.add_argument(
        "--strict",
        action="store_true",
        default=os.environ.get("UAPI_STRICT") == "1",
        help="a case that could not run here is a finding (default: on if UAPI_STRICT=1)",
    )


def _uid(text: str) -> int:
    if not text.isdecimal() or int(text) >= 0xFFFFFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a user number")
    return int(text)


# Imports are made where they are needed: a run must start fast, and doctor must work everywhere.


def _run(options: argparse.Namespace) -> int:
    from harness.machine import MachineError, load_machine
    from harness.mounts.process import MountError, run
    from harness.trace_output import TraceOutput

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        return _fail("run", "no command given; write: uapi-harness run -- COMMAND ...", RUN_ERROR)
    try:
        machine = load_machine(options.machine, profile=options.profile)
        with TraceOutput.to(options.trace, machine.kernel.trace):
            return run(machine, command, uid=options.uid)
    except (MachineError, MountError, OSError) as error:
        return _fail("run", str(error), RUN_ERROR)


def _conform(options: argparse.Namespace) -> int:
    from harness.machine import MachineError
    from harness.report import ConformError, conform

    try:
        return conform(
            target=options.target,
            profile=options.profile,
            suites=options.suite,
            pattern=options.pattern,
            format=options.format,
            strict=options.strict,
            jobs=options.jobs,
        )
    except (ConformError, MachineError) as error:
        return _fail("conform", str(error), BAD_INPUT)


def _machines(options: argparse.Namespace) -> int:
    from harness.data import machine_names
    from harness.machine import MachineError, load_machine
    from harness.machine_output import show

    try:
        if options.name is not None:
            print(show(load_machine(options.name, profile=options.profile)), end="")
            return GOOD
        for name in machine_names():
            machine = load_machine(name, profile=options.profile)
            print(f"{name:<16}{machine.profile.name:<8}{machine.description}")
    except MachineError as error:
        return _fail("machines", str(error), BAD_INPUT)
    return GOOD


def _doctor(options: argparse.Namespace) -> int:
    from harness.doctor import report

    return report(sys.stdout)


def _fail(command: str, message: str, code: int) -> int:
    print(f"uapi-harness {command}: {message}", file=sys.stderr)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: the process's own); returns the exit code."""
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    function: Callable[[argparse.Namespace], int] = options.function
    try:
        status = function(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; what is left of it must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
