# SPDX-License-Identifier: Apache-2.0
"""``conform`` and ``explain``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from harness.cli.common import BAD_INPUT, GOOD, RAW, fail, module_option, several, with_modules

_CONFORM_EPILOG = """\
A case is a few system calls and what each must return; docs/writing-cases.md says how to write
some. Exit codes: 0 all agree, 1 findings (also no case at all, or a known difference that is none
any more), 2 bad input, 3 nothing could run here.

examples:
  uapi-harness conform --target model,process --profile 6.1,7.2 --suite idxd
  uapi-harness conform -k wq_attributes::priority
  uapi-harness conform --suite ./cases_my_device.py --target process
  uapi-harness conform --target vm:6.1,model --suite kernfs    # beside a real kernel"""

_EXPLAIN_EPILOG = """\
examples:
  uapi-harness explain idxd/wq_attributes::priority     # or a part of it: the ids that have it
  uapi-harness explain /sys/bus/dsa/devices/dsa0/state --machine spr-1s"""


def add_parsers(commands: Any) -> None:
    """Declare these commands."""
    conform = commands.add_parser(
        "conform",
        help="run conformance suites on a target and report",
        epilog=_CONFORM_EPILOG,
        formatter_class=RAW,
    )
    _conform_options(conform)
    conform.set_defaults(function=_conform, parser=conform)
    explain = commands.add_parser(
        "explain",
        help="where the answer of a case or node comes from",
        epilog=_EXPLAIN_EPILOG,
        formatter_class=RAW,
    )
    explain.add_argument(
        "subject", metavar="CASE|NODE", help="a case's id, or a path such as /sys/..."
    )
    explain.add_argument("--machine", default="qemu-q35-dsa", metavar="NAME|FILE", help="of a node")
    explain.set_defaults(function=_explain, parser=explain)


def _conform_options(parser: argparse.ArgumentParser) -> None:
    several = "with commas or repeated, for several"
    parser.add_argument(
        "--target",
        action="append",
        metavar="T",
        help="model, inprocess, process, host for this host's own kernel, or vm:KERNEL for a real "
        f"kernel in a virtual machine; {several} (default: model)",
    )
    parser.add_argument(
        "--modify-host",
        action="store_true",
        help="let cases change this host, with the target host; nothing is put back",
    )
    parser.add_argument(
        "--profile", action="append", metavar="P", help=f"kernel profile; {several} (default: 6.1)"
    )
    parser.add_argument(
        "--fidelity",
        action="store_true",
        help="compare with what real kernels did: those among the targets, else recorded ones",
    )
    parser.add_argument(
        "--missing", action="store_true", help="list what of the profile no case touches, instead"
    )
    parser.add_argument(
        "--suite",
        action="append",
        metavar="S",
        help="a suite, or your own file of cases; may be repeated (default: all suites)",
    )
    module_option(parser)
    parser.add_argument("-k", dest="pattern", metavar="TEXT", help="only cases whose id has TEXT")
    parser.add_argument("--format", default="text", choices=("text", "json", "junit", "markdown"))
    parser.add_argument("--jobs", type=int, metavar="N", help="cases at once (default: one a core)")
    parser.add_argument(
        "--strict",
        action="store_true",
        default=os.environ.get("UAPI_STRICT") == "1",
        help="a case that could not run here is a finding (default: on if UAPI_STRICT=1)",
    )


def _conform(options: argparse.Namespace) -> int:
    from harness.machine import MachineError
    from harness.module_file import ModuleFileError, files_of_environment, read
    from harness.report import ConformError, conform, write_missing

    targets = several(options.target, "model")
    jobs = options.jobs
    if options.modify_host:
        targets = ["host:modify" if name == "host" else name for name in targets]
        jobs = 1  # cases on one host must not meet one another
    real = [name for name in targets if name.startswith("vm:")]
    if options.module and real:
        message = f"--module: {real[0]} is a real kernel; model, inprocess and process can have it"
        return fail("conform", message, BAD_INPUT)
    with_modules(options.module)
    try:
        for file in files_of_environment():
            read(file)  # now, not in each case
        if options.missing:
            return write_missing(several(options.profile, "6.1")[0], sys.stdout)
        return conform(
            targets=targets,
            profiles=several(options.profile, "6.1"),
            suites=options.suite,
            pattern=options.pattern,
            format=options.format,
            strict=options.strict,
            jobs=jobs,
            fidelity=options.fidelity,
        )
    except (ConformError, MachineError, ModuleFileError) as error:
        return fail("conform", str(error), BAD_INPUT)


def _explain(options: argparse.Namespace) -> int:
    from harness.conformance.explain import explain
    from harness.conformance.runner import ConformError
    from harness.machine import MachineError

    try:
        print("\n".join(explain(options.subject, options.machine)))
    except (ConformError, MachineError) as error:
        return fail("explain", str(error), BAD_INPUT)
    return GOOD
