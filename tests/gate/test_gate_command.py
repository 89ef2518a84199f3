# SPDX-License-Identifier: Apache-2.0
"""The commands as users run them: sources, exit codes, and one line for bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from mutations import HERE, changed

from harness.cli import main
from harness.data import data_path
from harness.gate.snapshot import load

ROOT = HERE.parents[1]
LAMP = (HERE / "lamp.h").read_text()
NEEDS_GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")


@pytest.fixture
def harness(tmp_path, monkeypatch, capsys):
    """Run a command; its status, what it said, and what it complained of."""
    monkeypatch.chdir(tmp_path)

    def harness(*words):
        try:
            status = main([str(word) for word in words])
        except SystemExit as error:
            status = error.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return harness


@pytest.fixture
def headers(tmp_path):
    """``headers(name, **files)`` makes a directory of headers."""

    def headers(name, **files):
        folder = tmp_path / name
        (folder / "linux").mkdir(parents=True)
        for file, text in files.items():
            (folder / "linux" / f"{file}.h").write_text(text)
        return folder

    return headers


@NEEDS_GCC
def test_snapshot_and_gate(harness, headers, tmp_path):
    headers("old", lamp=LAMP)
    headers("new", lamp=LAMP.replace("LAMP_BASE + 1", "LAMP_BASE + 7"))
    assert harness("snapshot", "old", "-o", "old.yaml") == (0, "old.yaml: 1 headers\n", "")
    assert harness("gate", "old.yaml", "old")[0] == 0
    status, said, complaint = harness("gate", "old.yaml", "new", "--format", "github")
    assert (status, complaint) == (1, "")
    line = LAMP[: LAMP.index("#define LAMP_RESET")].count("\n") + 1
    assert f"::error file=linux/lamp.h,line={line},title=breaking ioctl-number-changed::" in said
    assert load(tmp_path / "old.yaml").source == "old"


@NEEDS_GCC
@pytest.mark.parametrize("source", ["tree", "tree/usr/include", "tree/usr/include/linux/lamp.h"])
def test_ways_to_name_headers(harness, headers, source):
    headers("tree/usr/include", lamp=LAMP)
    assert harness("snapshot", source, "-o", "x.yaml")[0] == 0


@NEEDS_GCC
def test_one_header_of_two(harness, headers):
    headers("old", lamp=LAMP, other="#define OTHER 1\n")
    headers("new", lamp=LAMP)
    assert harness("snapshot", "old", "-o", "old.yaml")[0] == 0
    assert harness("gate", "old.yaml", "new")[0] == 1
    assert harness("gate", "old.yaml", "new", "--header", "linux/lamp.h")[0] == 0
    assert harness("gate", "old.yaml", "new/linux/lamp.h")[0] == 0


@NEEDS_GCC
def test_a_header_that_wants_another_is_named(harness, headers, tmp_path):
    headers("old", lamp=LAMP, shy="struct shy { of_another_header x; };\n")
    status, said, complaint = harness("snapshot", "old", "-o", "old.yaml")
    assert (status, said) == (0, "old.yaml: 1 headers\n")
    assert complaint == (
        "linux/shy.h: left out, it does not compile by itself: "
        "line 1: unknown type name 'of_another_header'\n"
    )
    headers("new", lamp=LAMP, shy="struct shy { int x; };\n")
    assert "UNKNOWN header-unread linux/shy.h" in harness("gate", "old.yaml", "new")[1]
    headers("worse", lamp="#include <linux/types.h>\nstruct lamp { nothing x; };\n", shy="\n")
    status, said, _ = harness("gate", "old.yaml", "worse")
    assert status == 1
    assert "BREAKING header-broken linux/lamp.h" in said


@NEEDS_GCC
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAMP[: len(LAMP) // 2], "linux/lamp.h: line 3: unterminated #ifndef"),
        (LAMP.replace("#endif\n", ""), "linux/lamp.h: line 3: unterminated #ifndef"),
        (LAMP.replace("__u32 pad;\n};", "__u32 pad;\n"), "expected specifier"),
        (LAMP.replace("__u32 pad;", "__u32 7;"), "linux/lamp.h: line 3"),
        ("struct lamp { of_another_header x; };\n", "unknown type name 'of_another_header'"),
        ("#include <linux/nothing_like_it.h>\n", "linux/nothing_like_it.h"),
        ("/* no end", "unterminated comment"),
        ("struct lamp {\n\tint x", "linux/lamp.h: expected"),
        ("\x00\x01\x02 \xe9", "linux/lamp.h: line 1: stray"),
    ],
)
def test_a_broken_header(harness, headers, text, said, tmp_path):
    headers("old", lamp=text)
    status, output, complaint = harness("snapshot", "old", "-o", "old.yaml")
    assert (status, output) == (2, "")
    assert complaint.startswith("uapi-harness snapshot: linux/lamp.h: ")
    assert said in complaint
    assert complaint.count("\n") == 1
    assert not (tmp_path / "old.yaml").exists()


@NEEDS_GCC
def test_one_broken_header_among_good_ones(harness, headers):
    headers("old", lamp=LAMP, cut=LAMP[:400])
    status, _, complaint = harness("snapshot", "old", "-o", "old.yaml")
    assert status == 2
    assert complaint.startswith("uapi-harness snapshot: linux/cut.h: ")


GOOD = "schema: 1\nsource: x\narchitecture: x86_64\nheaders: {linux/a.h: {constants: {A: 1}}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("x86_64", "aarch64"), "both must be of one architecture"),
        (GOOD.replace("constants", "constant"), "constant"),
        (GOOD.replace("headers:", "header:"), "new.yaml:4: unknown key header; allowed: schema"),
        (GOOD[:60], "new.yaml"),
        ("schema: 1\nsource: y\nsysfs: {/sys/a: {kind: file}}\n", "nothing in common"),
        ("", "no snapshot"),
        ("a: b: c\n", "new.yaml:1: "),
        ("a: 2027-13-45\n", "new.yaml:1: month must be in 1..12"),
        ("[" * 5000, "new.yaml:1: lists and mappings are too deep in one another"),
        (GOOD.replace("{A: 1}", "3"), "headers['linux/a.h'].constants: expected a mapping"),
    ],
)
def test_a_snapshot_that_cannot_be_used(harness, tmp_path, text, said):
    (tmp_path / "old.yaml").write_text(GOOD)
    (tmp_path / "new.yaml").write_text(text)
    status, output, complaint = harness("gate", "old.yaml", "new.yaml")
    assert (status, output) == (2, "")
    assert said in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("snapshot", "nothing", "-o", "x.yaml"), 2, "nothing: No such file"),
        (("snapshot", ".", "-o", "x.yaml"), 2, "neither headers"),
        (("snapshot", "profile:5.4", "-o", "x.yaml"), 2, 'no profile "5.4"'),
        (("snapshot", "git:.:HEAD", "-o", "x.yaml"), 2, "git: HEAD: "),
        (("snapshot", "git:HEAD", "-o", "x.yaml"), 2, "write git:DIR:REVISION"),
        (("snapshot", "package:?", "-o", "x.yaml"), 2, "no name of a suite"),
        (("gate", "a.yaml", "b.yaml"), 2, "a.yaml: No such file"),
        (("gate", "a.yaml"), 2, "required: NEW"),
        (("coverage", "--record", "nothing"), 2, "no scenario of nothing"),
        (("coverage", "--record", "lspci", "-o", "/proc/x"), 2, "/proc/x: No such file"),
        (("coverage", "-o", "x"), 2, "-o is for what --record writes"),
        (("gate", "a.json", "a.json"), 2, "a.json: No such file or directory\n"),
    ],
)
def test_bad_words(harness, words, status, said):
    found, output, complaint = harness(*words)
    assert (found, output) == (status, "")
    assert said in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[" * 100000, "x.json: "),
        ("[]", "a report of one run is wanted"),
        ('{"runs": 3}', "no report of"),
        ('{"/sys/a": 3}', "no nodes as a machine's tree has them"),
        ('{"/sys/a": {"mode": "rw"}}', "invalid literal for int() with base 8: 'rw'"),
        ('{"/sys/a": {"text": 5}}', "no nodes as a machine's tree has them"),
    ],
)
def test_json_that_cannot_be_used(harness, tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    status, output, complaint = harness("gate", "x.json", "x.json")
    assert (status, output, complaint.count("\n")) == (2, "", 1)
    assert said in complaint


@NEEDS_GCC
def test_where_a_snapshot_cannot_be_written(harness, headers, tmp_path):
    headers("old", lamp=LAMP)
    (tmp_path / "bytes").write_bytes(b"# \xff")
    for target, said in (
        (".", "Is a directory"),
        ("bytes", "it is no text"),
        ("/proc/x.yaml", "No such file"),
        ("old/linux/lamp.h/x", "Not a directory"),
        ("/dev/full", "No space left"),
    ):
        status, output, complaint = harness("snapshot", "old", "-o", target)
        assert (status, output, complaint.count("\n")) == (2, "", 1)
        assert said in complaint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bytes", "old"]


@NEEDS_GCC
def test_only_files_are_replaced(harness, headers, tmp_path):
    headers("old", lamp=LAMP)
    (tmp_path / "real.yaml").write_text("")
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        for target in ("link.yaml", "pipe"):
            assert harness("snapshot", "old", "-o", target)[0] == 0
        assert os.read(pipe, 1 << 16).decode() == (tmp_path / "real.yaml").read_text()
    finally:
        os.close(pipe)
    assert (tmp_path / "link.yaml").is_symlink()
    assert (tmp_path / "pipe").is_fifo()


@NEEDS_GCC
def test_a_link_that_leads_nowhere_is_no_header(harness, headers, tmp_path):
    (headers("old") / "linux/lamp.h").symlink_to("nothing.h")
    complaint = harness("snapshot", "old", "-o", "x.yaml")[2]
    assert complaint == "uapi-harness snapshot: linux/lamp.h: it is no file that can be read\n"


@NEEDS_GCC
def test_what_is_no_compiler(harness, headers):
    headers("old", lamp=LAMP)
    status, _, complaint = harness("snapshot", "old", "-o", "x.yaml", "--cc", "true")
    assert status == 2
    assert complaint == ("uapi-harness snapshot: true makes no object; a C compiler is wanted\n")


def test_two_files_of_one_source_are_told_apart(harness, tmp_path):
    (tmp_path / "old.yaml").write_text(GOOD)
    (tmp_path / "new.yaml").write_text(GOOD)
    assert harness("gate", "old.yaml", "new.yaml")[1].startswith("old.yaml -> new.yaml: ")


@NEEDS_GCC
def test_without_a_compiler(harness, headers):
    headers("old", lamp=LAMP)
    status, _, complaint = harness("snapshot", "old", "-o", "x.yaml", "--cc", "no-such-cc")
    assert status == 3
    assert "no no-such-cc here" in complaint


@NEEDS_GCC
@pytest.mark.skipif(
    shutil.which("git") is None or shutil.which("make") is None, reason="no git or make here"
)
def test_revisions_of_a_kernel_tree(harness, tmp_path):
    tree = tmp_path / "tree"
    (tree / "include/uapi/linux").mkdir(parents=True)
    (tree / "Kbuild").touch()
    (tree / "Makefile").write_text("headers:\n\tmkdir usr && cp -r include/uapi usr/include\n")

    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *identity, "-C", tree, *words], check=True, capture_output=True)

    git("init", "-q")
    for text in (LAMP, changed(LAMP, [["#define LAMP_API_VERSION 3", ""]])):
        (tree / "include/uapi/linux/lamp.h").write_text(text)
        git("add", "-A")
        git("commit", "-qm", "a change")
    status, said, _ = harness("gate", f"git:{tree}:HEAD~1", f"git:{tree}:HEAD")
    assert status == 1
    assert said.startswith("tree HEAD~1 -> tree HEAD: 1 breaking")
    status, _, complaint = harness("gate", f"git:{tree}:HEAD~1", f"git:{tree}:nothing")
    assert (status, complaint.count("\n")) == (2, 1)


ABI = """\
What:		/sys/bus/lamp/devices/lamp<m>/colour
What:		/sys/bus/lamp/devices/lampX/hue
Date:		Jan 2026
KernelVersion:	7.0
Contact:	nobody
Description:	The colour.
		(RW) Any number.

