# SPDX-License-Identifier: Apache-2.0
"""Recording which uAPI a tool uses, of real tools."""

import pytest

from harness.gate.recording import record


@pytest.fixture
def recorded(tmp_path, need):
    """What was recorded of a tool."""

    def recorded(tool, program):
        need(program)
        lines = []
        assert record([tool], tmp_path, lines.append) == 0
        assert lines[0].startswith(f"{tmp_path / tool}.json: {tool} ")
        return (tmp_path / f"{tool}.json").read_text()

    return recorded


def test_what_setpci_does(recorded):
    text = recorded("setpci", "setpci")
    config = "/sys/devices/<bus>/<function>/config"
    assert f'"{config}": ["read", "write"]' in text
    assert f'"PCI_COMMAND_MASTER": {{"given": ["{config}"], "passed": ["{config}"]}}' in text
    assert "PCI_CAP_ID" not in text


def test_what_accel_config_does(recorded):
    text = recorded("accel-config", "accel-config")
    assert '"/sys/devices/<bus>/<function>/dsa<n>/wq<n>.<n>/size": ["read", "write"]' in text
    assert '"/sys/bus/dsa/drivers/idxd/bind": ["write"]' in text
    node = "/sys/devices/<bus>/<function>/dsa<n>/cmd_status"
    assert f'"IDXD_SCMD_WQ_NONE_CONFIGURED": {{"given": ["{node}"]}}' in text


def test_what_dpdk_passes_and_is_given(recorded):
    text = recorded("dpdk", "dpdk-test")
    assert '"VFIO_DMA_MAP_FLAG_READ": {"passed": ["VFIO_IOMMU_MAP_DMA"]}' in text
    assert '"VFIO_DEVICE_FLAGS_PCI": {"given": ["VFIO_DEVICE_GET_INFO"]}' in text
    # To give it the function was somebody else's work.
    assert "driver_override" not in text


def test_a_tool_that_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = []
    assert record(["lspci"], tmp_path, lines.append) == 3
    assert lines == ["lspci: left out, there is no lspci here\n"]
