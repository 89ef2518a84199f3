# SPDX-License-Identifier: Apache-2.0
"""Who notices: recordings of tools, and the findings that name them."""

import json
from pathlib import Path

import jsonschema
import pytest

import harness.gate
from harness.gate import coverage, recording
from harness.gate.errors import GateError
from harness.gate.findings import Finding
from harness.gate.who import with_users

SCHEMA = json.loads((Path(harness.gate.__file__).parent / "coverage.schema.json").read_text())
RECORDINGS = sorted(coverage.folder().glob("*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recording(path):
    document = json.loads(path.read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["tool"] == path.stem
    assert list(document["nodes"]) == sorted(document["nodes"])


def test_every_recording_has_a_scenario():
    assert {path.stem for path in RECORDINGS} <= {one.tool for one in recording.scenarios()}
    assert RECORDINGS


def said(subject, header=None):
    """Who uses it, and how."""
    (finding,) = with_users([Finding("node-removed", subject, "", header)])
    return [str(user) for user in finding.users]


def tools(subject):
    return [words.split()[0] for words in said(subject)]


def test_who_reads_a_node():
    subject = "/sys/devices/<bus>/<function>/dsa<n>/wq<n>.<n>/threshold"
    assert tools(subject) == ["accel-config"]
    assert "lspci" in tools("/sys/devices/<bus>/<function>/config")
    assert tools("/sys/devices/<bus>/<function>/dsa<n>/no_such_thing") == []


def test_a_node_is_the_same_by_whatever_way():
    assert tools("/sys/bus/dsa/devices/wq<n>.<n>/threshold") == ["accel-config"]


def recording_of(tool, *, ioctls=(), constants=None, nodes=None):
    return coverage.Coverage(1, tool, "7.2", "6.12", ioctls, constants or {}, nodes or {})


@pytest.fixture
def recorded(monkeypatch):
    """``recorded(one, other)``: these and no others."""

    def recorded(*those):
        monkeypatch.setattr(coverage, "recordings", lambda: those)

    return recorded


QEMU = recording_of(
    "qemu",
    ioctls=("VFIO_DEVICE_GET_INFO", "VFIO_DEVICE_GET_REGION_INFO", "VFIO_IOMMU_MAP_DMA"),
    constants={
        "VFIO_DMA_MAP_FLAG_READ": {"passed": ("VFIO_IOMMU_MAP_DMA",)},
        "VFIO_PCI_BAR0_REGION_INDEX": {
            "passed": ("VFIO_A", "VFIO_B"),
            "given": ("VFIO_C",),
        },
        "VFIO_REGION_INFO_CAP_SPARSE_MMAP": {"given": ("VFIO_DEVICE_GET_REGION_INFO",)},
    },
)


@pytest.mark.parametrize(
    ("subject", "how"),
    [
        ("VFIO_DEVICE_GET_INFO", ["qemu 7.2 sends it"]),
        ("struct vfio_device_info.flags", ["qemu 7.2 sends VFIO_DEVICE_GET_INFO"]),
        ("struct vfio_iommu_type1_dma_map", ["qemu 7.2 sends VFIO_IOMMU_MAP_DMA"]),
        ("struct vfio_group_status", []),
        ("struct not_known", []),
        ("VFIO_DMA_MAP_FLAG_READ", ["qemu 7.2 passes it in VFIO_IOMMU_MAP_DMA"]),
        (
            "VFIO_PCI_BAR0_REGION_INDEX",
            ["qemu 7.2 passes it in VFIO_A, VFIO_B, is given it by VFIO_C"],
        ),
        (
            "struct vfio_region_info_cap_sparse_mmap.nr_areas",
            ["qemu 7.2 is given VFIO_REGION_INFO_CAP_SPARSE_MMAP"],
        ),
        ("struct vfio_info_cap_header", ["qemu 7.2 is given VFIO_REGION_INFO_CAP_SPARSE_MMAP"]),
        ("VFIO_DMA_MAP_FLAG_WRITE", []),
        ("VFIO_DMA_MAP_FLAG_VADDR", []),
    ],
)
def test_who_uses_what_is_in_a_header(recorded, subject, how):
    recorded(QEMU, recording_of("other"))
    assert said(subject, "linux/vfio.h") == how


def test_table(recorded):
    constants = {"VFIO_F": {"given": ("VFIO_X",), "passed": ("VFIO_X",)}}
    one = recording_of("one", nodes={"/sys/a": ("read", "write")})
    two = recording_of(
        "two", ioctls=("VFIO_X",), constants=constants, nodes={"/sys/a": ("readlink",)}
    )
    recorded(one, two)
    lines = []
    assert coverage.table(lines.append) == 0
    text = "".join(lines)
    assert "rw  l   /sys/a\n.   i   VFIO_X\n.   pg    VFIO_F\n\n" in text
    recorded()
    assert coverage.table(lines.append) == 3


def test_no_such_tool(tmp_path):
    with pytest.raises(GateError, match="no scenario of nothing; known: accel-config"):
        recording.record(["nothing"], tmp_path, print)
