# SPDX-License-Identifier: Apache-2.0
"""The trees of qemu-q35 and qemu-q35-dsa are the ones that real kernels showed, node by node."""

from fnmatch import fnmatchcase

import pytest
import trees

from harness.machine import load_machine


@pytest.fixture(scope="module", params=["q35", "q35-dsa"])
def name(request):
    return request.param


@pytest.fixture(scope="module", params=["6.1", "6.12", "7.2"])
def profile(request):
    return request.param


@pytest.fixture(scope="module")
def recorded(name, profile):
    return trees.recorded_tree(f"{name}-{profile}")["nodes"]


@pytest.fixture(scope="module")
def shown(name, profile):
    return load_machine(f"qemu-{name}", profile=profile).tree()


@pytest.fixture(scope="module")
def known(name, profile):
    return trees.known_differences(f"{name}-{profile}")


@pytest.fixture(scope="module")
def differences(name, recorded, shown):
    return trees.differences(shown, recorded, trees.SCOPES[name])


def test_each_part_was_recorded_and_is_shown(name, recorded, shown):
    shown = trees.listed(shown, recorded)
    for scope in trees.SCOPES[name]:
        assert any(fnmatchcase(path, scope) for path in recorded), scope
        assert any(fnmatchcase(path, scope) for path in shown), scope


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