What:		/sys/bus/lamp/devices/lamp*/serial
Date:		Jan 2026
Description:	Read-only: a number.
"""


def test_abi_documents(harness, tmp_path):
    for name, text in (("old", ABI), ("new", ABI.replace("lampX/hue", "lampX/tint"))):
        (tmp_path / name / "testing").mkdir(parents=True)
        (tmp_path / name / "testing" / "sysfs-lamp").write_text(text)
    assert harness("snapshot", "old", "-o", "old.yaml")[0] == 0
    found = load(tmp_path / "old.yaml").sysfs
    assert {path.rpartition("/")[2]: node.mode for path, node in found.items()} == {
        "colour": 0o644,
        "hue": 0o644,
        "serial": 0o444,
    }
    assert set(found) == {f"/sys/bus/lamp/devices/lamp<n>/{x}" for x in ("colour", "hue", "serial")}
    status, said, _ = harness("gate", "old.yaml", "new")
    assert status == 1
    assert "BREAKING node-removed /sys/bus/lamp/devices/lamp<n>/hue" in said


def test_results_of_cases(harness, tmp_path):
    report = ("conform", "--target", "model", "--suite", "kernfs", "--format", "json")
    _, said, _ = harness(*report)
    (tmp_path / "old.json").write_text(said)
    document = json.loads(said)
    first = document["cases"][0]
    first["state"] = "fail"
    first["failure"] = {"call": "open(x)", "expected": "0", "got": "EACCES"}
    (tmp_path / "new.json").write_text(json.dumps(document))
    assert harness("gate", "old.json", "old.json")[0] == 0
    status, said, _ = harness("gate", "old.json", "new.json")
    assert status == 1
    assert f"BREAKING behaviour-changed {first['id']}" in said
    assert "pass became fail (EACCES)" in said
    (tmp_path / "no.json").write_text("{}")
    assert harness("gate", "old.json", "no.json")[0] == 2


def test_a_recorded_machine(harness, tmp_path):
    machine = data_path("sysfs_models", "spr-1s.yaml")
    shutil.copy(machine, tmp_path / "mine.yaml")
    assert harness("snapshot", "mine.yaml", "-o", "mine.snapshot.yaml")[0] == 0
    assert harness("gate", "mine.snapshot.yaml", "mine.yaml")[0] == 0
    size = "/sys/devices/<bus>/<function>/dsa<n>/wq<n>.<n>/size"
    node = load(tmp_path / "mine.snapshot.yaml").sysfs[size]
    assert (node.mode, node.format, node.visible) == (0o644, "%d\n", "always")


def test_a_policy(harness, tmp_path):
    (tmp_path / "old.yaml").write_text(GOOD)
    (tmp_path / "new.yaml").write_text(GOOD.replace("A: 1", "B: 2"))
    policy = "schema: 1\nsuppressions:\n- {rule: constant-removed, subject: A, reason: x, expires: "
    (tmp_path / "policy.yaml").write_text(f"{policy}9999-01-01}}\n")
    assert harness("gate", "old.yaml", "new.yaml")[0] == 1
    assert harness("gate", "old.yaml", "new.yaml", "--policy", "policy.yaml")[0] == 0
    assert harness("gate", "old.yaml", "old.yaml", "--policy", "policy.yaml")[0] == 1
    (tmp_path / "policy.yaml").write_text(f"{policy}2001-01-01}}\n")
    status, said, _ = harness("gate", "old.yaml", "new.yaml", "--policy", "policy.yaml")
    assert status == 1
    assert "suppression-expired" in said
    (tmp_path / "policy.yaml").write_text(f"{policy}2027-13-45}}\n")
    status, said, complaint = harness("gate", "old.yaml", "new.yaml", "--policy", "policy.yaml")
    assert (status, said) == (2, "")
    assert complaint == "uapi-harness gate: policy.yaml:3: month must be in 1..12\n"


#: A compiler that stops in the middle of its work until it may go on.
HALTING = """#!/bin/sh
echo >> log
if [ $(wc -l < log) -gt 9 ]; then
    touch middle
    while [ ! -e go ]; do sleep 0.02; done
