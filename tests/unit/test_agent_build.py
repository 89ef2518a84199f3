# SPDX-License-Identifier: Apache-2.0
"""Which agent is started, and where the C one is built and kept."""

import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.agent import build
from harness.agent.client import AgentError

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C compiler")

_find = build._program.__wrapped__
_compile = build.compile_agent
_PT_INTERP = 3


@pytest.fixture(scope="module")
def compile_once(tmp_path_factory):
    """Compiles with the same flags only once: what is made of it is the same."""
    made = tmp_path_factory.mktemp("made")

    def compile_agent(cc, output, *flags):
        program = made / "".join(["agent", *flags])
        if not program.exists() and not _compile(cc, program, *flags):
            return False
        shutil.copy(program, output)
        return True

    return compile_agent


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path, compile_once):
    """An empty cache, in the user's directory and in that for temporary files."""
    monkeypatch.setattr(build, "compile_agent", compile_once)
    monkeypatch.delenv("UAPI_AGENT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(build, "_program", _find)
    return tmp_path / "cache" / "uapi-harness"


def no_compiler(monkeypatch):
    monkeypatch.setattr(build, "COMPILERS", ())


def test_it_is_built_once(cache, monkeypatch):
    program = build.static_agent()
    assert [program] == list(cache.iterdir())
    monkeypatch.setattr(build, "compile_agent", None)
    assert build.static_agent() == program
    no_compiler(monkeypatch)
    assert build.static_agent() == program, "a copy serves where there is no compiler"
    assert build.agent_command() == [str(program)]


def test_it_is_built_without_a_warning(tmp_path):
    flags = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
    assert _compile(build.compiler(), tmp_path / "agent", *flags)


def test_a_static_program_asks_for_no_interpreter():
    program = build.static_agent().read_bytes()
    (offset,) = struct.unpack_from("<Q", program, 0x20)
    size, count = struct.unpack_from("<HH", program, 0x36)
    kinds = [struct.unpack_from("<I", program, offset + i * size)[0] for i in range(count)]
    assert kinds
    assert _PT_INTERP not in kinds


def test_another_source_is_another_program(cache, monkeypatch, tmp_path):
    first = build.static_agent()
    changed = tmp_path / "agent.c"
    changed.write_bytes(build.SOURCE.read_bytes() + b"\n")
    monkeypatch.setattr(build, "SOURCE", changed)
    assert build.static_agent() != first
    assert len(list(cache.iterdir())) == 2


def test_two_at_once(cache):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(_find, ["static", "static"])
    assert first == second
    assert [first] == list(cache.iterdir()), "nothing half-written is left"


def test_a_copy_that_does_not_run_is_replaced(cache):
    program = build.static_agent()
    program.write_bytes(b"of another machine")
    assert build.static_agent() == program
    assert build._works(program)


def test_a_cache_that_cannot_be_written(cache, tmp_path):
    cache.parent.write_text("no directory")
    program = build.static_agent()
    assert program.parent.parent == tmp_path
    assert program.parent.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_others_can_write_to_is_not_trusted(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert build.static_agent().parent != cache


def test_a_relative_cache_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert build.static_agent().parent == tmp_path / "home" / ".cache" / "uapi-harness"


def test_without_a_static_c_library(monkeypatch):
    monkeypatch.setitem(build.LINKS, "static", ("-static", "-lnone-such"))
    assert build.static_agent() is None
    (program,) = build.agent_command()
    assert "-dynamic-" in program
    assert subprocess.run([program], stdin=subprocess.DEVNULL, check=False).returncode == 0


def test_without_a_compiler(monkeypatch):
    no_compiler(monkeypatch)
    assert build.static_agent() is None
    assert build.agent_command()[0] == sys.executable
    monkeypatch.setenv("UAPI_AGENT", "c")
    with pytest.raises(AgentError, match="UAPI_AGENT=c needs a C compiler"):
        build.agent_command()


def test_which_one_can_be_forced(monkeypatch):
    monkeypatch.setenv("UAPI_AGENT", "python")
    assert build.agent_command()[0] == sys.executable
    monkeypatch.setenv("UAPI_AGENT", "C++")
    with pytest.raises(AgentError, match="'C\\+\\+'; c or python"):
        build.agent_command()
