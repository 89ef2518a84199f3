# SPDX-License-Identifier: Apache-2.0
"""A live Linux's devices become a machine file that ``uapi-harness run --machine`` can use.

Only sysfs is read, and two files of /proc. Nothing is written to any device, and no file is read
whose reading is an access to hardware but configuration space.
"""

from __future__ import annotations

import os
import tempfile

from harness.machine import MachineError, load_machine
from harness.record.document import Recording
from harness.record.errors import NothingToRecord, RecordError
from harness.record.recorder import record
from harness.record.tree import DirectoryTree, Tree

__all__ = [
    "DirectoryTree",
    "NothingToRecord",
    "RecordError",
    "Recording",
    "Tree",
    "checked",
    "record",
    "write",
]


def checked(recording: Recording) -> str:
    """The text of the machine file, after a machine was made of it. RecordError if none can be."""
    text = recording.text()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "recorded.yaml")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        try:
            load_machine(path)
        except MachineError as error:
            problem = str(error).removeprefix(f"{path}:")
            raise RecordError(
                f"no machine can be made of what was recorded: line {problem}"
            ) from None
    return text


def write(text: str, path: str, *, force: bool = False) -> None:
    """Put ``text`` into ``path``, whole or not at all. RecordError; there only if ``force``."""
    if os.path.lexists(path) and not force:
        raise RecordError(f"{path} is there already; --force overwrites it")
    new = None
    try:
        descriptor, new = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".record-")
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(new, 0o644)
        if force:
            os.replace(new, path)
        else:
            os.link(new, path)  # fails where somebody was faster
            os.unlink(new)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
