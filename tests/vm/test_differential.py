# SPDX-License-Identifier: Apache-2.0
"""The generator of calls, on the model alone."""

import pytest

from harness.conformance.targets import target_maker
from tests.vm.differential import Script, compare, run
from tests.vm.differential_programs import PROGRAMS


def answers(name, seed=1, profile="7.2+iommufd"):
    return run(target_maker("model")(), "qemu-q35", profile, PROGRAMS[name], seed)


@pytest.mark.parametrize("name", ["groups", "life", "irqchance-edu", "iommufd-chance"])
def test_a_program_comes_to_its_end_the_same_way_each_time(name):
    first = answers(name)
    assert len(first) > 500
    assert "the program ended" not in dict(first)
    assert answers(name) == first


def test_a_seed_makes_another_program():
    assert answers("life", 1) != answers("life", 2)


def test_a_structure_is_shown_by_what_the_call_changed_in_it():
    seen = []

    def program(script: Script) -> None:
        script.ioctl(script.open("/dev/iommu"), 0x3B81, b"\x0c" + bytes(11), room=4)
        seen.extend(script.answers)

    run(target_maker("model")(), "qemu-q35", "7.2+iommufd", program, 1)
    assert seen[1] == (f"/dev/iommu 0x3b81 0c{'00' * 11} +4", "0 0x8:01")


def test_differences_are_shown_and_counted(capsys):
    theirs = [("close(x)", "None"), ("open y 2", "3"), ("end", "0")]
    ours = [("close(x)", "EBADF"), ("open y 2", "3")]
    assert compare("life 1", theirs, ours, most=5) == 2
    assert capsys.readouterr().out == (
        "life 1: 3 answers and 2\nlife 1 #0: close(x)\n    None  |  EBADF\n"
    )
