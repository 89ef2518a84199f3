# SPDX-License-Identifier: Apache-2.0
"""Devices of one kind are one."""

import pytest

from harness.node_patterns import pattern

DSA = "/sys/devices/pci0000:6a/0000:6a:01.0/dsa0"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{DSA}/wq0.1/size", "/sys/devices/<bus>/<function>/dsa<n>/wq<n>.<n>/size"),
        (
            "/sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/config",
            "/sys/devices/<bus>/<function>/config",
        ),
        ("/sys/bus/pci/devices/0000:6a:01.0", "/sys/bus/pci/devices/<function>"),
        ("/sys/devices/x/d3cold_allowed", "/sys/devices/x/d3cold_allowed"),
        (
            "/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
            "/sys/bus/mdev/devices/<uuid>",
        ),
    ],
)
def test_pattern(path, expected):
    assert pattern(path) == expected
