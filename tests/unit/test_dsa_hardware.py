# SPDX-License-Identifier: Apache-2.0
"""DSA as hardware, through its registers alone: commands, their errors, and what is locked when."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.hardware.dsa import DsaFunction
from harness.hardware.pci import PciFunction
from harness.hardware.pci_config import Bar, ConfigError, FunctionEntry
from harness.uapi import idxd as u

MMIO = u.IDXD_MMIO_BAR
WQCFG, GRPCFG = 0x400, 0x300
MSIX = {"kind": "msix", "at": 0x80, "vectors": 9, "table": 0x2000, "pba": 0x3000}
MASTER = 0x0004
#: GENCAP with the bit that says that CMDCAP is there.
HAS_CMD_CAP = 0x40915F011F


def dsa(command=MASTER | 2, sizes=(0x10000, 0x20000), **registers):
    bars = {
        index: Bar(index, size, 0xFEB00000 + 0x100000 * index, prefetchable=True, bits=64)
        for index, size in zip((0, 2), sizes, strict=True)
    }
    return DsaFunction(
        FunctionEntry(
            vendor=0x8086,
            device=0x0B25,
            class_code=0x088000,
            command=command,
            bars=bars,
            capabilities=(MSIX,),
            registers=registers,
        )
    )


def store(device, offset, value, size=4):
    device.bar_store(MMIO, offset, size, value)


def load(device, offset, size=4):
    return device.bar_load(MMIO, offset, size)


def run(device, command, operand=0):
    """Give a command, and return CMDSTS."""
    store(device, u.IDXD_CMD_OFFSET, command << 20 | operand)
    return load(device, u.IDXD_CMDSTS_OFFSET)


def wq(index, word):
    return WQCFG + 32 * index + 4 * word


def configured(**options):
    """Work queue 0 with 16 entries and engine 0 in group 0: the least that can be enabled."""
    device = dsa(**options)
    store(device, wq(0, 0), 16)
    store(device, wq(0, 2), 1 | 10 << 4)  # dedicated, of priority 10
    store(device, GRPCFG, 1, 8)
    store(device, GRPCFG + 32, 1, 8)
    for index in range(4):
        flags = u.GrpCfg.from_buffer_copy(bytes(64)).flags
        flags.rdbufs_allowed = 96
        value = int.from_bytes(bytes(flags), "little")
        store(device, GRPCFG + 64 * index + 40, value, 4)
    return device


def test_enable_and_disable():
    device = configured()
    assert run(device, u.IDXD_CMD_ENABLE_DEVICE) == 0
    assert load(device, u.IDXD_GENSTATS_OFFSET) & 3 == u.IDXD_DEVICE_STATE_ENABLED
    assert run(device, u.IDXD_CMD_ENABLE_WQ, 0) == 0
    assert device.wqs[0].wq_state == 1
    assert run(device, u.IDXD_CMD_DISABLE_DEVICE) == 0
    assert device.wqs[0].wq_state == 0
    assert load(device, wq(0, 0)) == 16


DEVICE_ERRORS = {
    "no bus master": ({"command": 2}, {}, u.IDXD_CMDSTS_ERR_BUSMASTER_EN),
    "too much": ({}, {wq(1, 0): 113}, u.IDXD_CMDSTS_ERR_WQ_SIZE_ERANGE),
    "queue without engine": ({}, {GRPCFG + 32: 0}, u.IDXD_CMDSTS_ERR_GRP_CONFIG),
    "engine without queue": ({}, {GRPCFG: 0}, u.IDXD_CMDSTS_ERR_GRP_CONFIG),
    "queue twice": (
        {},
        {GRPCFG + 64: 1, GRPCFG + 96: 2},
        u.IDXD_CMDSTS_ERR_GRP_CONFIG2,
    ),
    "engine twice": (
        {},
        {GRPCFG + 64: 2, GRPCFG + 96: 1},
        u.IDXD_CMDSTS_ERR_GRP_CONFIG3,
    ),
    "no read buffers": ({}, {GRPCFG + 40: 0}, u.IDXD_CMDSTS_ERR_GRP_CONFIG4),
}


@pytest.mark.parametrize("name", DEVICE_ERRORS)
def test_a_device_that_cannot_be_enabled(name):
    options, stores, code = DEVICE_ERRORS[name]
    device = configured(**options)
    for offset, value in stores.items():
        store(device, offset, value)
    assert run(device, u.IDXD_CMD_ENABLE_DEVICE) == code
    assert load(device, u.IDXD_GENSTATS_OFFSET) & 3 == u.IDXD_DEVICE_STATE_DISABLED


def test_hardware_without_checks_enables_anything():
    device = dsa(configuration_checks=False)
    assert run(device, u.IDXD_CMD_ENABLE_DEVICE) == 0
    store(device, GRPCFG, 1, 8)
    assert load(device, GRPCFG, 8) == 1


@pytest.mark.parametrize(
    ("stores", "index", "code"),
    [
        ({}, 1, u.IDXD_CMDSTS_ERR_WQ_SIZE),
        ({}, 8, u.IDXD_CMDSTS_INVAL_WQIDX),
        ({wq(0, 2): 1}, 0, u.IDXD_CMDSTS_ERR_WQ_PRIOR),
        ({wq(0, 3): 15 << 5}, 0, u.IDXD_CMDSTS_ERR_MAX_BATCH_SIZE),
    ],
    ids=["size", "index", "priority", "batch"],
)
def test_a_queue_that_cannot_be_enabled(stores, index, code):
    device = configured()
    for offset, value in stores.items():
        store(device, offset, value)
    assert run(device, u.IDXD_CMD_ENABLE_WQ, index) == u.IDXD_CMDSTS_ERR_DEV_NOTEN
    assert run(device, u.IDXD_CMD_ENABLE_DEVICE) == 0
    assert run(device, u.IDXD_CMD_ENABLE_WQ, index) == code
    assert not any(queue.wq_state for queue in device.wqs)


def test_what_is_enabled_is_locked():
    device = configured()
    run(device, u.IDXD_CMD_ENABLE_DEVICE)
    run(device, u.IDXD_CMD_ENABLE_WQ, 0)
    before = bytes(load(device, offset, 1) for offset in range(GRPCFG, WQCFG + 32))
    for offset in range(GRPCFG, WQCFG + 32, 4):
        if not wq(0, 4) <= offset <= wq(0, 5):  # occupancy limits are for running queues
            store(device, offset, 0xFFFFFFFF)
    assert bytes(load(device, offset, 1) for offset in range(GRPCFG, WQCFG + 32)) == before
    assert run(device, u.IDXD_CMD_ENABLE_WQ, 0) == u.IDXD_CMDSTS_ERR_WQ_ENABLED
    assert run(device, u.IDXD_CMD_ENABLE_DEVICE) == u.IDXD_CMDSTS_ERR_DEV_ENABLED


def test_reset_of_a_queue_keeps_its_size():
    device = configured()
    run(device, u.IDXD_CMD_ENABLE_DEVICE)
    run(device, u.IDXD_CMD_ENABLE_WQ, 0)
    assert run(device, u.IDXD_CMD_RESET_WQ, 1) == 0
    assert load(device, wq(0, 0)) == 16
    assert load(device, wq(0, 2)) == 0


@pytest.mark.parametrize("command", [0, 15, 31])
def test_an_unknown_command(command):
    assert run(dsa(), command) == u.IDXD_CMDSTS_INVAL_CMD


def test_a_command_that_the_capabilities_leave_out():
    device = dsa(gen_cap=HAS_CMD_CAP, cmd_cap=1 << u.IDXD_CMD_RESET_DEVICE)
    assert run(device, u.IDXD_CMD_RESET_DEVICE) == 0
    assert run(device, u.IDXD_CMD_DRAIN_ALL) == u.IDXD_CMDSTS_INVAL_CMD


def test_interrupt_handles():
    device = dsa(gen_cap=HAS_CMD_CAP, cmd_cap=0xFFFF, interrupt_handles=2)
    shift = u.IDXD_CMDSTS_RES_SHIFT
    assert run(device, u.IDXD_CMD_REQUEST_INT_HANDLE, 3) == 3 << shift
    assert run(device, u.IDXD_CMD_REQUEST_INT_HANDLE, 4) == 4 << shift
    assert run(device, u.IDXD_CMD_REQUEST_INT_HANDLE, 5) == u.IDXD_CMDSTS_ERR_NO_HANDLE
    assert run(device, u.IDXD_CMD_REQUEST_INT_HANDLE, 9) == u.IDXD_CMDSTS_ERR_INVAL_INT_IDX
    assert run(device, u.IDXD_CMD_RELEASE_INT_HANDLE, 5) == u.IDXD_CMDSTS_ERR_INVAL_HANDLE
    assert run(device, u.IDXD_CMD_RELEASE_INT_HANDLE, 4) == 0


def test_the_end_of_a_command_is_told_if_that_was_asked_for():
    device = dsa()
    run(device, u.IDXD_CMD_RESET_DEVICE)
    assert load(device, u.IDXD_INTCAUSE_OFFSET) == 0
    run(device, u.IDXD_CMD_RESET_DEVICE | 1 << 11)
    assert load(device, u.IDXD_INTCAUSE_OFFSET) == u.IDXD_INTC_CMD
    store(device, u.IDXD_INTCAUSE_OFFSET, u.IDXD_INTC_CMD)
    assert load(device, u.IDXD_INTCAUSE_OFFSET) == 0


def test_a_halted_device_does_nothing():
    device = configured()
    device.halt(u.IDXD_DEVICE_RESET_FLR)
    assert run(device, u.IDXD_CMD_ENABLE_DEVICE) == u.IDXD_CMDSTS_HW_ERR
    device.reset()
    assert load(device, u.IDXD_GENSTATS_OFFSET) == 0
    assert load(device, wq(0, 0)) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 0xFF).filter(lambda offset: offset % 4 == 0), st.integers(0, 0xFFFFFFFF))
def test_capabilities_cannot_be_written(offset, value):
    capabilities = range(u.IDXD_OPCAP_OFFSET + 32)
    device = dsa()
    before = [load(device, position, 1) for position in capabilities]
    if offset in capabilities:
        store(device, offset, value)
    assert [load(device, position, 1) for position in capabilities] == before


@pytest.mark.parametrize("sizes", [(0x200, 0x20000), (0x10000, 0x1000)])
def test_bars_that_are_too_small(sizes):
    with pytest.raises(ConfigError, match="is needed, with at least"):
        dsa(sizes=sizes)


def test_a_reset_turns_off_what_a_machine_file_recorded_as_on():
    recorded = (
        {"kind": "pcie", "at": 0x40},
        {"kind": "ats", "at": 0x100, "control": 0x8000},
        {"kind": "pasid", "at": 0x110, "capabilities": 0x1404, "control": 5},
        {"kind": "pri", "at": 0x120, "control": 1, "capacity": 0x200, "allocation": 0x200},
    )
    function = PciFunction(FunctionEntry(capabilities=recorded))
    fields = ((0x106, 2), (0x116, 2), (0x124, 2), (0x12C, 4))
    assert [function.config_read(*field) for field in fields] == [0x8000, 5, 1, 0x200]
    function.reset()
    assert [function.config_read(*field) for field in fields] == [0, 0, 0, 0]
    assert function.config_read(0x128, 4) == 0x200  # the capacity
