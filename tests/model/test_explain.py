# SPDX-License-Identifier: Apache-2.0
"""``explain`` and ``conform --missing``: where answers come from, and what nobody asks."""

import re

import pytest

from harness.cli import main
from harness.conformance.missing import missing, uses


@pytest.fixture
def said(capsys):
    """``said(*words)``: exit code, lines of stdout, stderr."""

    def run(*words):
        code = main([*words])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    return run


def test_a_case(said):
    code, lines, _ = said("explain", "idxd/binding::unconfigured_device")
    assert (code, lines[0]) == (0, "idxd/binding::unconfigured_device")
    text = "\n".join(lines)
    for label in ("source", "machine", "6.1", "golden", "again"):
        assert f"\n  {label} " in text
    assert "kernel-run" in text


def test_part_of_an_id_lists_the_cases_that_have_it(said):
    code, lines, _ = said("explain", "idxd/flows")
    assert code == 0
    assert len(lines) > 2
    assert all(line.startswith("idxd/flows::") for line in lines[1:])


def test_a_node_in_each_kernel_and_in_its_recorded_tree(said):
    code, lines, _ = said("explain", "/sys/bus/dsa/devices/dsa0/state")
    assert code == 0
    assert lines[1] == "  6.1       mode 0o444, size 4096; read: state_show"
    assert len([line for line in lines if re.fullmatch(r"  golden +\{.*0o444.*\}", line)]) == 3


def test_nodes_of_all_kinds(said):
    _, lines, _ = said("explain", "/sys/bus/dsa/drivers/user/bind", "--machine", "spr-2s")
    assert lines[1] == "  6.1       mode 0o200, size 4096; write: bind_store"
    _, lines, _ = said("explain", "/sys/bus/dsa/devices/dsa0", "--machine", "spr-2s")
    assert lines[1].startswith("  6.1       link to ../../../devices/pci")
    _, lines, _ = said("explain", "/sys/bus/dsa/devices/wq0.0/driver_name", "--machine", "spr-2s")
    found = {line.split()[0]: line.split()[1:3] for line in lines[1:]}
    assert found["6.1"] == found["v6"] == ["not", "there"]
    assert found["6.12"] == found["7.2"] == found["7.2+iommufd"] == ["mode", "0o644,"]


def test_what_is_not_there_is_said_in_one_line(said):
    code, lines, problem = said("explain", "idxd/flow::nothing")
    assert (code, lines) == (2, [])
    assert problem.startswith("uapi-harness explain: no case's id has 'idxd/flow::nothing' in it")
    assert problem.count("\n") == 1
    assert said("explain", "/sys", "--machine", "none")[0] == 2
    assert said("conform", "--missing", "--profile", "5.0")[0] == 2


@pytest.mark.timeout(600)  # it runs every case
def test_missing_is_what_no_case_touches():
    left, total = missing("6.1")
    queue = "/sys/devices/<bus>/<function>/dsa<n>/wq<n>.<n>"
    every = uses("6.1")
    assert len(every) == total > len(left) > 0
    assert ("write", f"{queue}/size") in every
    assert ("write", f"{queue}/size") not in left
    assert set(left) < every
    assert ("read", f"{queue}/driver_name") not in every
    assert ("read", f"{queue}/driver_name") in uses("6.12")
