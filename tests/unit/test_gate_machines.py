# SPDX-License-Identifier: Apache-2.0
"""What is known of all nodes that are one pattern."""

import pytest

from harness.gate.machines import sysfs

DSA = "/sys/devices/pci0000:6a/0000:6a:01.0/dsa0"


def node_of(*texts, mode="0o444"):
    """The node that files with these texts are."""
    tree = {f"/sys/a/b{n}/c": {"mode": mode, "text": text} for n, text in enumerate(texts)}
    return sysfs([tree])["/sys/a/b<n>/c"]


@pytest.mark.parametrize(
    ("texts", "format"),
    [
        (["1\n", "-12\n"], "%d\n"),
        (["0x1\n"], "0x%x\n"),
        (["0x1\n", "2\n"], "%s\n"),
        (["1f\n", "20\n"], "%x\n"),
        (["0-3,7\n"], "%*pbl\n"),
        (["00000000,00000001\n"], "%*pb\n"),
        (["0x00 0x01\n"], "0x%x ...\n"),
        (["A=1\n", "A=1\nB=2\n"], "KEY=VALUE\n"),
        (["enabled\n", "disabled\n"], "%s\n"),
        (["two words\n"], "text\n"),
        (["1\n2\n"], "%d\n..."),
        (["1"], "%d"),
        (["", "\n"], None),
        (["\n", "5\n"], "%d\n"),
    ],
)
def test_format(texts, format):
    assert node_of(*texts).format == format


def test_mode_and_kind():
    assert node_of("1\n", mode="0o640").mode == 0o640
    nodes = sysfs([{"/sys/l": {"link": "x"}, "/sys/d": {"dir": []}}])
    assert {path: node.kind for path, node in nodes.items()} == {"/sys/l": "link", "/sys/d": "dir"}


def test_what_not_every_device_has():
    file = {"mode": "0o444", "text": "1\n"}
    tree = {f"{DSA}/wq0.0/size": file, f"{DSA}/wq0.1/size": file, f"{DSA}/wq0.1/ats": file}
    nodes = sysfs([tree])
    folder = "/sys/devices/<bus>/<function>/dsa<n>/wq<n>.<n>"
    assert nodes[f"{folder}/size"].visible == "always"
    assert nodes[f"{folder}/ats"].visible == "sometimes"


def test_modes_that_differ_are_not_known():
    tree = {"/sys/b0/c": {"mode": "0o444"}, "/sys/b1/c": {"mode": "0o600"}}
    assert sysfs([tree])["/sys/b<n>/c"].mode is None
