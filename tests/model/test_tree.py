# SPDX-License-Identifier: Apache-2.0
"""The tree of qemu-q35-dsa is the one that real kernels showed, node by node."""

import json
from fnmatch import fnmatchcase

import pytest

from harness import data
from harness.machine import load_machine

#: What is compared: all that a driver of ours makes.
SCOPES = (
    "/sys/bus/dsa/*",
    "/sys/bus/pci/drivers/idxd/*",
    "/sys/bus/pci/slots",
    "/sys/devices/pci0000:00/0000:*",
    "/sys/module/idxd/*",
    "/sys/module/idxd_bus/*",
)


@pytest.fixture(scope="module", params=["6.1", "6.12", "7.2"])
def profile(request):
    return request.param


@pytest.fixture(scope="module")
def recorded(profile):
    text = data.data_path("fixtures", "trees", f"q35-dsa-{profile}.json").read_text()
    return json.loads(text)["nodes"]


@pytest.fixture(scope="module")
def shown(profile):
    return load_machine("qemu-q35-dsa", profile=profile).tree()


@pytest.fixture(scope="module")
def known(profile):
    document = data.load_yaml(data.data_path("fixtures", "known-differences.yaml"))
    return document["trees"][f"q35-dsa-{profile}"]


@pytest.fixture(scope="module")
def differences(recorded, shown):
    """Paths that differ, with what is shown and what was recorded; None for what is not there."""
    paths = [path for path in {*recorded, *shown} if any(fnmatchcase(path, s) for s in SCOPES)]
    return {
        path: (shown.get(path), recorded.get(path))
        for path in sorted(paths)
        if shown.get(path) != recorded.get(path)
    }


@pytest.mark.parametrize("scope", SCOPES)
def test_each_part_was_recorded_and_is_shown(recorded, shown, scope):
    assert any(fnmatchcase(path, scope) for path in recorded)
    assert any(fnmatchcase(path, scope) for path in shown)


def test_all_that_differs_is_known_to(differences, known):
    patterns = [entry["path"] for entry in known]
    unknown = {
        path: pair
        for path, pair in differences.items()
        if not any(fnmatchcase(path, pattern) for pattern in patterns)
    }
    assert unknown == {}


def test_all_that_is_known_to_differ_does(differences, known):
    agreeing = [
        entry["path"]
        for entry in known
        if not any(fnmatchcase(path, entry["path"]) for path in differences)
    ]
    assert agreeing == []


def test_each_known_difference_has_a_reason(known):
    assert [
        entry for entry in known if set(entry) != {"path", "reason"} or not entry["reason"]
    ] == []
