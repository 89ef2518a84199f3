# SPDX-License-Identifier: Apache-2.0
"""The documents are true: links lead somewhere, commands work, what they list is what there is."""

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import attrs
import pytest

from harness.conformance.cases import discover
from harness.machine import load_machine
from harness.machine_file import (
    BarEntry,
    CpuEntry,
    ExtraEntry,
    IommuEntry,
    MachineFile,
    PciEntry,
    RomEntry,
)

QEMU = "qemu-system-x86_64"
ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
#: Where pip put the command that the documents speak of.
SCRIPTS = Path(sysconfig.get_path("scripts"))

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Set-up in front of a command is what tox has done already.
_COMMAND = re.compile(r"(?:^|\.venv/bin/)(uapi-harness .*)$", re.MULTILINE)


def named(path):
    return str(path.relative_to(ROOT))


def anchors(text):
    """The anchors that a forge makes of the headings of ``text``."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links():
    for document in DOCUMENTS:
        for target in _LINK.findall(_FENCED.sub("", document.read_text())):
            if "://" not in target:
                yield pytest.param(document, target, id=f"{named(document)}-{target}")


def commands():
    for document in DOCUMENTS:
        for block in _CONSOLE.findall(document.read_text()):
            lines = _COMMAND.findall(block)
            # Commands about a machine that lasts belong together; all others stand alone.
            together = any(line.startswith("uapi-harness start") for line in lines)
            for group in [lines] if together else [[line] for line in lines]:
                yield pytest.param(group, id=f"{named(document)}-{group[0].split('#')[0].strip()}")


@pytest.mark.parametrize(("document", "target"), list(links()))
def test_link_resolves(document, target):
    path, _, anchor = target.partition("#")
    destination = document.parent / path if path else document
    assert destination.exists()
    if anchor:
        assert anchor in anchors(destination.read_text())


def harness(words, folder):
    # The tool is a script of the environment, and no shell is between it and the quoting shown.
    return subprocess.run(
        [SCRIPTS / words[0], *words[1:]],
        cwd=folder,
        env={
            **os.environ,
            "XDG_RUNTIME_DIR": str(folder),
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def no_mount(tmp_path_factory):
    """Why programs cannot run in a machine here; empty if they can."""
    answer = harness(["uapi-harness", "run", "--", "true"], tmp_path_factory.mktemp("probe"))
    return answer.stderr.strip() if answer.returncode == 125 else ""


@pytest.mark.timeout(600)  # a kernel may have to be fetched first
@pytest.mark.parametrize("lines", list(commands()))
def test_command_works(lines, tmp_path, no_mount):
    for line in lines:
        works(shlex.split(line, comments=True), tmp_path, no_mount)


def works(words, tmp_path, no_mount):
    runs = words[1] == "run"
    if no_mount and (runs or "process" in words or words[1] == "start"):
        pytest.skip(no_mount)
    if any(word == "vm" or word.startswith("vm:") for word in words) and not shutil.which(QEMU):
        pytest.skip(f"{QEMU} is not installed; see fixtures/packages.yaml")
    if "accel-config" in words and shutil.which("accel-config") is None:
        pytest.skip("accel-config is not installed; see fixtures/packages.yaml")
    # The documents call the reader's own machine file and file of cases by these names.
    shutil.copy(ROOT / "sysfs_models" / "spr-2s.yaml", tmp_path / "my-machine.yaml")
    if words[1] == "gate":
        (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    guide = (ROOT / "docs" / "writing-cases.md").read_text()
    (tmp_path / "cases_my_device.py").write_text(_PYTHON.search(guide)[1])
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples", dirs_exist_ok=True)
    answer = harness(words, tmp_path)
    said = answer.stdout + answer.stderr
    if runs:
        # The program's own status is its affair (a user may be denied), never having run is ours.
        assert answer.returncode not in (125, 126, 127), said
    else:
        # What doctor finds lacking here, a host without PCI, or what the gate found, is no fault
        # of the command.
        allowed = {"doctor": (0, 1), "record": (0, 3), "gate": (0, 1)}
        assert answer.returncode in allowed.get(words[1], (0,)), said


def test_there_are_commands():
    assert len(list(commands())) >= 5


def test_ci_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    (block,) = [block for block in _CONSOLE.findall(readme) if block.rstrip().endswith("tox")]
    # The interpreter that CI has found stands for python3.
    assert block.rstrip().replace("python3 ", '"$python" ') in (ROOT / ".ci" / "run").read_text()


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    required = list(project["project"]["dependencies"])
    for group in project["dependency-groups"].values():
        required += group
    names = {re.match(r"[\w.-]+", requirement).group() for requirement in required}
    reasons = (ROOT / "docs" / "decisions.md").read_text()
    assert [name for name in sorted(names) if name not in reasons] == []


def test_every_floor_that_is_drawn_exists():
    table = (ROOT / "docs" / "architecture.md").read_text().partition("## Floors")[2]
    first_cells = "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    drawn = re.findall(r"`(.*?)`", first_cells)
    assert drawn
    assert [name for name in drawn if not (ROOT / "harness" / name).exists()] == []


def quoted():
    document = ROOT / "docs" / "add-an-attribute.md"
    for block in _PYTHON.findall(document.read_text()):
        yield pytest.param(block, id=block.splitlines()[0].strip())


@pytest.mark.parametrize("block", list(quoted()))
def test_what_the_guide_quotes_is_in_the_repository(block):
    assert any(block in path.read_text() for path in (ROOT / "harness").rglob("*.py"))


def test_the_machine_of_the_guide_is_one(tmp_path):
    text = (ROOT / "docs" / "machines.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.yaml").write_text(block)
    machine = load_machine(tmp_path / "mine.yaml")
    assert "dsa0" in machine.devices("dsa")
    assert len(machine.devices("pci")) == 2


@pytest.mark.parametrize(
    "kind", [MachineFile, PciEntry, IommuEntry, CpuEntry, BarEntry, RomEntry, ExtraEntry]
)
def test_each_key_of_a_machine_file_is_explained(kind):
    text = (ROOT / "docs" / "machines.md").read_text()
    keys = [field.name.rstrip("_") for field in attrs.fields(kind)]
    assert [key for key in keys if not re.search(rf"[`{{]{key}[`:]", text)] == []


def test_cases_that_are_named_are_there():
    text = (ROOT / "docs" / "libvfio-user.md").read_text()
    named_cases = set(re.findall(r"`(\w+/\w+::\w+)`", text))
    assert named_cases
    ids = {case.id.partition("[")[0] for case in discover()}
    assert named_cases <= ids
