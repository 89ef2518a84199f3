# SPDX-License-Identifier: Apache-2.0
"""Which agent to start, and the building of the C one.

``UAPI_AGENT=c`` or ``UAPI_AGENT=python`` forces one of them; otherwise it is the C agent where a
compiler, or a copy that one has built, is at hand. Copies are kept in the user's cache directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from harness.agent.client import PROGRAM, AgentError

SOURCE = Path(__file__).with_name("agent.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c11", "-O2", "-pthread")
#: How the program may be linked, and the flags for it; a static C library is not everywhere.
LINKS = {"static": ("-static",), "dynamic": ()}


def agent_command() -> list[str]:
    """The command that starts an agent on its standard input and output.

    Raises AgentError if ``UAPI_AGENT`` forces one that cannot be had, or names none.
    """
    forced = os.environ.get("UAPI_AGENT", "")
    if forced not in ("", "c", "python"):
        raise AgentError(f"UAPI_AGENT is {forced!r}; c or python would be right")
    program = None if forced == "python" else _program("static") or _program("dynamic")
    if program is not None:
        return [str(program)]
    if forced == "c":
        raise AgentError(f"UAPI_AGENT=c needs a C compiler that works: {', '.join(COMPILERS)}")
    return [sys.executable, "-I", "-S", str(PROGRAM)]


def static_agent() -> Path | None:
    """The C agent as a program that needs no other file; None where it cannot be built."""
    return _program("static")


def compiler() -> str | None:
    """The C compiler to use, if there is one."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def compile_agent(cc: str, output: Path, *flags: str) -> bool:
    """Whether ``cc`` could build the agent with these flags as well; what it says is not kept."""
    command = [cc, *FLAGS, *flags, "-o", str(output), str(SOURCE)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@cache
def _program(link: str) -> Path | None:
    """The agent, linked this way: one that was built earlier, or a new one."""
    cc = compiler()
    for directory in _directories():
        for path in _built(directory, link, cc):
            if _works(path):
                return path
        if cc is not None and (new := _build(directory, link, cc)) is not None:
            return new
    return None


def _directories() -> Iterator[Path]:
    """Where programs are kept: in the user's cache, or if that cannot be, in a place like it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG Base Directory Specification has relative paths ignored.
    cache_home = base if os.path.isabs(base) else os.path.expanduser("~/.cache")
    temporary = os.path.join(tempfile.gettempdir(), f"uapi-harness-{os.geteuid()}")
    for path in (os.path.join(cache_home, "uapi-harness"), temporary):
        directory = Path(path)
        if _is_ours(directory):
            yield directory


def _is_ours(directory: Path) -> bool:
    """Whether it is there, perhaps by our making, and nobody else can put a program into it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError:
        return False
    others = stat.S_IWGRP | stat.S_IWOTH
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & others
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _prefix(link: str) -> str:
    return f"agent-{_digest(SOURCE.read_bytes())}-{link}-"


def _name(link: str, cc: str) -> str:
    version = subprocess.run([cc, "--version"], capture_output=True, check=False).stdout
    return _prefix(link) + _digest(version)


def _built(directory: Path, link: str, cc: str | None) -> list[Path]:
    """Programs from this very source: by this compiler, or by any where there is none."""
    if cc is None:
        return sorted(directory.glob(_prefix(link) + "*"))
    return [directory / _name(link, cc)]


def _works(program: Path) -> bool:
    """Whether it runs here (another machine's would not): it ends well when its input does."""
    try:
        done = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _build(directory: Path, link: str, cc: str) -> Path | None:
    """A new program in ``directory``, there at once and whole; None if that cannot be."""
    path = directory / _name(link, cc)
    try:
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            new = Path(scratch, "agent")
            if not compile_agent(cc, new, *LINKS[link]) or not _works(new):
                return None
            new.replace(path)
    except OSError:
        return None
    return path
