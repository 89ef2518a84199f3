# SPDX-License-Identifier: Apache-2.0
"""The tree of qemu-q35-dsa is the one that real kernels showed, node by node."""

from fnmatch import fnmatchcase

import pytest
import trees

from harness.machine import load_machine


@pytest.fixture(scope="module", params=["6.1", "6.12", "7.2"])
def profile(request):
    return request.param


@pytest.fixture(scope="module")
def recorded(profile):
    return trees.recorded_tree(f"q35-dsa-{profile}")["nodes"]


@pytest.fixture(scope="module")
def shown(profile):
    return load_machine("qemu-q35-dsa", profile=profile).tree()


@pytest.fixture(scope="module")
def known(profile):
    return trees.known_differences(f"q35-dsa-{profile}")


@pytest.fixture(scope="module")
def differences(recorded, shown):
    return trees.differences(shown, recorded)


@pytest.mark.parametrize("scope", trees.SCOPES)
def test_each_part_was_recorded_and_is_shown(recorded, shown, scope):
    assert any(fnmatchcase(path, scope) for path in recorded)
    assert any(fnmatchcase(path, scope) for path in shown)


def test_all_that_differs_is_known_to(differences, known):
    assert trees.unknown_differences(differences, known) == {}


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
