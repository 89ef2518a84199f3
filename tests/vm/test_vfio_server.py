# SPDX-License-Identifier: Apache-2.0
"""The unmodified idxd driver of a real kernel drives our hardware: three kinds at once."""

import attrs
import pytest
from attrs import evolve

from harness import machine_file
from harness.hardware import KINDS
from harness.hardware.pci import DmaFault
from harness.hardware.registers import DsaRegisters, IaaRegisters
from harness.uapi import idxd as u
from harness.vm.guest import machine_for
from harness.vm.session import Session

#: The first use of a kernel downloads and builds it.
pytestmark = pytest.mark.timeout(900)
#: Where each is in the guest, and where it comes from: machine, slot.
ACCELERATORS = {
    "0000:00:05.0": ("spr-1s", "0000:6a:01.0"),
    "0000:00:06.0": ("spr-1s", "0000:6a:02.0"),
    "0000:00:07.0": ("gnr-1s", "0000:6a:01.0"),
}
DSA, IAA, DSA_2 = ACCELERATORS
NAMES = {DSA: "dsa0", IAA: "iax1", DSA_2: "dsa2"}
EVENT_LOG = 1 << 13
DEVICES = "/sys/bus/dsa/devices"


#: From 6.8 on the driver itself configures and enables an IAA when it finds it.
DISABLE_ALL = f"""
for object in {DEVICES}/wq* {DEVICES}/dsa* {DEVICES}/iax*; do
    [ "$(cat $object/state)" = enabled ] && echo ${{object##*/}} >$object/driver/unbind
done
"""


@pytest.fixture(scope="module")
def machine(kernel):
    pci = tuple(_placed(slot, event_log=kernel.name == "6.12") for slot in ACCELERATORS)
    return attrs.evolve(machine_for("qemu-q35-dsa"), pci=pci)


@pytest.fixture(scope="module")
def session(kernel, machine):
    with Session(kernel, machine) as session:
        session.run(DISABLE_ALL)
        yield session
        assert session.vm.console.trouble() is None


def _placed(slot, event_log):
    """The accelerator's entry, in a new place.

    With an event log if need be: 6.12 dereferences NULL when it disables a device without one.
    """
    name, original = ACCELERATORS[slot]
    file = machine_file.read(machine_file.find(name), [*KINDS])
    entry = next(entry for entry in file.pci if entry.slot == original)
    registers = dict(entry.registers)
    if event_log:
        default = {"dsa": DsaRegisters, "iaa": IaaRegisters}[entry.kind]().gen_cap
        registers["gen_cap"] = registers.get("gen_cap", default) | EVENT_LOG
    return attrs.evolve(entry, slot=slot, registers=registers)


@pytest.fixture(params=ACCELERATORS, ids=NAMES.values())
def slot(request):
    return request.param


@pytest.fixture
def device(slot):
    return NAMES[slot]


@pytest.fixture
def function(session, slot):
    return session.server.functions[slot]


@pytest.fixture
def state(session, device):
    def state(name=device):
        return session.run(f"cat {DEVICES}/{name}/state").strip()

    return state


def configured(number, size=16):
    """A script that makes work queue 0 of the device one for the kernel, with engine 0."""
    return f"""
    cd {DEVICES}/wq{number}.0
    echo 0 >group_id; echo dedicated >mode; echo {size} >size; echo kernel >type
    echo dmaengine >name; echo 10 >priority
    [ -e driver_name ] && echo dmaengine >driver_name
    echo 0 >../engine{number}.0/group_id
    """


def bound(name, driver, how="bind"):
    return f"echo {name} >/sys/bus/dsa/drivers/{driver}/{how}\n"


def interrupts(session, number):
    """How many interrupts the driver has had from a device."""
    lines = session.run("grep idxd-misc /proc/interrupts").splitlines()
    return int(lines[int(number)].split()[1])


def test_the_driver_finds_all(session):
    names = session.run(f"ls {DEVICES}").split()
    for number, device in enumerate(NAMES.values()):
        assert device in names
        assert sum(name.startswith(f"wq{number}.") for name in names) == 8
    engines = [sum(name.startswith(f"engine{number}.") for name in names) for number in range(3)]
    assert engines == [4, 8, 4]


