# SPDX-License-Identifier: Apache-2.0
"""The command ``uapi-harness``.

Exit codes are stable. ``run`` gives the program's own status, 128+n after a signal, 125 for an
error of ours, 126 and 127 for a command that cannot be executed or found. Every other command: 0
good, 1 findings, 2 bad input, 3 nothing could run here.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from harness import __version__
from harness.data import one_line

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
  uapi-harness start lab; uapi-harness run --in lab -- lspci; uapi-harness stop lab
  uapi-harness record idxd -o my-machine.yaml
  uapi-harness snapshot /usr/include -o mine.yaml
  uapi-harness gate old.yaml new.yaml
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
    conform = commands.add_parser(
        "conform", help="run conformance suites on a target and report", formatter_class=raw
    )
    _conform_options(conform)
    conform.set_defaults(function=_conform, parser=conform)

    _vm_parsers(commands)
    _golden_parsers(commands)
    _selftests_parser(commands)

    explain = commands.add_parser("explain", help="where the answer of a case or node comes from")
    explain.add_argument(
        "subject", metavar="CASE|NODE", help="a case's id, or a path such as /sys/..."
    )
    explain.add_argument("--machine", default="qemu-q35-dsa", metavar="NAME|FILE", help="of a node")
    explain.set_defaults(function=_explain, parser=explain)

    _gate_parsers(commands)
    _record_parser(commands)
    machines = commands.add_parser("machines", help="the machines that come along, or one of them")
    machines.add_argument("name", nargs="?", metavar="NAME|FILE", help="show what is in this one")
    machines.add_argument("--profile", metavar="P", help="the kernel, instead of the machine's own")
    machines.set_defaults(function=_machines, parser=machines)
    doctor = commands.add_parser("doctor", help="what this host can do, and what it lacks")
    doctor.set_defaults(function=_doctor, parser=doctor)
    return parser


SOURCES = """\
SOURCE is a directory of kernel headers (/usr/include, an unpacked linux-libc-dev, a kernel tree
after `make headers_install`), one header, git:DIR:REVISION of a kernel tree, package:SUITE for the
linux-libc-dev of a suite of Debian's, a directory of the kernel's Documentation/ABI, profile:NAME,
a report of `conform --format json`, or a machine file of `uapi-harness record`. A snapshot that is
there already will do, too.
"""
SNAPSHOT_EPILOG = f"""{SOURCES}
examples:
  uapi-harness snapshot /usr/include -o mine.yaml --header 'linux/vfio*.h'
  uapi-harness snapshot package:bookworm -o 6.1.yaml --header linux/vfio.h
  uapi-harness snapshot profile:6.12 -o 6.12.yaml"""
GATE_EPILOG = f"""{SOURCES}
The rules are in docs/gate-rules.md. Exit codes: 0 nothing at or above --fail-on, 1 there is, 2 bad
input.

examples:
  uapi-harness gate old.yaml new.yaml
  uapi-harness gate old.yaml usr/include --policy policy.yaml --format github
  uapi-harness gate profile:6.1 profile:7.2 --fail-on risky"""


def _gate_parsers(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    snapshot = commands.add_parser(
        "snapshot", help="write down a uAPI", epilog=SNAPSHOT_EPILOG, formatter_class=raw
    )
    snapshot.add_argument("source", metavar="SOURCE")
    snapshot.add_argument("-o", dest="output", required=True, metavar="FILE", help="where to")
    snapshot.set_defaults(function=_snapshot, parser=snapshot)
    gate = commands.add_parser(
        "gate",
        help="say whether a change of a uAPI breaks programs",
        epilog=GATE_EPILOG,
        formatter_class=raw,
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
        "what they use",
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


RECORD_EPILOG = """\
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