fi
exec gcc "$@"
"""


@NEEDS_GCC
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_leaves_nothing_and_ends_soon(tmp_path, number):
    folder, temporary, compiler = (tmp_path / name for name in ("linux", "tmp", "cc"))
    folder.mkdir()
    temporary.mkdir()
    for name in range(60):
        (folder / f"a{name}.h").write_text("#define A 1\n")
    compiler.write_text(HALTING)
    compiler.chmod(0o755)
    command = [sys.executable, "-m", "harness", "snapshot", ".", "-o", "x.yaml", "--cc", "./cc"]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as running:
        while not (tmp_path / "middle").exists() and running.poll() is None:
            time.sleep(0.02)
        running.send_signal(number)
        # It is in the middle of what it does when it hears of that.
        time.sleep(0.2)
        (tmp_path / "go").touch()
    assert running.returncode == 128 + number
    assert not list(temporary.iterdir())
    assert not (tmp_path / "x.yaml").exists()
    assert len((tmp_path / "log").read_text()) < 60


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_a_revision_of_another_tree(harness, tmp_path):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    status, _, complaint = harness("snapshot", "git:.:HEAD", "-o", "x.yaml")
    said = "uapi-harness snapshot: .: HEAD is no source of the kernel's\n"
    assert (status, complaint) == (2, said)
