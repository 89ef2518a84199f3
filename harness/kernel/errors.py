# SPDX-License-Identifier: Apache-2.0
"""The one exception of the fake kernel: an error number."""

from __future__ import annotations

import errno as _errno

from harness.uapi.fs import ENOTSUPP, EPROBE_DEFER

_NAMES = {
    **_errno.errorcode,
    # Of two names for one number, the kernel's.
    _errno.EAGAIN: "EAGAIN",
    _errno.EDEADLK: "EDEADLK",
    _errno.EOPNOTSUPP: "EOPNOTSUPP",
    EPROBE_DEFER: "EPROBE_DEFER",
    ENOTSUPP: "ENOTSUPP",
}


def errno_name(number: int) -> str:
    """``13`` -> ``"EACCES"``; kernel-internal numbers have the kernel's name for them."""
    return _NAMES.get(number) or str(number)


class Errno(Exception):
    """A system call ends with this (positive) error number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.errno = number

    def __str__(self) -> str:
        return errno_name(self.errno)