def _record_parser(commands: Any) -> None:
    record = commands.add_parser(
        "record",
        help="make a machine file of devices of this host",
        epilog=RECORD_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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


CTL_EPILOG = """\
  ls PATH              the names in a directory
  read PATH            a file's text
  write PATH TEXT      one write(2) to a file, as root
  plug ADDRESS         put in a PCI function that is not present
  unplug ADDRESS       take a PCI function away, by surprise
  uevents              all uevents so far
  trace                calls of programs as they are made, until interrupted"""


def _lasting_parsers(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    start = commands.add_parser("start", help="make a machine that lasts until it is stopped")
    start.add_argument("name", metavar="NAME", help="what to call it")
    _machine_options(start)
    _mount_options(start)
    start.set_defaults(function=_start, parser=start)
    ctl = commands.add_parser(
        "ctl",
        help="look at a lasting machine, or change it",
        epilog=CTL_EPILOG,
        formatter_class=raw,
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


VM_EPILOG = """\
Kernels are Debian's, from the machine's own package source with the release replaced, and are kept
in the cache directory. KERNEL is the name of a profile, a release such as sid, or how a version
begins. No root and no KVM is needed; QEMU emulates the processor.

examples:
  uapi-harness vm build 6.1
  uapi-harness vm shell 6.1
  uapi-harness vm shell 6.1 -- ls /sys/bus/dsa/devices
  uapi-harness conform --target vm:6.1,model --profile 6.1"""


_SELFTESTS_HELP = """\
Build the kernel's selftests/vfio from Debian's package of its source, once, and run them as they
are on PCI functions of a machine. The report is KTAP.

examples:
  uapi-harness selftests 0000:00:05.0
  uapi-harness selftests 0000:00:05.0 --profile 6.12+iommufd --test vfio_pci_device_test
  uapi-harness selftests 0000:00:05.0 --target vm:7.2+iommufd"""


def _selftests_parser(commands: Any) -> None:
    selftests = commands.add_parser(
        "selftests",
        help="run the kernel's own selftests/vfio",
        epilog=_SELFTESTS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    selftests.add_argument("slot", nargs="+", metavar="SLOT", help="a function, as 0000:00:05.0")
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


def _vm_parsers(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    vm = commands.add_parser(
        "vm", help="real kernels in virtual machines", epilog=VM_EPILOG, formatter_class=raw
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


GOLDEN_EPILOG = """\
examples:
  uapi-harness golden record --target vm:6.1,vm:6.12,vm:7.2
  uapi-harness golden record --target vm:6.1 -k wq_attributes -o /tmp/golden
  uapi-harness golden table README.md"""


def _golden_parsers(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    golden = commands.add_parser(
        "golden",
        help="results of real kernels, which conform compares with",
        epilog=GOLDEN_EPILOG,
        formatter_class=raw,
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


#: How many arguments each request of ``ctl`` has.
_CTL = {"ls": 1, "read": 1, "write": 2, "plug": 1, "unplug": 1, "uevents": 0, "trace": 0}


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
    _module_option(parser)


def _module_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--module",
        action="append",
        metavar="FILE",
        help="load a module of your own, too (docs/writing-modules.md); may be repeated",
    )


def _with_modules(files: list[str] | None) -> None:
    """Let the processes that will make machines know of a user's modules."""
    from harness.module_file import VARIABLE, files_of_environment

    if files is not None:
        every = [*files_of_environment(), *map(os.path.abspath, files)]
        os.environ[VARIABLE] = os.pathsep.join(every)


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


def _mount_options(parser: argparse.ArgumentParser) -> None:
    for name, text in _MOUNT_OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)


def _mount_words(options: argparse.Namespace) -> list[str]:
    """The names of the mount's options that were given."""
    return [name for name in _MOUNT_OPTIONS if getattr(options, name)]


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
    _module_option(parser)
    parser.add_argument("-k", dest="pattern", metavar="TEXT", help="only cases whose id has TEXT")
    parser.add_argument("--format", default="text", choices=("text", "json", "junit", "markdown"))
    parser.add_argument("--jobs", type=int, metavar="N", help="cases at once (default: one a core)")
    parser.add_argument(
        "--strict",
        action="store_true",
        default=os.environ.get("UAPI_STRICT") == "1",
        help="a case that could not run here is a finding (default: on if UAPI_STRICT=1)",
    )


def _several(values: list[str] | None, default: str) -> list[str]:
    """The words of an option that takes commas and may be repeated."""
    return [word for value in values or [default] for word in value.split(",")]


def _uid(text: str) -> int:
    if not text.isdecimal() or int(text) >= 0xFFFFFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a user number")
    return int(text)


# Imports are made where they are needed: a run must start fast, and doctor must work everywhere.


def _run(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        return _fail("run", "no command given; write: uapi-harness run -- COMMAND ...", RUN_ERROR)
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
        return _fail("run", str(error), RUN_ERROR)


def _run_in(options: argparse.Namespace, command: list[str]) -> int:
    from harness.lasting import LastingError, run_in

    words = _mount_words(options)
    if not (options.trace is options.profile is options.module is None) or words:
        others = " and ".join(
            f"--{word.replace('_', '-')}"
            for word in ("trace", "profile", "module", *_MOUNT_OPTIONS)
        )
        message = f"{others} are for new machines; see uapi-harness ctl --help"
        return _fail("run", message, RUN_ERROR)
    try:
        return run_in(options.lasting, command, options.uid or 0)
    except LastingError as error:
        return _fail("run", str(error), error.code if error.code > 2 else RUN_ERROR)


def _start(options: argparse.Namespace) -> int:
    from harness.lasting import start

    _with_modules(options.module)
    words = _mount_words(options)
    return _lasting("start", lambda: start(options.name, options.machine, options.profile, words))


def _ctl(options: argparse.Namespace) -> int:
    from harness.lasting import control, follow

    wanted, arguments = _CTL[options.verb], options.arguments
    if len(arguments) != wanted:
        message = f"{options.verb} takes {wanted} arguments, not {len(arguments)}; see ctl --help"
        return _fail("ctl", message, BAD_INPUT)

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
        return _fail(command, str(error), error.code)
    return GOOD


def _conform(options: argparse.Namespace) -> int:
    from harness.machine import MachineError
    from harness.report import ConformError, conform, write_missing

    targets = _several(options.target, "model")
    jobs = options.jobs
    if options.modify_host:
        targets = ["host:modify" if name == "host" else name for name in targets]
        jobs = 1  # cases on one host must not meet one another
    real = [name for name in targets if name.startswith("vm:")]
    if options.module and real:
        message = f"--module: {real[0]} is a real kernel; model, inprocess and process can have it"
        return _fail("conform", message, BAD_INPUT)
    _with_modules(options.module)
    try:
        if options.missing:
            return write_missing(_several(options.profile, "6.1")[0], sys.stdout)
        return conform(
            targets=targets,
            profiles=_several(options.profile, "6.1"),
            suites=options.suite,
            pattern=options.pattern,
            format=options.format,
            strict=options.strict,
            jobs=jobs,
            fidelity=options.fidelity,
        )
    except (ConformError, MachineError) as error:
        return _fail("conform", str(error), BAD_INPUT)


def _vm(command: str, action: Callable[[], int]) -> int:
    from harness.agent.client import AgentError
    from harness.machine import MachineError
    from harness.packages import PackagesError, Unavailable
    from harness.vm.qemu import VmError

    try:
        return action()
    except (Unavailable, VmError) as error:
        return _fail(command, str(error), NOTHING_RAN)
    except (PackagesError, AgentError) as error:
        return _fail(command, str(error), FINDINGS)
    except MachineError as error:
        return _fail(command, str(error), BAD_INPUT)


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


def _selftests(options: argparse.Namespace) -> int:
    from harness.mounts.process import MountError
    from harness.selftests.command import selftests

    where = (options.slot, options.target, options.machine, options.profile)
    words = (*where, options.test, options.format)
    try:
        return _vm("selftests", lambda: selftests(*words, sys.stdout))
    except ValueError as error:
        return _fail("selftests", str(error), BAD_INPUT)
    except MountError as error:
        return _fail("selftests", str(error), NOTHING_RAN)


def _golden_record(options: argparse.Namespace) -> int:
    from harness.report.golden_data import record

    targets = _several(options.target, "")
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
        targets = _several(options.target, "model")
        profiles = _several(options.profile, "6.1,6.12,7.2,6.12+iommufd,7.2+iommufd")
        changed = write_table(options.document, targets, profiles)
        print(f"{options.document}: {'written' if changed else 'is up to date'}")
        return GOOD

    return _golden("golden table", write)


def _golden(command: str, action: Callable[[], int]) -> int:
    from harness.conformance.probes import GoldenError
    from harness.data import DataError
    from harness.report import ConformError

    try:
        return _vm(command, action)
    except (ConformError, GoldenError, DataError, OSError) as error:
        return _fail(command, str(error), BAD_INPUT)


def _explain(options: argparse.Namespace) -> int:
    from harness.conformance.explain import explain
    from harness.conformance.runner import ConformError
    from harness.machine import MachineError

    try:
        print("\n".join(explain(options.subject, options.machine)))
    except (ConformError, MachineError) as error:
        return _fail("explain", str(error), BAD_INPUT)
    return GOOD


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
            return _fail("coverage", "-o is for what --record writes", BAD_INPUT)
        return _gated("coverage", lambda: coverage.table(sys.stdout.write))
    from harness.gate.recording import record

    folder = coverage.folder() if options.folder is None else Path(options.folder)
    return _gated("coverage", lambda: record(options.record, folder, sys.stdout.write))


def _gated(command: str, action: Callable[[], int]) -> int:
    from harness.gate.errors import GateError, NotHere

    try:
        return action()
    except NotHere as error:
        return _fail(command, str(error), NOTHING_RAN)
    except GateError as error:
        return _fail(command, str(error), BAD_INPUT)


def _record(options: argparse.Namespace) -> int:
    from harness.record import NothingToRecord, RecordError, checked, record, script, source, write

    if options.script:
        sys.stdout.write(script())
        return GOOD
    if bool(options.devices) == options.all:
        return _fail("record", "name devices, or give --all; see record --help", BAD_INPUT)
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
        return _fail("record", str(error), NOTHING_RAN)
    except RecordError as error:
        return _fail("record", str(error), BAD_INPUT)
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
        return _fail("machines", str(error), BAD_INPUT)
    return GOOD


def _doctor(options: argparse.Namespace) -> int:
    from harness.doctor import report

    return report(sys.stdout)


def _fail(command: str, message: str, code: int) -> int:
    print(f"uapi-harness {command}: {one_line(message)}", file=sys.stderr)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: the process's own); returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if words[:2] == ["vm", "shell"] and "--" in words:
        place = words.index("--")
        words, command = words[:place], words[place + 1 :]
    options, unknown = _parser().parse_known_args(words)
    if command:
        options.command = command
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
        # Whoever read our output has gone.
        _drop_output()
        return 141
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        _drop_output()
        return _fail(words[0], f"the output cannot be written: {error.strerror}", BAD_INPUT)


def _drop_output() -> None:
    """What is left of it must not fail once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
