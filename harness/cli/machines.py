# SPDX-License-Identifier: Apache-2.0
"""``machines``, ``record`` and ``doctor``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from harness.cli.common import BAD_INPUT, GOOD, NOTHING_RAN, RAW, fail

_MACHINES_EPILOG = """\
A file is checked whole: what is wrong is one line, FILE:LINE: KEY: what would be right, and the
exit code 2.

examples:
  uapi-harness machines gnr-1s
  uapi-harness machines ./my-machine.yaml --profile 7.2"""

_RECORD_EPILOG = """\
DEVICE is a PCI address, an id, a driver, or a parent of mediated devices. The bridges above a
function are recorded with it. Only sysfs is read: the registers of an accelerator as far as idxd
shows them, configuration space as far as you may (64 bytes of it without CAP_SYS_ADMIN). Serial
numbers become zeros. The head of the file says what was masked, and what could not be known.

examples:
  uapi-harness record --all -o my-machine.yaml
  uapi-harness record idxd                                   # all that the driver has, to stdout
  uapi-harness record 6a:01.0 8086:0cfe -o two.yaml --name two
  uapi-harness record --script > pack.sh                     # for a host without Python:
  ssh HOST sh -s < pack.sh | uapi-harness record --all --from - -o my-machine.yaml"""


def add_parsers(commands: Any) -> None:
    """Declare these commands."""
    _record_parser(commands)
    machines = commands.add_parser(
        "machines",
        help="the machines that come along, or one of them",
        epilog=_MACHINES_EPILOG,
        formatter_class=RAW,
    )
    machines.add_argument("name", nargs="?", metavar="NAME|FILE", help="show what is in this one")
    machines.add_argument("--profile", metavar="P", help="the kernel, instead of the machine's own")
    machines.set_defaults(function=_machines, parser=machines)
    doctor = commands.add_parser(
        "doctor",
        help="what this host can do, and what it lacks",
        epilog="Exit codes: 0 all is there, 1 something is lacking, and it says what to do.",
    )
    doctor.set_defaults(function=_doctor, parser=doctor)


def _record_parser(commands: Any) -> None:
    record = commands.add_parser(
        "record",
        help="make a machine file of devices of this host",
        epilog=_RECORD_EPILOG,
        formatter_class=RAW,
    )
    record.add_argument("devices", nargs="*", metavar="DEVICE", help="what to record")
    record.add_argument("--all", action="store_true", help="all that can be recorded")
    record.add_argument("-o", dest="output", metavar="FILE", help="where to (default: stdout)")
    record.add_argument("--force", action="store_true", help="overwrite FILE")
    record.add_argument("--name", metavar="N", help="what the machine is called (default: FILE)")
    record.add_argument(
        "--profile", metavar="P", help="the kernel to be (default: the one most like this host's)"
    )
    record.add_argument("--unmasked", action="store_true", help="keep serial numbers")
    where = record.add_mutually_exclusive_group()
    where.add_argument(
        "--root", default="/", metavar="DIR", help="read DIR/sys and DIR/proc, copied from a host"
    )
    where.add_argument(
        "--from", dest="stream", metavar="FILE", help="read what the script packed; - is stdin"
    )
    where.add_argument(
        "--script", action="store_true", help="print a shell script that packs what is read"
    )
    record.set_defaults(function=_record, parser=record)


def _record(options: argparse.Namespace) -> int:
    from harness.record import NothingToRecord, RecordError, checked, record, script, source, write

    if options.script:
        sys.stdout.write(script())
        return GOOD
    if bool(options.devices) == options.all:
        return fail("record", "name devices, or give --all; see record --help", BAD_INPUT)
    try:
        recording = record(
            source(options.root, options.stream),
            options.devices,
            everything=options.all,
            name=options.name,
            profile=options.profile,
            unmasked=options.unmasked,
        )
        text = checked(recording)
        if options.output is None:
            sys.stdout.write(text)
        else:
            write(text, options.output, force=options.force)
    except NothingToRecord as error:
        return fail("record", str(error), NOTHING_RAN)
    except RecordError as error:
        return fail("record", str(error), BAD_INPUT)
    return GOOD


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
        return fail("machines", str(error), BAD_INPUT)
    return GOOD


def _doctor(options: argparse.Namespace) -> int:
    from harness.doctor import report

    return report(sys.stdout)
