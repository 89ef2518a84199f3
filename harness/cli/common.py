# SPDX-License-Identifier: Apache-2.0
"""What the groups of commands have in common: exit codes, options, and how they fail."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from harness.data import one_line

GOOD, FINDINGS, BAD_INPUT, NOTHING_RAN = 0, 1, 2, 3
#: What ``run`` answers for an error of ours, as env(1) and timeout(1) do.
RUN_ERROR = 125
#: Help whose lines are as they were written.
RAW = argparse.RawDescriptionHelpFormatter


class Parser(argparse.ArgumentParser):
    """One line for a wrong command line, with the exit code of the command it is for."""

    exit_code = BAD_INPUT

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(self.exit_code)


def fail(command: str, message: str, code: int) -> int:
    """One line of complaint; returns the exit code."""
    print(f"uapi-harness {command}: {one_line(message)}", file=sys.stderr)
    return code


def told(error: Exception) -> str:
    """What an error says; of the system's, the file and what is the matter with it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def several(values: list[str] | None, default: str) -> list[str]:
    """The words of an option that takes commas and may be repeated."""
    return [word for value in values or [default] for word in value.split(",")]


def machine_options(parser: argparse.ArgumentParser) -> None:
    """Which machine, as which kernel, with which modules."""
    parser.add_argument(
        "--machine",
        default="spr-2s",
        metavar="NAME|FILE",
        help="a machine that comes along, or your own file (default: %(default)s)",
    )
    parser.add_argument(
        "--profile", metavar="P", help="the kernel to be, instead of the machine's own"
    )
    module_option(parser)


def module_option(parser: argparse.ArgumentParser) -> None:
    """``--module``, which :func:`with_modules` is for."""
    parser.add_argument(
        "--module",
        action="append",
        metavar="FILE",
        help="load a module of your own, too (docs/writing-modules.md); may be repeated",
    )


def with_modules(files: list[str] | None) -> None:
    """Let the processes that will make machines know of a user's modules."""
    from harness.module_file import VARIABLE, files_of_environment

    if files is not None:
        every = [*files_of_environment(), *map(os.path.abspath, files)]
        os.environ[VARIABLE] = os.pathsep.join(every)
