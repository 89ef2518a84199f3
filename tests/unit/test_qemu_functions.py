# SPDX-License-Identifier: Apache-2.0
"""Functions of the machine qemu-q35 as hardware: lines, messages, DMA, registers."""

import pytest

from harness.hardware import KINDS, edu
from harness.hardware import pci_config as cfg
from harness.hardware.pci import DmaFault
from harness.hardware.pci_config import Bar, FunctionEntry

MEMORY, MASTER = cfg.COMMAND_MEMORY, cfg.COMMAND_MASTER
MSI_CONFIG = bytes(6) + b"\x10" + bytes(0x2D) + b"\x40" + bytes(11) + b"\x05\x00\x80\x01"


class Memory:
    """What the device reaches: 4096 bytes at 0x1000."""

    def __init__(self):
        self.content = bytearray(4096)

    def _check(self, address, count):
        if not 0x1000 <= address <= 0x2000 - count:
            raise DmaFault(address)
        return address - 0x1000

    def read(self, address, count):
        start = self._check(address, count)
        return bytes(self.content[start : start + count])

    def write(self, address, data):
        start = self._check(address, len(data))
        self.content[start : start + len(data)] = data


@pytest.fixture
def device():
    device = edu.EduFunction(FunctionEntry(bars={0: Bar(0, 0x100000)}, config=MSI_CONFIG))
    device.messages, device.pulls = [], []
    device.interrupt = device.messages.append
    device.line = lambda: device.pulls.append(True)
    device.dma = Memory()
    device.config_write(cfg.COMMAND, 2, MEMORY | MASTER)
    return device


def test_registers(device):
    assert device.load(0, edu.IDENTITY, 4) == edu.IDENTIFICATION
    device.store(0, edu.LIVENESS, 4, 0xFF)
    assert device.load(0, edu.LIVENESS, 4) == 0xFFFFFF00
    device.store(0, edu.FACTORIAL, 4, 6)
    assert device.load(0, edu.FACTORIAL, 4) == 720
    assert device.load(0, 0x30, 4) == 0xFFFFFFFF
    assert device.load(0, edu.IDENTITY, 2) == 0


def test_the_line_is_a_level(device):
    device.store(0, edu.INTERRUPT_RAISE, 4, 1)
    device.store(0, edu.INTERRUPT_RAISE, 4, 2)
    assert device.pulls == [True]
    assert device.line_asserted
    device.config_write(cfg.COMMAND, 2, MEMORY | cfg.COMMAND_INTX_DISABLE)
    assert not device.line_asserted
    device.config_write(cfg.COMMAND, 2, MEMORY)
    assert device.pulls == [True, True]
    device.store(0, edu.INTERRUPT_ACKNOWLEDGE, 4, 3)
    assert not device.line_asserted


def test_a_message_instead(device):
    device.config_write(0x42, 2, cfg.MSI_ENABLE)
    device.store(0, edu.INTERRUPT_RAISE, 4, 1)
    assert (device.messages, device.pulls) == ([0], [])
    device.config_write(cfg.COMMAND, 2, MEMORY)
    device.store(0, edu.INTERRUPT_RAISE, 4, 1)
    assert device.messages == [0]


def test_a_masked_message_waits(device):
    device.config_write(0x42, 2, cfg.MSI_ENABLE)
    device.config_write(0x50, 4, 1)
    device.store(0, edu.INTERRUPT_RAISE, 4, 1)
    assert device.messages == []
    assert device.config_read(0x54, 4) == 1
    device.config_write(0x50, 4, 0)
    assert device.messages == [0]
    assert device.config_read(0x54, 4) == 0


def transfer(device, source, destination, count, command):
    for register, value in (
        (edu.DMA_SOURCE, source),
        (edu.DMA_DESTINATION, destination),
        (edu.DMA_COUNT, count),
        (edu.DMA_COMMAND, command | edu.DMA_START),
    ):
        device.store(0, register, 8, value)


def test_dma(device):
    device.dma.content[:5] = b"hello"
    transfer(device, 0x1000, edu.BUFFER, 5, 0)
    transfer(device, edu.BUFFER, 0x1100, 5, edu.DMA_TO_MEMORY)
    assert device.dma.content[0x100:0x105] == b"hello"
    assert device.load(0, edu.DMA_COMMAND, 8) & edu.DMA_START == 0


@pytest.mark.parametrize(
    ("source", "count"),
    [(edu.BUFFER - 1, 4), (edu.BUFFER + 4093, 4), (edu.BUFFER, 4097), (0, 4)],
)
def test_dma_stays_in_the_buffer(device, source, count):
    device.dma.content[:] = b"\x5a" * 4096
    transfer(device, source, 0x1000, count, edu.DMA_TO_MEMORY)
    assert device.dma.content == b"\x5a" * 4096


def test_dma_that_faults_is_over_all_the_same(device):
    transfer(device, edu.BUFFER, 0x9000, 4, edu.DMA_TO_MEMORY | edu.DMA_INTERRUPT)
    assert device.load(0, edu.INTERRUPT_STATUS, 4) == edu.DMA_DONE


def test_a_reset_forgets(device):
    device.store(0, edu.INTERRUPT_RAISE, 4, 1)
    device.reset()
    assert not device.line_asserted
    device.config_write(cfg.COMMAND, 2, MEMORY)
    assert device.load(0, edu.INTERRUPT_STATUS, 4) == 0


# --- kinds of which only registers are known


def function(kind, **registers):
    return KINDS[kind](FunctionEntry(bars={0: Bar(0, 0x20000)}, registers=registers))


def test_constant_registers():
    device = function("registers", bar0={0x8: 0x11223344})
    device.config_write(cfg.COMMAND, 2, MEMORY)
    device.store(0, 8, 4, 0)
    device.store(0, 12, 4, 0xAABBCCDD)
    assert device.load(0, 8, 8) == 0xAABBCCDD11223344
    assert device.load(0, 9, 1) == 0x33


@pytest.mark.parametrize(
    "registers",
    [{"bar1": {}}, {"words": {}}, {"bar0": 3}, {"bar0": {2: 1}}, {"bar0": {0x20000: 1}}],
)
def test_registers_that_no_bar_has(registers):
    with pytest.raises(ValueError, match=r"bar|words"):
        function("registers", **registers)


def test_e1000e_takes_narrow_accesses_for_whole_registers():
    device = function("e1000e")
    device.config_write(cfg.COMMAND, 2, MEMORY)
    assert device.load(0, 2, 2) == 0x0241
    device.store(0, 4, 4, 1 << 26 | 5)
    assert (device.load(0, 0, 4), device.load(0, 4, 4)) == (5, 0)
    device.store(0, 8, 4, 0)
    assert device.load(0, 8, 4) == 0x00080283
    device.reset()
    device.config_write(cfg.COMMAND, 2, MEMORY)
    assert device.load(0, 0, 4) == 0x00140241
