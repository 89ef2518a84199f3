# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in the process mount itself, each in one clear line."""

from __future__ import annotations

import errno
import os


class MountError(Exception):
    """The mount could not be made, or is gone."""


class CommandError(MountError):
    """The command could not be started. ``status`` is the exit status that a shell would give."""

    def __init__(self, command: str, what: str, number: int) -> None:
        super().__init__(f"{command}: {what}{os.strerror(number)}")
        found = number not in (errno.ENOENT, errno.ENOTDIR)
        #: 127 if there is no such command, 126 if it is there and cannot be executed.
        self.status = 126 if found else 127
        self.errno = number
