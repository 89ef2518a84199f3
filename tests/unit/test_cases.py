# SPDX-License-Identifier: Apache-2.0
"""How functions become cases, and their ids."""

import sys
import types

import pytest

from harness.conformance import case, param
from harness.conformance.cases import CaseFileError, cases_of, discover, load_file, suite_names


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
    assert suite_names() == sorted(suite_names())
    assert {"driver_core", "idxd", "kernfs", "mdev", "vfio_pci", "configfs"} <= set(suite_names())
    found = discover(["kernfs"])
    assert {one.suite for one in found} == {"kernfs"}
    assert discover(["kernfs"]) == found
    assert len(discover()) > len(found)


# --- somebody's own files

OWN = """
from harness.conformance import case, param
from my_words import WORDS

@case(source="s", machine="other.yaml")
@param("word", WORDS)
def words(call, word):
    pass

@case(source="s", machine="spr-1s")
def named(call):
    pass
"""


@pytest.fixture
def own(tmp_path):
    """``own(text)``: the path of a file of cases with that text."""

    def write(text, name="my_cases.py"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    (tmp_path / "my_words.py").write_text("WORDS = ['a/b', 'c::d']\n")
    return write


def test_a_file_of_somebodys_own(own, tmp_path):
    path = own(OWN)
    found = load_file(path)
    names = ["words[a/b]", "words[c::d]", "named"]
    assert [one.id for one in found] == [f"my_cases::{name}" for name in names]
    assert {one.suite for one in found} == {"my_cases"}
    assert {one.file for one in found} == {path}
    assert [one.machine for one in found] == [str(tmp_path / "other.yaml")] * 2 + ["spr-1s"]


def test_files_and_suites_together(own):
    path = own(OWN)
    assert [one.suite for one in discover([path])] == ["my_cases"] * 3
    both = discover(["kernfs", path])
    assert {one.suite for one in both} == {"kernfs", "my_cases"}
    with pytest.raises(CaseFileError, match=r"two cases have the id my_cases::words\[a/b\]"):
        discover([path, path])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "my_cases.py: no function has the decorator @case"),
        ("\n\ndef f(:", "my_cases.py:3: SyntaxError: invalid syntax"),
        ("import nowhere_at_all", "my_cases.py:1: ModuleNotFoundError: No module named 'nowh"),
        ("\n" + OWN.replace("WORDS)", "[(1, 2)])"), "my_cases.py:7: ValueError: row .1, 2. does"),
        (OWN.replace('source="s", m', "m"), "my_cases.py:5: TypeError: .*'source'"),
        (OWN.replace('@case(source="s", machine="other.yaml")', ""), "words has @param but no @ca"),
        (OWN.replace('s", m', 's", golden="{nothing}", m'), "my_cases.py: 'nothing' is no column"),
        ("\0", "my_cases.py"),
        ("raise SystemExit(3)", "my_cases.py:1: SystemExit: 3"),
        (OWN.replace('s", m', 's", limit=0, m'), "limit 0; seconds are wanted, more than 0"),
        (OWN.replace('s", m', 's", limit="1", m'), "limit '1'; seconds are wanted, more than 0"),
        (OWN.replace('s", m', 's", since="6.13", m'), "profile '6.13'; allowed: .*6.12, "),
        (f"{OWN}    yield\n", "named makes an iterator or a coroutine, and runs nothing"),
        (OWN + OWN, "words is a case already, further up in this file"),
    ],
)
def test_a_file_that_is_of_no_use_is_one_line(own, text, message):
    path = own(text)
    with pytest.raises(CaseFileError, match=message) as raised:
        load_file(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none.py", "No such file or directory"),
        ("text.txt", "a file of cases is a Python file, FILE.py"),
        ("folder.py", "Is a directory"),
        ("loop.py", "Too many levels of symbolic links"),
        ("nul.py", "1: SyntaxError: source code string cannot contain null bytes"),
    ],
)
def test_what_is_no_file_of_cases(own, tmp_path, name, problem):
    own("", "text.txt")
    own("\0", "nul.py")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "loop.py").symlink_to("loop.py")
    with pytest.raises(CaseFileError, match=f"{name}: ?{problem}"):
        load_file(str(tmp_path / name))
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    assert str(tmp_path / name) not in files


def test_a_mistake_in_what_it_imports_is_said_of_that_file(own, tmp_path):
    own("\ndef f(:", "imported_by_cases.py")
    path = own("import imported_by_cases")
    with pytest.raises(CaseFileError, match=r"imported_by_cases\.py:2: SyntaxError"):
        load_file(path)
