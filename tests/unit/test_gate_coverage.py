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


def tools(subject, header=None):
    (finding,) = coverage.with_tools([Finding("node-removed", subject, "", header)])
    return [name.split()[0] for name in finding.tools]


def test_who_reads_a_node():
    subject = "/sys/devices/<bus>/<function>/dsa<n>/wq<n>.<n>/threshold"
    assert tools(subject) == ["accel-config"]
    assert "lspci" in tools("/sys/devices/<bus>/<function>/config")
    assert tools("/sys/devices/<bus>/<function>/dsa<n>/no_such_thing") == []


def test_a_node_is_the_same_by_whatever_way():
    assert tools("/sys/bus/dsa/devices/wq<n>.<n>/threshold") == ["accel-config"]


@pytest.mark.parametrize(
    ("subject", "users"),
    [
        ("VFIO_DEVICE_GET_INFO", ["qemu"]),
        ("struct vfio_device_info.flags", ["qemu"]),
        ("struct vfio_irq_set", ["qemu"]),
        ("struct vfio_group_status", []),
        ("VFIO_DEVICE_FLAGS_PCI", []),
    ],
)
def test_who_sends_a_command(monkeypatch, subject, users):
    qemu = coverage.Coverage(
        1, "qemu", "7.2", "6.12", {}, ("VFIO_DEVICE_GET_INFO", "VFIO_DEVICE_SET_IRQS")
    )
    monkeypatch.setattr(coverage, "recordings", lambda: (qemu,))
    coverage._users.cache_clear()
    try:
        assert tools(subject, "linux/vfio.h") == users
    finally:
        coverage._users.cache_clear()


def test_table(monkeypatch):
    one = coverage.Coverage(1, "one", "1.0", "6.1", {"/sys/a": ("read", "write")}, ())
    two = coverage.Coverage(1, "two", "2.0", "6.1", {"/sys/a": ("readlink",)}, ("VFIO_X",))
    monkeypatch.setattr(coverage, "recordings", lambda: (one, two))
    lines = []
    assert coverage.table(lines.append) == 0
    rows = {line.split()[-1]: line.split()[:-1] for line in lines if line.strip()}
    assert rows["/sys/a"] == ["rw", "l"]
    assert rows["VFIO_X"] == [".", "i"]
    monkeypatch.setattr(coverage, "recordings", lambda: ())
    assert coverage.table(lines.append) == 3


def test_no_such_tool(tmp_path):
    with pytest.raises(GateError, match="no scenario of nothing; known: accel-config"):
        recording.record(["nothing"], tmp_path, print)
