# SPDX-License-Identifier: Apache-2.0
"""What a machine has nothing for is answered as by a kernel, and reported."""

import io

import pytest

from harness.conformance.cases import Case
from harness.conformance.errnos import ENODEV, ENOTTY
from harness.conformance.records import Run
from harness.conformance.results import expect
from harness.conformance.runner import run_case
from harness.conformance.targets.inprocess import InProcessTarget
from harness.conformance.targets.model import ModelTarget
from harness.kernel.errors import Errno
from harness.kernel.task import LocalCaller
from harness.machine import load_machine
from harness.report.text import write_text
from harness.trace_output import TraceOutput
from harness.uapi.fs import O_RDONLY

STATE = "/sys/bus/dsa/devices/dsa0/state"
_SHOWN = "/sys/devices/pci0000:00/0000:00:05.0/dsa0/state"
_TCGETS, _VFIO = 0x5401, 0x3B64


def uses(call):
    with call.opened(STATE, O_RDONLY) as fd:
        expect(call.ioctl(fd, _VFIO, 0), ENOTTY)
        expect(call.ioctl(fd, _VFIO, 0), ENOTTY)
        expect(call.ioctl(fd, _TCGETS, 0), ENOTTY)


def uses_nothing(call):
    with call.opened(STATE, O_RDONLY) as fd:
        call.read(fd, 10)


def maps(call):
    with call.opened("/sys/bus/pci/devices/0000:00:05.0/vendor", O_RDONLY) as fd:
        expect(call.mmap(4096, 1, 1, fd), ENODEV)


@pytest.mark.parametrize("target", [ModelTarget(), InProcessTarget()], ids=lambda one: one.name)
def test_a_record_tells_of_it_and_the_next_one_does_not(target):
    first, second = (
        run_case(
            Case(id=f"s/f::{one.__name__}", function=one, source="s", evidence="source"),
            target,
            "6.1",
        )
        for one in (uses, uses_nothing)
    )
    assert first.unknown == (f"ioctl 0x3b64 of {_SHOWN} (2 times)",)
    assert second.unknown == ()


def test_a_mapping_of_what_has_none():
    case = Case(id="s/f::m", function=maps, source="s", evidence="source")
    (what,) = run_case(case, ModelTarget(), "6.1").unknown
    assert what == "mmap of /sys/devices/pci0000:00/0000:00:05.0/vendor"


def test_the_report_has_a_section():
    case = Case(id="s/f::m", function=uses, source="s", evidence="source")
    output = io.StringIO()
    write_text([Run("model", "6.1", [run_case(case, ModelTarget(), "6.1")])], output)
    assert f"unknown uAPI used\n  ioctl 0x3b64 of {_SHOWN} (2 times): s/f::m\n" in output.getvalue()


def test_a_trace_that_cannot_be_written_disturbs_nobody():
    machine = load_machine("qemu-q35-dsa")
    kernel, caller = machine.kernel, LocalCaller()
    node = kernel.walk(caller, STATE)

    def traced():
        with TraceOutput.to("/dev/full", machine.trace):
            for _ in range(2):
                kernel.call(caller, "open", node, O_RDONLY)

    with pytest.raises(OSError, match="No space left on device"):
        traced()
    assert machine.trace.observers == []


def test_a_trace_ends_with_it(tmp_path):
    machine = load_machine("qemu-q35-dsa")
    kernel, caller = machine.kernel, LocalCaller()
    with TraceOutput.to(str(tmp_path / "trace"), machine.trace):
        file = kernel.call(caller, "open", kernel.walk(caller, STATE), O_RDONLY)
        with pytest.raises(Errno):
            kernel.call(caller, "ioctl", file, _VFIO, 0)
    last = (tmp_path / "trace").read_text().splitlines()[-1]
    assert last == f"unknown uAPI used: ioctl 0x3b64 of {_SHOWN}"
    assert machine.trace.observers == []
