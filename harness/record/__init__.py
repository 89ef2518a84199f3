# SPDX-License-Identifier: Apache-2.0
"""A live Linux's devices become a machine file that ``uapi-harness run --machine`` can use.

Only sysfs is read, and two files of /proc. Nothing is written to any device, and no file is read
whose reading is an access to hardware but configuration space.
"""

from __future__ import annotations

import os
import sys
import tempfile

from harness.data import DataError, write_whole
from harness.machine import BUILTIN_MODULES, MachineError, load_machine
from harness.record.document import Recording
from harness.record.errors import NothingToRecord, RecordError
from harness.record.recorder import record
from harness.record.tree import DirectoryTree, StreamTree, Tree

__all__ = [
    "DirectoryTree",
    "NothingToRecord",
    "RecordError",
    "Recording",
    "StreamTree",
    "Tree",
    "checked",
    "record",
    "script",
    "source",
    "write",
]


def script() -> str:
    """A POSIX shell script that packs on any host what ``source(stream=...)`` reads."""
    path = os.path.join(os.path.dirname(__file__), "pack.sh")
    with open(path, encoding="utf-8") as stream:
        return stream.read().replace("@MODULES@", " ".join(BUILTIN_MODULES))


def source(root: str, stream: str | None) -> Tree:
    """What is below ``root``, or in the file ``stream`` (``-`` is stdin). RecordError."""
    if stream is None:
        return DirectoryTree(root)
    try:
        if stream == "-":
            packed = sys.stdin.buffer.read().decode(errors="surrogateescape")
            return StreamTree(packed, "stdin")
        with open(stream, encoding="utf-8", errors="surrogateescape") as file:
            return StreamTree(file.read(), stream)
    except OSError as error:
        raise RecordError(f"{stream}: {error.strerror}") from None


def checked(recording: Recording) -> str:
    """The text of the machine file, after a machine was made of it. RecordError if none can be."""
    text = recording.text()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "recorded.yaml")
        try:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
            load_machine(path)
        except MachineError as error:
            problem = f"line {str(error).removeprefix(f'{path}:')}"
        except UnicodeEncodeError:
            problem = "a name is not UTF-8"
        else:
            return text
    raise RecordError(f"no machine can be made of what was recorded: {problem}")


def write(text: str, path: str, *, force: bool = False) -> None:
    """Put ``text`` into ``path``, whole or not at all. RecordError, also for what is there already.

    With ``force`` a regular file that is there is replaced.
    """
    if os.path.isfile(path) and not force:
        raise RecordError(f"{path} is there already; --force overwrites it")
    try:
        write_whole(path, text)
    except DataError as error:
        raise RecordError(str(error)) from None
