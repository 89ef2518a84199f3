# SPDX-License-Identifier: Apache-2.0
"""Reading the project's files: places, profiles, errors with lines, and the kept copies."""

import pytest

from harness import data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An installation of its own: profiles, machines and a cache in ``tmp_path``."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "_data" / "sysfs_models").mkdir(parents=True)
    monkeypatch.setattr(data, "_HERE", str(tmp_path))
    monkeypatch.setattr(data, "_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_source_tree_and_wheel_have_the_same_layout(folder):
    assert data.data_path("fixtures", "trees") == folder / "_data" / "fixtures" / "trees"


def test_the_source_trees_data_is_beside_the_package():
    assert data.data_path("sysfs_models").is_dir()
    assert data.data_path("fixtures").is_dir()


def test_names(folder):
    (folder / "_data" / "sysfs_models" / "b.yaml").write_text("")
    (folder / "_data" / "sysfs_models" / "a.yaml").write_text("")
    (folder / "profiles" / "6.1.yaml").write_text("")
    assert data.machine_names() == ["a", "b"]
    assert data.profile_names() == ["6.1"]


def test_profile_extends_key_by_key(folder):
    profiles = folder / "profiles"
    (profiles / "base.yaml").write_text(
        "schema: 1\nname: base\nkernel: {release: a, version: v}\nidxd: {list: [1, 2]}\n"
    )
    (profiles / "new.yaml").write_text(
        "schema: 1\nname: new\nextends: base\nkernel: {release: b}\nidxd: {list: [3]}\n"
    )
    assert data.load_profile("new") == {
        "kernel": {"release": "b", "version": "v"},
        "idxd": {"list": [3]},
    }


def test_unknown_profile_names_the_known(folder):
    (folder / "profiles" / "6.1.yaml").write_text("")
    with pytest.raises(data.DataError, match=r"there is no profile '9\.9'; known: 6\.1"):
        data.load_profile("9.9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", ":3: "),
        ("a: 1\nb: 2\na: 3\n", ":3: found duplicate key"),
        ("a: 1\n\tb: 2\n", ":2: found character '\\t' that cannot start any token"),
        ("a: 1\nb: \x07\n", ":2: the character 0x7 is not allowed"),
        ("a: 1\nb: 2020-13-45\n", ":2: month must be in 1..12"),
        ("[" * 5000, ":1: lists and mappings are too deep in one another"),
    ],
    ids=["syntax", "duplicate", "tab", "control character", "no date", "too deep"],
)
def test_what_is_no_yaml_is_one_line_with_its_place(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(data.DataError) as caught:
        data.load_yaml(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_what_is_no_text(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(data.DataError, match=r"x\.yaml:1: the byte 0xff is not UTF-8"):
        data.load_yaml(path)


def nobody(monkeypatch):
    """No home directory is known, as for a user that a container was given by number."""

    def getpwuid(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", getpwuid)


def test_the_cache_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data.cache_folder() == "/cache/uapi-harness"
    monkeypatch.setenv("HOME", "/home/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert data.cache_folder() == "/home/a/.cache/uapi-harness"
    nobody(monkeypatch)
    assert data.cache_folder() is None


def test_a_missing_file(tmp_path):
    with pytest.raises(data.DataError, match=r"x\.yaml: No such file or directory"):
        data.load_yaml(tmp_path / "x.yaml")


def test_a_file_without_end(tmp_path):
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    with pytest.raises(data.DataError, match=r"zero\.yaml: more than 64 MiB; it is no such file"):
        data.load_yaml(tmp_path / "zero.yaml")


def test_yaml_1_2(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: on\nb: 0x10\nc: 010\nd: 12:30\n")
    assert data.load_yaml(path) == {"a": "on", "b": 16, "c": 10, "d": "12:30"}


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ([], 1),
        (["a"], 1),
        (["b"], 2),
        (["b", 1, "d"], 4),
        (["b", 1, "nonesuch"], 4),
        (["nonesuch", "d"], 1),
        (["a", "below a scalar"], 1),
    ],
)
def test_line_of(tmp_path, keys, line):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb:\n  - c: 2\n  - d: 3\n")
    assert data.line_of(path, keys) == line


class TestKeptCopies:
    @pytest.fixture
    def path(self, folder):
        path = folder / "profiles" / "p.yaml"
        path.write_text("a: {0: [1, text, true, null]}\n")
        return path

    @pytest.fixture
    def kept(self, folder, path):
        data.load_yaml(path)
        (kept,) = (folder / "cache" / "uapi-harness").iterdir()
        data._kept.clear()  # as another process would find it
        return kept

    def test_a_file_is_looked_at_but_once_parsed_in_a_process(self, path, no_parser_later):
        assert data.load_yaml(path) is data.load_yaml(path)

    @pytest.fixture
    def no_parser_later(self, path, monkeypatch):
        data.load_yaml(path)
        monkeypatch.setattr(data, "_cached", None)

    @pytest.fixture
    def no_parser(self, monkeypatch):
        def refuse(*arguments):
            raise AssertionError("the file was parsed")

        monkeypatch.setattr(data, "_load", refuse)

    def test_a_kept_copy_is_the_same(self, path, kept, no_parser):
        assert data.load_yaml(path) == {"a": {0: [1, "text", True, None]}}

    def test_a_changed_file_is_parsed_again(self, path, kept):
        path.write_text("a: 2\n")
        assert data.load_yaml(path) == {"a": 2}

    @pytest.mark.parametrize("content", [b"", b"rubbish", b"i\x01\x00\x00\x00"])
    def test_a_broken_copy_is_replaced(self, path, kept, content):
        good = kept.read_bytes()
        kept.write_bytes(content)
        assert data.load_yaml(path) == {"a": {0: [1, "text", True, None]}}
        assert kept.read_bytes() == good

    def test_a_cache_that_cannot_be_is_no_problem(self, folder, path):
        (folder / "cache").write_text("not a folder")
        assert data.load_yaml(path) == {"a": {0: [1, "text", True, None]}}

    def test_a_user_without_a_home(self, path, monkeypatch, tmp_path):
        nobody(monkeypatch)
        monkeypatch.chdir(tmp_path)
        data._kept.clear()
        assert data.load_yaml(path) == {"a": {0: [1, "text", True, None]}}
        assert not (tmp_path / "~").exists()

    def test_nothing_is_written_where_python_writes_nothing(self, folder, path, monkeypatch):
        monkeypatch.setattr("sys.dont_write_bytecode", True)
        data.load_yaml(path)
        assert not (folder / "cache").exists()

    def test_a_users_file_is_not_kept(self, folder):
        path = folder / "mine.yaml"
        path.write_text("a: 1\n")
        data.load_yaml(path)
        assert not (folder / "cache").exists()