def test_attributes_are_the_registers(session, device, function):
    registers = function.registers
    expected = {
        "version": f"{registers.version:#x}",
        "gen_cap": f"{registers.gen_cap:#x}",
        "max_work_queues_size": f"{registers.max_work_queues_size}",
        "max_engines": f"{registers.max_engines}",
        "configurable": "1",
    }
    for name, text in expected.items():
        assert session.run(f"cat {DEVICES}/{device}/{name}").strip() == text


def test_enabling_and_disabling(session, slot, device, state, function):
    number = device[-1]
    before = interrupts(session, number)
    session.run(configured(number) + bound(device, "idxd"))
    assert state() == "enabled"
    with session.server.lock:
        assert function.gensts.state == u.IDXD_DEVICE_STATE_ENABLED
        assert function.groups[0].wqs[0] == 1
        assert function.wqs[0].wq_size == 16
    session.run(bound(f"wq{number}.0", "dmaengine"))
    assert state(f"wq{number}.0") == "enabled"
    with session.server.lock:
        assert function.wqs[0].wq_state == 1
    assert session.run("ls /sys/class/dma").split()
    session.run(bound(f"wq{number}.0", "dmaengine", "unbind") + bound(device, "idxd", "unbind"))
    assert state() == "disabled"
    assert session.run(f"cat {DEVICES}/{device}/cmd_status") == "0x0\n"
    with session.server.lock:
        assert function.gensts.state == u.IDXD_DEVICE_STATE_DISABLED
        assert function.wqs[0].wq_state == 0
    assert interrupts(session, number) > before


def test_a_refused_command(session, device, function, state):
    registers = function.registers
    with session.server.lock:  # the driver read the true size when it took the device
        function.registers = evolve(registers, max_work_queues_size=8)
    session.run(configured(device[-1]) + bound(device, "idxd"))
    with session.server.lock:
        function.registers = registers
    status = session.run(f"cat {DEVICES}/{device}/cmd_status").strip()
    assert status == f"{u.IDXD_CMDSTS_ERR_WQ_SIZE_ERANGE:#x}"
    assert state() == "disabled"


def test_an_error_of_software(session, device, function):
    error = u.SwErr()
    error.desc_valid, error.error, error.operation = 1, 0x10, 3
    with session.server.lock:
        function.report_error(error)
    session.run("sleep 0.2")
    words = session.run(f"cat {DEVICES}/{device}/errors").replace(",", "")
    assert any(digit not in "0x \n" for digit in words)
    with session.server.lock:
        assert not function.swerr.valid


def test_a_reset_of_the_function(session, slot, device, state, function):
    """The driver stays, and its interrupts with it."""
    with session.server.lock:
        function.set_register(u.IDXD_GENCFG_OFFSET, 1)
    session.run(f"echo 1 >/sys/bus/pci/devices/{slot}/reset")
    with session.server.lock:
        assert function.register(u.IDXD_GENCFG_OFFSET) & 0xFF == 0  # the limit of read buffers
    session.run(configured(device[-1]) + bound(device, "idxd"))
    assert state() == "enabled"
    session.run(bound(device, "idxd", "unbind"))
    assert state() == "disabled"


def test_memory_of_the_guest(session, function):
    with session.server.lock:
        assert b"RSD PTR " in function.dma.read(0xE0000, 0x20000)
        with pytest.raises(DmaFault):
            function.dma.read(1 << 40, 8)


def test_the_hardware_fails(kernel, machine):
    """In a boot of its own: what the kernels do then is not to be built upon."""
    with Session(kernel, machine) as session:
        function = session.server.functions[DSA_2]
        before = interrupts(session, 2)
        with session.server.lock:
            function.halt(u.IDXD_DEVICE_RESET_FLR)
        session.run("sleep 0.5")
        with session.server.lock:
            assert function.register(u.IDXD_INTCAUSE_OFFSET) == 0
            was_reset = function.gensts.state != u.IDXD_DEVICE_STATE_HALT
        # 7.2 resets the function and begins anew, its interrupts too.
        assert was_reset or interrupts(session, 2) > before
