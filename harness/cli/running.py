# SPDX-License-Identifier: Apache-2.0
"""``run``, and the machines that last: ``start``, ``ctl``, ``stop``, ``ps``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from harness.cli.common import (
    BAD_INPUT,
    GOOD,
    RAW,
    RUN_ERROR,
    fail,
    machine_options,
    told,
    with_modules,
)

_RUN_EPILOG = """\
The command sees /sys and /dev of the machine where the machine has them, and the host's own
elsewhere. It is root there unless --uid says otherwise. Its exit status is passed on; 128+n after
a signal, 125 for an error of uapi-harness, 126/127 if it cannot be executed or found.

examples:
  uapi-harness run -- accel-config list -i
  uapi-harness run --machine ./my-machine.yaml --uid 1000 -- cat /sys/bus/dsa/devices/wq0.0/size
  uapi-harness run --trace=calls.txt -- sh -c 'echo wq0.0 > /sys/bus/dsa/drivers/user/bind'"""

_START_EPILOG = """\
examples:
  uapi-harness start lab --machine spr-1s --profile 6.12
  uapi-harness run --in lab -- accel-config list
  uapi-harness ctl lab unplug 0000:6a:01.0
  uapi-harness ps
  uapi-harness stop lab"""

_CTL_EPILOG = """\
VERB is one of
  ls PATH              the names in a directory
  read PATH            a file's text
  write PATH TEXT      one write(2) to a file, as root
  plug ADDRESS         put in a PCI function that is not present
  unplug ADDRESS       take a PCI function away, by surprise
  uevents              all uevents so far
  trace                calls of programs as they are made, until interrupted

Exit codes: 0 done, 1 the machine's kernel refused (as `write` may be), 2 bad input.

examples:
  uapi-harness ctl lab read /sys/bus/dsa/devices/dsa0/state
  uapi-harness ctl lab write /sys/bus/dsa/devices/wq0.0/size 8"""

#: How many arguments each request of ``ctl`` has.
_CTL = {"ls": 1, "read": 1, "write": 2, "plug": 1, "unplug": 1, "uevents": 0, "trace": 0}

#: What a mount can do besides, by the names of MountOptions.
_MOUNT_OPTIONS = {
    "uevents": "pass uevents on to listeners such as `udevadm monitor --kernel`; programs are then "
    "cut off from the host's network",
    "udevd": "run the host's systemd-udevd in the machine, for `udevadm monitor --udev` and the "
    "like; programs see no devices of the host (implies --uevents)",
    "char_devices": "let the machine's devices pass for character devices to programs that look; "
    "costs each stat of a program",
    "system": "let uname, modprobe, rmmod, modinfo, and files of /proc, be about the machine's "
    "kernel",
}


def add_parsers(commands: Any) -> None:
    """Declare these commands."""
    run = commands.add_parser(
        "run", help="run a program in a machine", epilog=_RUN_EPILOG, formatter_class=RAW
    )
    run.exit_code = RUN_ERROR
    machine_options(run)
    run.add_argument(
        "--in",
        dest="lasting",
        metavar="NAME",
        help="run in the machine that `uapi-harness start NAME` made, not in a new one",
    )
    run.add_argument("--uid", type=_uid, metavar="N", help="be user N in the machine, not root")
    run.add_argument(
        "--trace",
        nargs="?",
        const="-",
        metavar="FILE",
        help="print each call with its result and the kernel function that decided it, "
        "to stderr or FILE (write --trace=FILE)",
    )
    _mount_options(run)
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    run.set_defaults(function=_run, parser=run)
    _lasting_parsers(commands)


def _lasting_parsers(commands: Any) -> None:
    start = commands.add_parser(
        "start",
        help="make a machine that lasts until it is stopped",
        epilog=_START_EPILOG,
        formatter_class=RAW,
    )
    start.add_argument("name", metavar="NAME", help="what to call it")
    machine_options(start)
    _mount_options(start)
    start.set_defaults(function=_start, parser=start)
    ctl = commands.add_parser(
        "ctl",
        help="look at a lasting machine, or change it",
        epilog=_CTL_EPILOG,
        formatter_class=RAW,
    )
    ctl.add_argument("name", metavar="NAME")
    ctl.add_argument("verb", choices=sorted(_CTL), metavar="VERB", help="one of those below")
    ctl.add_argument("arguments", nargs="*", metavar="...")
    ctl.set_defaults(function=_ctl, parser=ctl)
    stop = commands.add_parser("stop", help="end a lasting machine and all that runs in it")
    stop.add_argument("name", metavar="NAME")
    stop.set_defaults(function=_stop, parser=stop)
    ps = commands.add_parser("ps", help="list the lasting machines and what runs in them")
    ps.set_defaults(function=_ps, parser=ps)


def _mount_options(parser: argparse.ArgumentParser) -> None:
    for name, text in _MOUNT_OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)


def _mount_words(options: argparse.Namespace) -> list[str]:
    """The names of the mount's options that were given."""
    return [name for name in _MOUNT_OPTIONS if getattr(options, name)]


