# SPDX-License-Identifier: Apache-2.0
"""Configuration space from a description: the bytes of a real one, chains, and what is refused."""

import json

import pytest

from harness import data
from harness.hardware import pci_config as cfg
from harness.hardware.pci_config import Bar, ConfigError, FunctionEntry, build_config

RECORDED_COMMAND, RECORDED_MSIX = 0x0507, 0x8008
DSA = FunctionEntry(
    vendor=0x8086,
    device=0x0B25,
    subsystem_vendor=0x8086,
    subsystem_device=0,
    class_code=0x088000,
    revision=0,
    command=RECORDED_COMMAND,
    bars={
        0: Bar(0, 0x10000, 0xFEBE0000, prefetchable=True, bits=64),
        2: Bar(2, 0x20000, 0xFEBC0000, prefetchable=True, bits=64),
    },
    capabilities=(
        {"kind": "pcie", "at": 0x40, "flags": 0x92, "device": 0x10008000, "device2": 0x600000},
        {"kind": "msix", "at": 0x80, "vectors": 9, "table": 0x2000, "pba": 0x3000},
        {"kind": "pm", "at": 0x90, "capabilities": 3, "control": 8},
    ),
)


def test_a_recorded_function_is_built_byte_by_byte():
    text = data.data_path("fixtures", "trees", "q35-dsa-6.1.json").read_text()
    node = json.loads(text)["nodes"]["/sys/devices/pci0000:00/0000:00:05.0/config"]
    built = build_config(DSA)
    built[0x82:0x84] = RECORDED_MSIX.to_bytes(2, "little")  # its driver turned MSI-X on
    assert built.hex() == node["hex"]


def test_recorded_bytes_are_below_everything_else():
    config = build_config(FunctionEntry(config=b"\x34\x12\x78\x56\x07", device=0x1111))
    assert config[:6] == b"\x34\x12\x11\x11\x07\0"
    assert len(config) == 256


def test_recorded_bytes_of_the_extended_space_make_it():
    assert len(build_config(FunctionEntry(config=bytes(256) + b"\x01"))) == 4096


def test_extended_capabilities_are_a_chain():
    config = build_config(
        FunctionEntry(
            capabilities=(
                {"kind": "pcie", "at": 0x40},
                {"kind": "ltr", "at": 0x100},
                {"kind": "ats", "at": 0x220, "control": 0x8000},
                {"kind": "dvsec", "at": 0x180, "vendor": 0x8086, "length": 24, "id": 5},
            )
        )
    )
    assert cfg.load(config, 0x100, 4) == 0x2201_0018
    assert cfg.load(config, 0x220, 4) == 0x1801_000F
    assert cfg.load(config, 0x180, 4) == 0x0001_0023
    assert config[0x184:0x18A].hex() == "868080010500"
    assert cfg.find_extended_capability(config, cfg.EXT_CAP_ATS) == 0x220
    assert cfg.find_extended_capability(config, 0x23) == 0x180
    assert cfg.find_extended_capability(config, cfg.EXT_CAP_PRI) == 0


def test_recorded_bytes_of_a_capability():
    config = build_config(
        FunctionEntry(capabilities=({"kind": "pm", "at": 0x50, "data": "0b 00", "control": 8},))
    )
    assert config[0x50:0x56].hex() == "01000b000800"


def test_find_capability():
    config = build_config(DSA)
    assert [cfg.find_capability(config, n) for n in (0x10, 0x11, 0x01, 0x05)] == [
        0x40,
        0x80,
        0x90,
        0,
    ]


def test_a_capability_list_without_end_ends():
    config = build_config(DSA)
    config[0x91] = 0x40
    assert cfg.find_capability(config, cfg.CAP_MSI) == 0


@pytest.mark.parametrize(
    ("bar", "flags"),
    [
        (Bar(0, 16, kind="io"), 1),
        (Bar(0, 16), 0),
        (Bar(0, 16, prefetchable=True), 8),
        (Bar(0, 16, bits=64), 4),
        (Bar(0, 16, prefetchable=True, bits=64), 12),
    ],
)
def test_bar_flags(bar, flags):
    assert bar.flags() == flags


@pytest.mark.parametrize("bar", [Bar(0, 0), Bar(0, -16), Bar(0, 24), Bar(0, 16, address=8)])
def test_bars_that_cannot_be(bar):
    with pytest.raises(ConfigError, match="power of two") as caught:
        build_config(FunctionEntry(bars={0: bar}))
    assert caught.value.keys == ("bars", 0)


@pytest.mark.parametrize(
    ("capability", "keys"),
    [
        ({}, ()),
        ({"kind": ["pm"], "at": 0x40}, ("kind",)),
        ({"kind": "pm", "at": 0x3C}, ("at",)),
        ({"kind": "pm", "at": 0x100}, ("at",)),
        ({"kind": "ats", "at": 0xFC}, ("at",)),
        ({"kind": "ats", "at": 0x1000}, ("at",)),
        ({"kind": "pm", "at": "40"}, ("at",)),
        ({"kind": "pm", "at": 0x40, "control": 0x10000}, ("control",)),
        ({"kind": "pm", "at": 0x40, "control": "8"}, ("control",)),
        ({"kind": "pm", "at": 0x40, "data": 12}, ("data",)),
    ],
)
def test_capabilities_that_cannot_be(capability, keys):
    with pytest.raises(ConfigError) as caught:
        build_config(FunctionEntry(capabilities=(capability,)))
    assert caught.value.keys == ("capabilities", 0, *keys)
