# SPDX-License-Identifier: Apache-2.0
"""The command ``uapi-harness``.

Exit codes are stable. ``run`` gives the program's own status, 128+n after a signal, 125 for an
error of ours, 126 and 127 for a command that cannot be executed or found. Every other command: 0
good, 1 findings, 2 bad input, 3 nothing could run here.

Each module here declares some commands and carries them out. What a command needs is imported when
it is given: a run must start fast, and doctor must work everywhere.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from harness import __version__
from harness.cli import conforming, gate, kernels, machines, running
from harness.cli.common import BAD_INPUT, RAW, Parser, fail

_DESCRIPTION = """\
A machine with Intel DSA/IAA accelerators as the Linux kernel would show it, without the hardware:
run any program in it, and check it case by case against results of real kernels."""

_EPILOG = """\
examples:
  uapi-harness run --machine spr-2s -- accel-config list -i
  uapi-harness run --trace -- cat /sys/bus/dsa/devices/dsa0/state
  uapi-harness conform --target process --suite idxd
  uapi-harness start lab; uapi-harness run --in lab -- lspci; uapi-harness stop lab
  uapi-harness record idxd -o my-machine.yaml
  uapi-harness snapshot /usr/include -o mine.yaml
  uapi-harness gate old.yaml new.yaml
  uapi-harness machines
  uapi-harness doctor"""


_ENDING = (signal.SIGTERM, signal.SIGHUP)
#: What a write to a full, broken or read-only output gives.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="uapi-harness", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=RAW
    )
    parser.add_argument("--version", action="version", version=f"uapi-harness {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in (running, conforming, kernels, gate, machines):
        group.add_parsers(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: the process's own); returns the exit code."""
    _fill_standard_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _ending_in_order():
            status = _carry_out(words)
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone.
        _drop_output()
        return 141
    except OSError as error:
        if _directory_is_gone():
            return fail(words[0], "the current directory has been removed", BAD_INPUT)
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        _drop_output()
        return fail(words[0], f"the output cannot be written: {error.strerror}", BAD_INPUT)


def _carry_out(words: list[str]) -> int:
    command: list[str] = []
    if words[:2] == ["vm", "shell"] and "--" in words:
        place = words.index("--")
        words, command = words[:place], words[place + 1 :]
    options, unknown = _parser().parse_known_args(words)
    if command:
        options.command = command
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    function: Callable[[argparse.Namespace], int] = options.function
    return function(options)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """What would end us at once unwinds as an interrupt does, so that nothing is left over.

    Not what somebody ignores for us, as nohup(1) does.
    """

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    ours = threading.current_thread() is threading.main_thread()
    numbers = [one for one in _ENDING if ours and signal.getsignal(one) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _fill_standard_streams() -> None:
    """What was closed is nothing: else the next file opened would be the output of programs."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):  # /dev/null gets the lowest free number, which is this one
                os.fstat(number)
                continue
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))


def _directory_is_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _drop_output() -> None:
    """What is left of it must not fail once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