def _uid(text: str) -> int:
    if not text.isdecimal() or int(text) >= 0xFFFFFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a user number")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        return fail("run", "no command given; write: uapi-harness run -- COMMAND ...", RUN_ERROR)
    if options.lasting is not None:
        return _run_in(options, command)
    from harness.machine import MachineError, load_machine
    from harness.mounts.process import MountError, MountOptions, run
    from harness.trace_output import TraceOutput

    try:
        machine = load_machine(options.machine, profile=options.profile, modules=options.module)
        with TraceOutput.to(options.trace, machine.kernel.trace):
            mount_options = MountOptions.of(_mount_words(options))
            return run(machine, command, uid=options.uid, options=mount_options)
    except (MachineError, MountError, OSError) as error:
        return fail("run", told(error), RUN_ERROR)


def _run_in(options: argparse.Namespace, command: list[str]) -> int:
    from harness.lasting import LastingError, run_in

    words = _mount_words(options)
    if not (options.trace is options.profile is options.module is None) or words:
        others = " and ".join(
            f"--{word.replace('_', '-')}"
            for word in ("trace", "profile", "module", *_MOUNT_OPTIONS)
        )
        message = f"{others} are for new machines; see uapi-harness ctl --help"
        return fail("run", message, RUN_ERROR)
    try:
        return run_in(options.lasting, command, options.uid or 0)
    except LastingError as error:
        return fail("run", str(error), error.code if error.code > 2 else RUN_ERROR)


def _start(options: argparse.Namespace) -> int:
    from harness.lasting import start

    with_modules(options.module)
    words = _mount_words(options)
    return _lasting("start", lambda: start(options.name, options.machine, options.profile, words))


def _ctl(options: argparse.Namespace) -> int:
    from harness.lasting import control, follow

    wanted, arguments = _CTL[options.verb], options.arguments
    if len(arguments) != wanted:
        message = f"{options.verb} takes {wanted} arguments, not {len(arguments)}; see ctl --help"
        return fail("ctl", message, BAD_INPUT)

    def request() -> None:
        if options.verb == "trace":
            for line in follow(options.name, "trace"):
                print(line, end="", flush=True)
            return
        answer = control(options.name, options.verb, *arguments)
        if options.verb == "read":
            sys.stdout.write(answer)
        elif isinstance(answer, list):
            print(*answer, sep="\n", end="\n" if answer else "")

    return _lasting("ctl", request)


def _stop(options: argparse.Namespace) -> int:
    from harness.lasting import stop

    return _lasting("stop", lambda: stop(options.name))


def _ps(options: argparse.Namespace) -> int:
    from harness.lasting import ps

    def show() -> None:
        for name, machine, profile, pid, programs in ps():
            print(f"{name:<16}{machine:<16}{profile:<8}{pid:<8}{', '.join(programs) or '-'}")

    return _lasting("ps", show)


def _lasting(command: str, action: Callable[[], None]) -> int:
    from harness.lasting import LastingError

    try:
        action()
    except LastingError as error:
        return fail(command, str(error), error.code)
    return GOOD
