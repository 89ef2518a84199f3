# SPDX-License-Identifier: Apache-2.0
"""Which agent to start, and the building of the C one.

``UAPI_AGENT=c`` or ``UAPI_AGENT=python`` forces one of them; otherwise it is the C agent where a
compiler or a copy that was built earlier is at hand. Copies are kept in the user's cache directory.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
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
#: How the program is linked, the best first: a dynamic one serves where no static C library is.
_LINKS = ("static", "dynamic")


@cache
def agent_command() -> list[str]:
    """The command that starts an agent on its standard input and output.

    Raises AgentError if ``UAPI_AGENT`` forces one that cannot be had, or names none.
    """
    forced = os.environ.get("UAPI_AGENT", "")
    if forced not in ("", "c", "python"):
        raise AgentError(f"UAPI_AGENT is {forced!r}; c or python would be right")
    program = None if forced == "python" else _program(_LINKS)
    if program is not None:
        return [str(program)]
    if forced == "c":
        raise AgentError(f"UAPI_AGENT=c needs a C compiler ({', '.join(COMPILERS)}) that works")
    return python_command()


def python_command() -> list[str]:
    """The command that starts the Python agent."""
    return [sys.executable, "-I", "-S", str(PROGRAM)]


@cache
def static_agent() -> Path | None:
    """The C agent as a program that needs no other file; None where it cannot be built."""
    return _program(("static",))


def compiler() -> str | None:
    """The C compiler to use, if there is one."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def build(cc: str, output: Path, *flags: str) -> bool:
    """Whether ``cc`` could build the agent as ``output``."""
    command = [cc, *FLAGS, *flags, "-o", str(output), str(SOURCE)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


def _program(links: tuple[str, ...]) -> Path | None:
    """The best program that is in the cache already, or can be built."""
    cc = compiler()
    for link in links:
        for path in _cached(cc, link):
            if _works(path):
                return path
        if cc is not None and (path := _build_where_it_works(cc, link)) is not None:
            return path
    return None


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    # A relative path is to be ignored, says the XDG Base Directory Specification.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "uapi-harness"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _name(cc: str, link: str) -> str:
    """Another source, another compiler: another file."""
    version = subprocess.run([cc, "--version"], capture_output=True, stdin=subprocess.DEVNULL)
    return f"agent-{_digest(SOURCE.read_bytes())}-{link}-{_digest(version.stdout)}"


def _cached(cc: str | None, link: str) -> Iterator[Path]:
    """Copies of this very source: this compiler's, or any where there is no compiler."""
    ...
