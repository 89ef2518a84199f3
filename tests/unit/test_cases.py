# SPDX-License-Identifier: Apache-2.0
"""How functions become cases, and their ids."""

import types

import pytest

from harness.conformance import case, param
from harness.conformance.cases import cases_of, discover, suite_names


def cases(**functions):
    """The cases of a made-up file with these functions."""
    module = types.ModuleType("made_up")
    for name, function in functions.items():
        function.__name__, function.__module__ = name, "made_up"
        setattr(module, name, function)
    return list(cases_of(module, "suite/file"))


def test_a_plain_case():
    @case(source="somewhere", golden="idxd-6.1:idxd/devices")
    def function(call):
        """Nothing."""

    (found,) = cases(one=function)
    assert (found.id, found.suite) == ("suite/file::one", "suite")
    assert (found.source, found.evidence) == ("somewhere", "source")
    assert found.golden == ("idxd-6.1:idxd/devices",)
    assert found.machine == "qemu-q35-dsa"


def test_rows():
    @case(source="s", golden=("g:{value}", "h:{value!r}={wanted}"))
    @param("value wanted", [("1", 2), ("a b", 3), ("", 4), ("\n", 5), ("x" * 100, 6)])
    def function(call, value, wanted):
        """Nothing."""

    found = cases(table=function)
    rows = ["1", "'a b'", "''", r"'\n'", "x*100"]
    assert [one.id for one in found] == [f"suite/file::table[{row}]" for row in rows]
    assert [one.golden[1] for one in found][3:] == [r"h:'\n'=5", "h:'x*100'=6"]
    assert found[1].arguments == {"value": "a b", "wanted": 3}


def test_rows_with_names_of_their_own():
    @case(source="s")
    @param("a b", [(1, 2), (1, 3)], id="{a}/{b}")
    def function(call, a, b):
        """Nothing."""

    assert [one.id for one in cases(f=function)] == ["suite/file::f[1/2]", "suite/file::f[1/3]"]


def test_a_row_that_does_not_fit():
    with pytest.raises(ValueError, match=r"row \(1,\) does not fit the columns 'a b'"):
        param("a b", [(1,)])


def test_a_table_without_a_case():
    @param("a", [1])
    def function(call, a):
        """Nothing."""

    with pytest.raises(ValueError, match=r"suite/file::f has @param but no @case"):
        cases(f=function)


def test_evidence_is_one_of_three():
    with pytest.raises(ValueError, match="evidence 'hearsay'; allowed: kernel-run, source, docu"):
        case(source="s", evidence="hearsay")


def test_what_a_file_imports_is_not_its_own():
    module = types.ModuleType("other")

    @case(source="s")
    def function(call):
        """Nothing."""

    module.function = function
    assert list(cases_of(module, "suite/other")) == []


def test_the_suites():
    assert suite_names() == ["driver_core", "idxd", "kernfs"]
    found = discover(["kernfs"])
    assert {one.suite for one in found} == {"kernfs"}
    assert discover(["kernfs"]) == found
    assert len(discover()) > len(found)
