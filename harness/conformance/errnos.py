# SPDX-License-Identifier: Apache-2.0
"""Error numbers as a type of their own, so that ``expect`` can tell EINVAL from the result 22."""

from __future__ import annotations

import errno

from attrs import frozen

from harness.kernel.errors import errno_name
from harness.uapi.fs import ENOTSUPP as _ENOTSUPP


@frozen
class ErrorNumber:
    """What a failed call left in errno; shown by its name."""

    number: int

    def __str__(self) -> str:
        return errno_name(self.number)

    __repr__ = __str__


E2BIG = ErrorNumber(errno.E2BIG)
EACCES = ErrorNumber(errno.EACCES)
EAGAIN = ErrorNumber(errno.EAGAIN)
EBADF = ErrorNumber(errno.EBADF)
EBADFD = ErrorNumber(errno.EBADFD)
EBUSY = ErrorNumber(errno.EBUSY)
ECHILD = ErrorNumber(errno.ECHILD)
EDEADLK = ErrorNumber(errno.EDEADLK)
EADDRINUSE = ErrorNumber(errno.EADDRINUSE)
EEXIST = ErrorNumber(errno.EEXIST)
EFAULT = ErrorNumber(errno.EFAULT)
EFBIG = ErrorNumber(errno.EFBIG)
EINTR = ErrorNumber(errno.EINTR)
EINVAL = ErrorNumber(errno.EINVAL)
EIO = ErrorNumber(errno.EIO)
EISDIR = ErrorNumber(errno.EISDIR)
ELOOP = ErrorNumber(errno.ELOOP)
EMFILE = ErrorNumber(errno.EMFILE)
EMSGSIZE = ErrorNumber(errno.EMSGSIZE)
ENAMETOOLONG = ErrorNumber(errno.ENAMETOOLONG)
ENODEV = ErrorNumber(errno.ENODEV)
ENOENT = ErrorNumber(errno.ENOENT)
ENOMEM = ErrorNumber(errno.ENOMEM)
ENOSPC = ErrorNumber(errno.ENOSPC)
ENOTDIR = ErrorNumber(errno.ENOTDIR)
ENOTEMPTY = ErrorNumber(errno.ENOTEMPTY)
#: The kernel's internal number 524, which some stores leak; programs cannot name it.
ENOTSUPP = ErrorNumber(_ENOTSUPP)
ENOTTY = ErrorNumber(errno.ENOTTY)
ENXIO = ErrorNumber(errno.ENXIO)
EOPNOTSUPP = ErrorNumber(errno.EOPNOTSUPP)
EOVERFLOW = ErrorNumber(errno.EOVERFLOW)
EPERM = ErrorNumber(errno.EPERM)
ERANGE = ErrorNumber(errno.ERANGE)
ESPIPE = ErrorNumber(errno.ESPIPE)
ETXTBSY = ErrorNumber(errno.ETXTBSY)
EUSERS = ErrorNumber(errno.EUSERS)
EXDEV = ErrorNumber(errno.EXDEV)
