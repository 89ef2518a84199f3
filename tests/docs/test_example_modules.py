# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/writing-modules.md, as real programs see them; and files that are wrong."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import modules
from harness.doctor import missing_for_process_mount
from harness.machine import MachineError, load_machine

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def harness(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def inside():
    """Run a program in a machine with an example's module."""
    reason = missing_for_process_mount()
    if reason is not None:
        pytest.skip(reason)

    def run(example, *command):
        module = str(EXAMPLES / f"{example}.py")
        return harness("run", "--machine", "empty", "--module", module, "--", *command)

    return run


def test_sysfs(inside):
    script = """
        cat /sys/kernel/tide/alarm
        echo 101 > /sys/kernel/tide/level
        cat /sys/kernel/tide/level /sys/kernel/tide/alarm
        echo high > /sys/kernel/tide/level || echo refused
        ls /sys/kernel/tide
        ls -d /sys/module/tide
    """
    run = inside("tide", "sh", "-c", script)
    lines = ["0", "101", "1", "refused", "alarm", "level", "limit", "/sys/module/tide"]
    assert run.stdout.splitlines() == lines, run.stderr


def test_configfs(inside):
    script = """
        cd /sys/kernel/config/shelf
        mkdir a
        echo 1 > a/width
        mkdir a/b
        mkdir a/c
        rmdir a
        ls a
        rmdir a/b a
        ls
    """
    run = inside("shelf", "sh", "-c", script)
    assert run.stdout.splitlines() == ["b", "width"]
    assert "a/c" in run.stderr
    assert "No space left on device" in run.stderr
    assert "Directory not empty" in run.stderr


@pytest.fixture(scope="session")
def ring(tmp_path_factory):
    """The C program of the example."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no cc here; fixtures/packages.yaml names its Debian package")
    program = tmp_path_factory.mktemp("ring") / "ring"
    options = ["-Wall", "-Werror", "-o", program, EXAMPLES / "ring.c"]
    subprocess.run([compiler, *options], check=True)
    return str(program)


def test_character_device(inside, ring):
    run = inside("ring", ring)
    lines = ["empty: can be written", "count: 5, can be read: yes", "page: 5", "read: hello"]
    assert (run.returncode, run.stdout.splitlines()) == (0, lines), run.stderr


def test_character_device_in_the_model():
    machine = load_machine("empty", modules=[EXAMPLES / "ring.py"])
    assert machine.write("/dev/ring", "hello") == 5
    assert machine.read("/sys/class/misc/ring/dev") == "10:127\n"
    assert machine.read("/sys/class/misc/ring/uevent").splitlines() == [
        "MAJOR=10",
        "MINOR=127",
        "DEVNAME=ring",
        "DEVMODE=0666",
    ]


def test_all_at_once_in_the_order_given(tmp_path):
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    text = "from harness import Module\nMODULE = Module({!r}, lambda kernel: None, depends={!r})\n"
    one.write_text(text.format("one", ("other",)))
    other.write_text(text.format("other", ()))
    machine = load_machine("empty", modules=[one, other, EXAMPLES / "shelf.py"])
    loaded = ["other", "one", "configfs", "shelf"]
    assert [name for name in machine.kernel.modules if name in loaded] == loaded
    assert machine.listdir("/sys/kernel/config") == ["shelf"]


def test_conform_runs_cases_with_a_module(tmp_path):
    cases = tmp_path / "cases_tide.py"
    cases.write_text(
        "from harness.conformance import Call, case, expect\n\n\n"
        '@case(source="tide.py", machine="empty")\n'
        "def level(call: Call) -> None:\n"
        '    expect(call.write_text("/sys/kernel/tide/level", "7"), 1)\n'
        '    expect(call.read_text("/sys/kernel/tide/level"), "7\\n")\n'
    )
    module = str(EXAMPLES / "tide.py")
    words = ["conform", "--suite", str(cases), "--target", "model,inprocess"]
    run = harness(*words, "--module", module)
    assert run.returncode == 0, run.stdout
    run = harness(*words, UAPI_MODULES=module)
    assert run.returncode == 0, run.stdout
    run = harness(*words)
    assert run.returncode == 1, run.stdout


def test_a_real_kernel_cannot_have_a_module():
    run = harness("conform", "--target", "model,vm:6.1", "--module", str(EXAMPLES / "tide.py"))
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "vm:6.1 is a real kernel" in run.stderr


WRONG = {
    "syntax": ("x = 1\ndef f(:\n", 2, "invalid syntax"),
    "import": ("\nimport nosuchthing\n", 2, "ModuleNotFoundError: No module named 'nosuchthing'"),
    "name": ("\n\nMODULE = Modul()\n", 3, "NameError: name 'Modul' is not defined"),
    "nothing": ("x = 1\n", None, "there is no MODULE"),
    "other": ("MODULE = 5\n", None, "MODULE is 5"),
    "init": (
        "from harness import Module\n\n\ndef f(kernel):\n    kernel.x()\n\n\n"
        'MODULE = Module("m", f)\n',
        5,
        "AttributeError: 'Kernel' object has no attribute 'x', in f",
    ),
    "errno": (
        "from harness.modules import Errno, Module\n\n\ndef f(kernel):\n    raise Errno(12)\n\n\n"
        'MODULE = Module("m", f)\n',
        5,
        "ENOMEM, in f",
    ),
    "taken": (
        "from harness import Module\n\n\ndef f(kernel):\n"
        '    kernel.sysfs.directory("module").directory("m").directory("x")\n'
        '    kernel.sysfs.children["module"].remove("none")\n\n\n'
        'MODULE = Module("m", f)\n',
        6,
        "KeyError: 'none', in f",
    ),
    "status": ("raise SystemExit(3)\n", 1, "SystemExit: 3"),
    "bytes": ("a\0b\n", 1, "null bytes"),
    "path": (
        "from harness import Module\n\nMODULE = Module('a/b', print)\n",
        3,
        "ValueError: 'a/b': at most 55 letters, digits, _ and - are wanted",
    ),
    "no function": (
        "from harness import Module\n\nMODULE = Module('m', 5)\n",
        3,
        "TypeError: init is 5; a function of the kernel is wanted",
    ),
    "depends": (
        "from harness import Module\n\nMODULE = Module('m', print, depends='configfs')\n",
        3,
        'TypeError: depends is a text; write: depends=("configfs",)',
    ),
    "slash": (
        "from harness.modules import Module, misc_register\n\n"
        "MODULE = Module('m', lambda kernel: misc_register(kernel, 'a/b', None, 0o600))\n",
        3,
        "ValueError: 'a/b' is no name of a file",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line(tmp_path, name):
    text, line, what = WRONG[name]
    file = tmp_path / "wrong.py"
    file.write_text(text)
    with pytest.raises(MachineError) as caught:
        load_machine("empty", modules=[file])
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{file}:" if line is None else f"{file}:{line}: ")
    assert what in said


def test_files_that_are_no_modules(tmp_path):
    for path, what in ((tmp_path / "none.py", "No such file"), (tmp_path, "Python file")):
        with pytest.raises(MachineError, match=what):
            load_machine("empty", modules=[path])
    unknown = modules.Module("m", lambda kernel: None, depends=("nosuch",))
    with pytest.raises(MachineError, match='module m: there is no module "nosuch"'):
        load_machine("empty", modules=[unknown])
    itself = modules.Module("m", lambda kernel: None, depends=("m",))
    with pytest.raises(MachineError, match="module m: m depends on itself"):
        load_machine("empty", modules=[itself])
    takes_nothing = modules.Module("m", lambda: None)
    with pytest.raises(MachineError, match=r"module m: TypeError: .*takes 0 positional arguments"):
        load_machine("empty", modules=[takes_nothing])


def test_an_error_in_use_is_one_line_too(inside, tmp_path):
    file = tmp_path / "late.py"
    text = (EXAMPLES / "tide.py").read_text()
    file.write_text(text.replace("tide.limit = kstrtoull(data, 10, 32)", "tide.limit = 1 / 0"))
    module = ("--module", str(file))
    line = file.read_text().splitlines().index("    tide.limit = 1 / 0") + 1
    run = harness(
        "run",
        "--machine",
        "empty",
        *module,
        "--",
        "sh",
        "-c",
        "echo 1 > /sys/kernel/tide/limit; cat /sys/kernel/tide/level",
    )
    assert run.stdout == "0\n"
    assert f"{file}:{line}: ZeroDivisionError: division by zero, in limit_store" in run.stderr
    assert "Traceback" not in run.stderr


def test_every_public_name_is_there():
    assert all(hasattr(modules, name) for name in modules.__all__)
    assert modules.__all__ == sorted(
        modules.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )


def test_examples_are_as_long_as_the_guide_says():
    """About twenty lines for a subsystem, forty for a device: without imports and comments."""
    longest = {"tide": 25, "shelf": 25, "ring": 50}
    for name, most in longest.items():
        text = (EXAMPLES / f"{name}.py").read_text().partition("\n\n\n")[2]
        assert len([line for line in text.splitlines() if line.strip()]) <= most, name
