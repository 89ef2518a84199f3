# SPDX-License-Identifier: Apache-2.0
"""Which registers accesses to configuration space are about."""

import pytest

from harness.config_accesses import ConfigAccesses


def space(**places):
    """A configuration space with bytes at places, such as ``x34="40"``."""
    content = bytearray(4096)
    for place, data in places.items():
        start = int(place[1:], 16)
        content[start : start + len(bytes.fromhex(data))] = bytes.fromhex(data)
    return bytes(content)


@pytest.fixture
def accesses():
    return ConfigAccesses()


def test_a_write_names_the_register_and_the_bits(accesses):
    found = accesses.write(4, b"\x06\x00")
    assert found == {"PCI_COMMAND", "PCI_COMMAND_MEMORY", "PCI_COMMAND_MASTER"}


def test_part_of_a_register_says_nothing_of_its_bits(accesses):
    assert accesses.write(5, b"\x04") == {"PCI_COMMAND"}


def test_registers_that_share_a_place(accesses):
    assert accesses.read(8, b"\x01\x02") == {
        "PCI_CLASS_REVISION",
        "PCI_REVISION_ID",
        "PCI_CLASS_PROG",
    }


def test_a_bridge_has_other_registers(accesses):
    assert "PCI_SUBSYSTEM_ID" in accesses.read(0, space()[:64])
    found = accesses.read(0, space(x0e="81")[:64])
    assert {"PCI_HEADER_TYPE_BRIDGE", "PCI_SECONDARY_BUS"} <= found
    assert "PCI_SUBSYSTEM_ID" not in found


def test_capabilities_are_found_by_what_was_read(accesses):
    content = space(x34="40", x40="1150", x50="0100")
    assert accesses.write(0x42, b"\0\x80") == set()
    accesses.read(0, content[:64])
    assert accesses.write(0x42, b"\0\x80") == set()
    found = accesses.read(0x40, content[0x40:0x80])
    assert {"PCI_CAP_ID_MSIX", "PCI_CAP_ID_PM", "PCI_MSIX_TABLE", "PCI_PM_CTRL"} <= found
    assert accesses.write(0x42, b"\0\x80") == {"PCI_MSIX_FLAGS", "PCI_MSIX_FLAGS_ENABLE"}


def test_extended_capabilities(accesses):
    content = space(x100="0f000130", x300="10000100")
    found = accesses.read(0x100, content[0x100:])
    assert {"PCI_EXT_CAP_ID_ATS", "PCI_EXT_CAP_ID_SRIOV", "PCI_SRIOV_NUM_VF"} <= found
    assert accesses.write(0x106, b"\0\x80") == {"PCI_ATS_CTRL", "PCI_ATS_CTRL_ENABLE"}


@pytest.mark.parametrize(
    "places",
    [{"x34": "40", "x40": "0540"}, {"x34": "40", "x40": "0504"}, {"x100": "03000110"}],
    ids=["itself", "the header", "itself, extended"],
)
def test_a_list_that_does_not_end(accesses, places):
    assert "PCI_VENDOR_ID" in accesses.read(0, space(**places))


def test_beyond_the_end(accesses):
    assert accesses.read(4096, b"\1" * 16) == set()
    assert accesses.write(1 << 30, b"\1") == set()
