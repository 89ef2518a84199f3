# SPDX-License-Identifier: Apache-2.0
"""DPDK's environment takes a function through VFIO, without hugepages.

The plan: it opens container, group and device, maps its 64 MiB of memory for DMA and the BARs of
the e1000e for itself, and hands them to its driver. That one finds registers but no EEPROM behind
them, so it gives up on the hardware, and EAL lets go of everything again.
"""

import pytest

PACKAGE = "dpdk-dev"
NIC, EDU = "0000:00:06.0", "0000:00:05.0"
WORDS = "--no-huge --no-shconf --no-telemetry -m 64 -l 0 --iova-mode=va --log-level=lib.eal:debug"

TAKEN = """\
EAL: Probing VFIO support...
EAL: IOMMU type 1 (Type 1) is supported
EAL: IOMMU type 7 (sPAPR) is not supported
EAL: IOMMU type 8 (No-IOMMU) is not supported
EAL: VFIO support initialized
EAL: Added 64M to heap on socket 0
EAL: PCI device 0000:00:06.0 on NUMA socket -1
EAL:   probe driver: 8086:10d3 net_e1000_em
EAL: Using IOMMU type 1 (Type 1)
EAL: VFIO reports MSI-X BAR as mappable
EAL:   PCI memory mapped at
EAL:   PCI memory mapped at
EAL: Ignore mapping IO port bar(2)
EAL:   PCI memory mapped at
EAL: Probe PCI driver: net_e1000_em (8086:10d3) device: 0000:00:06.0 (socket -1)
EAL: Releasing PCI mapped resource for 0000:00:06.0
EAL:   PCI memory unmapped at
EAL:   PCI memory unmapped at
EAL:   PCI memory unmapped at
EAL: Requested device 0000:00:06.0 cannot be used
EAL: Bus (pci) probe failed.
RTE>>quit
"""


@pytest.fixture(params=["6.1", "6.12", "7.2"])
def q35(inside, need, request, tmp_path, monkeypatch):
    need("dpdk-test")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return inside("qemu-q35", profile=request.param)


def bound(slot):
    """Shell words that give the function to vfio-pci."""
    return (
        f"cd /sys/bus/pci && echo vfio-pci > devices/{slot}/driver_override"
        f" && echo {slot} > drivers_probe"
    )


def said_of(q35, slot):
    """What dpdk-test says on its way to its prompt, and then."""
    done = q35("sh", "-c", f"echo quit | dpdk-test {WORDS} -a {slot} 2>&1")
    assert q35.machine.leaks() == []
    return done.out


def in_order(said, lines):
    """Each of ``lines`` begins a line of ``said``, behind the one before."""
    rest = iter(said.splitlines())
    for line in lines.splitlines():
        assert any(found.startswith(line) for found in rest), f"{line!r} is not in:\n{said}"


def test_a_network_function(q35):
    q35("sh", "-c", bound(NIC))
    said = said_of(q35, NIC)
    in_order(said, TAKEN)
    assert said.count("PCI memory mapped at") == 3


@pytest.mark.parametrize("slot", [NIC, EDU], ids=["unbound", "unknown"])
def test_a_function_that_is_left_alone(q35, slot):
    """It is with no driver of the kernel's, or none of DPDK's knows it; VFIO is there for both."""
    if slot == EDU:
        q35("sh", "-c", bound(EDU))
    said = said_of(q35, slot)
    in_order(said, "EAL: VFIO support initialized\nRTE>>quit")
    assert "PCI device" not in said
