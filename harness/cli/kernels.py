# SPDX-License-Identifier: Apache-2.0
"""What real kernels are needed for: ``vm``, ``golden``, ``selftests``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any

from harness.cli.common import BAD_INPUT, FINDINGS, GOOD, NOTHING_RAN, RAW, fail, several, told

_VM_EPILOG = """\
Kernels are Debian's, from the machine's own package source with the release replaced, and are kept
in the cache directory. KERNEL is the name of a profile, a release such as sid, or how a version
begins. No root and no KVM is needed; QEMU emulates the processor.

examples:
  uapi-harness vm build 6.1
  uapi-harness vm shell 6.1
  uapi-harness vm shell 6.1 -- ls /sys/bus/dsa/devices
  uapi-harness conform --target vm:6.1,model --profile 6.1"""

_GOLDEN_EPILOG = """\
examples:
  uapi-harness golden record --target vm:6.1,vm:6.12,vm:7.2
  uapi-harness golden record --target vm:6.1 -k wq_attributes -o /tmp/golden
  uapi-harness golden table README.md"""

_SELFTESTS_EPILOG = """\
Build the kernel's selftests/vfio from Debian's package of its source, once, and run them as they
are on PCI functions of a machine. The report is KTAP.

examples:
  uapi-harness selftests 0000:00:05.0
  uapi-harness selftests 0000:00:05.0 --profile 6.12+iommufd --test vfio_pci_device_test
  uapi-harness selftests 0000:00:05.0 --target vm:7.2+iommufd"""


def add_parsers(commands: Any) -> None:
    """Declare these commands."""
    _vm_parsers(commands)
    _golden_parsers(commands)
    _selftests_parser(commands)


def _vm_parsers(commands: Any) -> None:
    vm = commands.add_parser(
        "vm", help="real kernels in virtual machines", epilog=_VM_EPILOG, formatter_class=RAW
    )
    verbs = vm.add_subparsers(metavar="VERB", required=True)
    build = verbs.add_parser("build", help="get a kernel and build its sample modules, once")
    build.add_argument("kernel", metavar="KERNEL")
    build.add_argument("--refresh", action="store_true", help="ask whether there is a newer one")
    build.set_defaults(function=_vm_build, parser=build)
    show = verbs.add_parser("list", help="the kernels that have names, and which are there")
    show.set_defaults(function=_vm_list, parser=show)
    shell = verbs.add_parser(
        "shell",
        help="a shell in a virtual machine, or one program of the host",
        usage="uapi-harness vm shell [-h] [--machine NAME|FILE] KERNEL [-- COMMAND ...]",
    )
    shell.add_argument("kernel", metavar="KERNEL")
    shell.add_argument(
        "--machine", default="qemu-q35-dsa", metavar="NAME|FILE", help="default: %(default)s"
    )
    # What is behind -- does not come here: argparse would take options for words of the command.
    shell.set_defaults(function=_vm_shell, parser=shell, command=[])


def _golden_parsers(commands: Any) -> None:
    golden = commands.add_parser(
        "golden",
        help="results of real kernels, which conform compares with",
        epilog=_GOLDEN_EPILOG,
        formatter_class=RAW,
    )
    verbs = golden.add_subparsers(metavar="VERB", required=True)
    record = verbs.add_parser("record", help="run cases on real kernels and keep what they did")
    record.add_argument("--target", action="append", required=True, metavar="vm:KERNEL")
    record.add_argument("-o", dest="folder", metavar="DIR", help="default: where conform looks")
    record.add_argument("--suite", action="append", metavar="S", help="a suite, may be repeated")
    record.add_argument("-k", dest="pattern", metavar="TEXT", help="only cases whose id has TEXT")
    record.set_defaults(function=_golden_record, parser=record)
    probes = verbs.add_parser("import", help="take in what probe programs recorded")
    probes.add_argument("file", metavar="FILE", help="an object with meta and probes")
    probes.add_argument("-o", dest="folder", metavar="DIR", help="default: where conform looks")
    probes.set_defaults(function=_golden_import, parser=probes)
    table = verbs.add_parser("table", help="write the fidelity table into a document")
    table.add_argument("document", metavar="FILE", help="with the lines that mark its place")
    table.add_argument("--target", action="append", metavar="T", help="default: model")
    table.add_argument("--profile", action="append", metavar="P", help="default: every kernel")
    table.set_defaults(function=_golden_table, parser=table)


def _selftests_parser(commands: Any) -> None:
    selftests = commands.add_parser(
        "selftests",
        help="run the kernel's own selftests/vfio",
        epilog=_SELFTESTS_EPILOG,
        formatter_class=RAW,
    )
    selftests.add_argument(
        "slot", nargs="+", type=_slot, metavar="SLOT", help="a function, as 0000:00:05.0"
    )
    selftests.add_argument(
        "--machine", default="qemu-q35", metavar="M", help="default: %(default)s"
    )
    selftests.add_argument(
        "--profile", default="7.2+iommufd", metavar="P", help="default: %(default)s"
    )
    selftests.add_argument(
        "--target", default="process", metavar="T", help="process (the default), or vm:KERNEL"
    )
    selftests.add_argument(
        "--test", action="append", default=[], metavar="NAME", help="this program alone; repeatable"
    )
    selftests.add_argument(
        "--format", choices=("ktap", "json"), default="ktap", help="default: %(default)s"
    )
    selftests.set_defaults(function=_selftests)


def _slot(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as 0000:00:05.0")
    return text


def _vm(command: str, action: Callable[[], int]) -> int:
    from harness.agent.client import AgentError
    from harness.machine import MachineError
    from harness.packages import PackagesError, Unavailable
    from harness.vm.qemu import VmError

    try:
        return action()
    except (Unavailable, VmError) as error:
        return fail(command, str(error), NOTHING_RAN)
    except (PackagesError, AgentError) as error:
        return fail(command, str(error), FINDINGS)
    except MachineError as error:
        return fail(command, str(error), BAD_INPUT)


def _vm_build(options: argparse.Namespace) -> int:
    from harness.vm.command import build

    return _vm(
        "vm build", lambda: build(options.kernel, refresh=options.refresh, output=sys.stdout)
    )


def _vm_list(options: argparse.Namespace) -> int:
    from harness.vm.command import show

    return _vm("vm list", lambda: show(sys.stdout))


def _vm_shell(options: argparse.Namespace) -> int:
    from harness.vm.command import shell

    words = (options.kernel, options.machine, options.command)
    return _vm("vm shell", lambda: shell(*words, sys.stdout))


def _golden(command: str, action: Callable[[], int]) -> int:
    from harness.conformance.probes import GoldenError
    from harness.data import DataError
    from harness.report import ConformError

    try:
        return _vm(command, action)
    except (ConformError, GoldenError, DataError, OSError) as error:
        return fail(command, told(error), BAD_INPUT)


def _golden_record(options: argparse.Namespace) -> int:
    from harness.report.golden_data import record

    targets = several(options.target, "")
    return _golden(
        "golden record",
        lambda: record(targets, options.folder, options.suite, options.pattern, sys.stdout),
    )


def _golden_import(options: argparse.Namespace) -> int:
    from harness.conformance.probes import import_recording

    def take() -> int:
        print(import_recording(options.file, options.folder))
        return GOOD

    return _golden("golden import", take)


def _golden_table(options: argparse.Namespace) -> int:
    from harness.report.golden_data import write_table

    def write() -> int:
        targets = several(options.target, "model")
        profiles = several(options.profile, "6.1,6.12,7.2,6.12+iommufd,7.2+iommufd")
        changed = write_table(options.document, targets, profiles)
        print(f"{options.document}: {'written' if changed else 'is up to date'}")
        return GOOD

    return _golden("golden table", write)


def _selftests(options: argparse.Namespace) -> int:
    from harness.mounts.process import MountError
    from harness.selftests.command import selftests

    where = (options.slot, options.target, options.machine, options.profile)
    words = (*where, options.test, options.format)
    try:
        return _vm("selftests", lambda: selftests(*words, sys.stdout))
    except ValueError as error:
        return fail("selftests", str(error), BAD_INPUT)
    except MountError as error:
        return fail("selftests", str(error), NOTHING_RAN)
