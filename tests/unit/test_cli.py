# SPDX-License-Identifier: Apache-2.0
"""Bad input: one line that says what is wrong, and the command's exit code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASE = "idxd/binding::unconfigured_device"
GOOD = (ROOT / "sysfs_models" / "spr-2s.yaml").read_text()


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )


BAD_FILES = {
    "a tab where YAML has none": ("schema: 1\n\tprofile: x\n", ":2: "),
    "a key that is misspelt": (GOOD.replace("profile:", "profil:", 1), "profil"),
    "a type that is wrong": (GOOD.replace("schema: 1", "schema: one", 1), "schema"),
    "an address twice": (GOOD.replace("0000:6f:01.0", "0000:6a:01.0", 1), "0000:6a:01.0"),
    "a kind that nobody knows": (GOOD.replace("kind: dsa", "kind: dsaa", 1), "dsaa"),
    "a profile that nobody has": (GOOD.replace('"6.1"', '"6.0"', 1), "6.0"),
    "nothing": ("", "mapping"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_machine_file(tmp_path, name):
    text, named = BAD_FILES[name]
    assert text != GOOD
    path = tmp_path / "machine.yaml"
    path.write_text(text)
    answer = run("run", "--machine", str(path), "--", "true")
    assert (answer.returncode, answer.stdout) == (125, "")
    assert re.fullmatch(r"uapi-harness run: [^\n]+\n", answer.stderr)
    assert str(path) in answer.stderr
    assert named in answer.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--machine", "nonesuch", "--", "true"), "spr-2s"),
        (("--machine", "/nonexistent.yaml", "--", "true"), "/nonexistent.yaml"),
        (("--profile", "5.0", "--", "true"), "6.1"),
        (("--uid", "me", "--", "true"), "'me'"),
        (("--nonesuch", "--", "true"), "--nonesuch"),
        ((), "no command"),
    ],
)
def test_run(words, named):
    answer = run("run", *words)
    assert (answer.returncode, answer.stdout) == (125, "")
    assert re.fullmatch(r"uapi-harness run: [^\n]+\n", answer.stderr)
    assert named in answer.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("conform", "--target", "nonesuch"), "model"),
        (("conform", "--profile", "5.0"), "6.1"),
        (("conform", "--suite", "nonesuch"), "idxd"),
        (("conform", "--format", "nonesuch"), "json"),
        (("conform", "--suite", "idxd", "--module", "/nonexistent.py"), "/nonexistent.py: No such"),
        (("record",), "--all"),
        (("record", "--all", "idxd"), "--all"),
        (("record", "--all", "--root", "/nonexistent"), "/nonexistent"),
        (("record", "--all", "--from", "/nonexistent"), "/nonexistent"),
        (("record", "--all", "--from", os.devnull), os.devnull),
        (("nonesuch",), "run"),
        ((), "COMMAND"),
    ],
)
def test_everything_else(words, named):
    answer = run(*words)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert re.fullmatch(r"uapi-harness[^\n]+\n", answer.stderr)
    assert named in answer.stderr


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "harness", "machines"]
    answer = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, timeout=60)
    os.close(writing)
    assert (answer.returncode, answer.stderr) == (141, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed):
    command = ["sh", "-c", f'exec "$0" -m harness machines {closed}', sys.executable]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_an_error_without_a_stderr_is_not_output():
    command = ["sh", "-c", 'exec "$0" -m harness machines nonesuch 2>&-', sys.executable]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (answer.returncode, answer.stdout) == (2, "")


@pytest.mark.parametrize(
    ("output", "problem"),
    [("1</dev/null", "Bad file descriptor"), (">/dev/full", "No space left on device")],
)
def test_output_that_cannot_be_written(output, problem):
    command = ["sh", "-c", f'exec "$0" -m harness machines {output}', sys.executable]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    said = f"uapi-harness machines: the output cannot be written: {problem}\n"
    assert (answer.returncode, answer.stderr) == (2, said)


def test_the_current_directory_is_gone(tmp_path):
    script = f'mkdir gone; cd gone; rmdir ../gone; exec "$0" -m harness conform -k {CASE}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        ["sh", "-c", script, sys.executable],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
    )
    said = "uapi-harness conform: the current directory has been removed\n"
    assert (answer.returncode, answer.stdout, answer.stderr) == (2, "", said)


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("conform", "--target", "moon"), 2, "vm:KERNEL"),
        (("conform", "--target", "vm:6.1", "--profile", "7.2"), 2, "--profile 6.1"),
        (("conform", "--format", "html"), 2, "--format"),
        (("golden", "record", "--target", "model"), 2, "only real kernels are recorded"),
        (("golden", "import", "/nonexistent.json"), 2, ": /nonexistent.json: No such file"),
        (("golden", "table", "/nonexistent.md"), 2, ": /nonexistent.md: No such file"),
        (("vm", "build", "a kernel"), 3, '"a kernel" names no kernel'),
        (("vm", "shell", "6.1", "--machine", "nonesuch"), 2, "nonesuch"),
        (("vm", "shell", "6.1", "--machine", "spr-1s"), 3, "no section qemu"),
    ],
)
def test_real_kernels(words, code, named):
    answer = run(*words)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (code, "", 1)
    assert named in answer.stderr


def test_a_table_needs_its_place(tmp_path):
    document = tmp_path / "x.md"
    document.write_text("no marks\n")
    answer = run("golden", "table", str(document))
    assert (answer.returncode, document.read_text()) == (2, "no marks\n")
    assert "<!-- fidelity: begin -->" in answer.stderr


def test_targets_are_repeated_or_have_commas():
    words = (
        "conform",
        "-k",
        "stat::size",
        "--profile",
        "6.1",
        "--profile",
        "7.2",
        "--format",
        "json",
    )
    answer = run(*words, "--target", "model,inprocess", "--target", "model")
    runs = json.loads(answer.stdout)["runs"]
    assert [(one["target"], one["profile"]) for one in runs] == [
        (target, profile)
        for target in ("model", "inprocess", "model")
        for profile in ("6.1", "7.2")
    ]


def test_fidelity_is_a_table():
    answer = run("conform", "-k", "stat::size", "--format", "markdown")
    assert answer.returncode == 0
    assert answer.stdout.splitlines()[0].startswith("| kernel | target | agree |")
    assert re.fullmatch(
        r"\| 6\.1 \| model \| \d+ \| 0 \| 0 \| 0 \| 0 \|", answer.stdout.splitlines()[2]
    )


def test_a_target_whose_package_is_not_installed():
    code = (
        "import sys\n"
        "sys.modules['pyfakefs'] = None\n"
        "from harness.cli import main\n"
        "sys.exit(main(['conform', '--target', 'inprocess']))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert re.fullmatch(r"uapi-harness conform: .*uapi-harness\[inprocess\].*\n", answer.stderr)


def test_a_name_with_a_newline_in_it_is_still_one_line():
    answer = run("machines", "a\nb.yaml")
    assert answer.stderr == "uapi-harness machines: a\\nb.yaml: No such file or directory\n"
