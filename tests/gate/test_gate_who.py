# SPDX-License-Identifier: Apache-2.0
"""Who notices: changes of the kernel's headers name the programs that were seen to use them."""

import io
import json

import pytest

from harness.data import data_path
from harness.gate.command import gate

OLD = data_path("fixtures", "headers", "6.12.yaml")


@pytest.fixture
def uses(tmp_path):
    """``uses(before, after)``: what programs do with the one thing that a change is about."""

    def uses(before, after):
        text = OLD.read_text()
        assert text.count(before) == 1
        new = tmp_path / "new.yaml"
        new.write_text(text.replace(before, after))
        output = io.StringIO()
        gate(str(OLD), str(new), format="json", output=output)
        (finding,) = json.loads(output.getvalue())["findings"]
        assert [use.partition(" ")[0] for use in finding["uses"]] == [
            tool.partition(" ")[0] for tool in finding["tools"]
        ]
        # Versions change with every recording.
        return {use.split()[0]: " ".join(use.split()[2:]) for use in finding["uses"]}

    return uses


def test_a_flag_that_is_passed(uses):
    found = uses(" VFIO_DMA_MAP_FLAG_READ: 1\n", " VFIO_DMA_MAP_FLAG_READ: 0x10\n")
    assert found["qemu"] == "passes it in VFIO_IOMMU_MAP_DMA"
    assert found.keys() == {"dpdk", "qemu", "selftests-vfio"}


def test_a_flag_that_is_given_back(uses):
    found = uses(" VFIO_DEVICE_FLAGS_PCI: 2\n", " VFIO_DEVICE_FLAGS_PCI: 0x10000\n")
    assert found["qemu"] == "is given it by VFIO_DEVICE_GET_INFO"


def test_a_value(uses):
    found = uses(" VFIO_TYPE1v2_IOMMU: 3\n", " VFIO_TYPE1v2_IOMMU: 0x63\n")
    assert found["qemu"] == "passes it in VFIO_CHECK_EXTENSION, VFIO_SET_IOMMU"
    assert "dpdk" not in found


def test_an_enumerator(uses):
    found = uses(" VFIO_PCI_REQ_IRQ_INDEX: 4\n", " VFIO_PCI_REQ_IRQ_INDEX: 6\n")
    assert found["dpdk"] == "passes it in VFIO_DEVICE_SET_IRQS"


def test_a_struct_that_is_called_otherwise_than_its_command(uses):
    line = "      struct vfio_iommu_type1_dma_map:\n        size: "
    found = uses(f"{line}32\n", f"{line}40\n")
    assert found["qemu"] == "sends VFIO_IOMMU_MAP_DMA"


def test_a_number_that_a_node_shows(uses):
    name = " IDXD_SCMD_WQ_NONE_CONFIGURED: 0x80"
    found = uses(f"{name}0d", f"{name}7d")
    node = "/sys/devices/<bus>/<function>/dsa<n>/cmd_status"
    assert found == {"accel-config": f"is given it by {node}"}


def test_a_new_flag_with_the_bit_of_one_that_is_passed(uses):
    old = " VFIO_DMA_MAP_FLAG_READ: 1\n"
    found = uses(old, f"{old}      VFIO_DMA_MAP_FLAG_REED: 1\n")
    assert found["qemu"] == "passes VFIO_DMA_MAP_FLAG_READ in VFIO_IOMMU_MAP_DMA"


def test_a_new_command_with_the_number_of_one_that_is_sent(uses):
    (line,) = (one for one in OLD.read_text().splitlines() if " VFIO_DEVICE_RESET: " in one)
    found = uses(line, f"{line}\n{line.replace('RESET', 'RELAX')}")
    assert found["qemu"] == "sends VFIO_DEVICE_RESET"


def test_a_register(uses):
    found = uses(" PCI_COMMAND: 4\n", " PCI_COMMAND: 0x14\n")
    node = "/sys/devices/<bus>/<function>/config"
    assert found["setpci"] == f"passes it in {node}, is given it by {node}"
    assert found["lspci"] == f"is given it by {node}"
    assert found["qemu"].startswith("passes it in VFIO_PCI_CONFIG_REGION_INDEX")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("VFIO_DMA_MAP_FLAG_VADDR: 4", "VFIO_DMA_MAP_FLAG_VADDR: 0x40"),
        ("VFIO_PCI_VGA_REGION_INDEX: 8", "VFIO_PCI_VGA_REGION_INDEX: 0x10"),
        ("VFIO_DEVICE_IOEVENTFD_8: 1", "VFIO_DEVICE_IOEVENTFD_8: 0x100"),
        ("PCI_CB_CARD_BUS: 0x19", "PCI_CB_CARD_BUS: 0x29"),
    ],
)
def test_what_nobody_passes(uses, before, after):
    assert uses(f" {before}\n", f" {after}\n") == {}
