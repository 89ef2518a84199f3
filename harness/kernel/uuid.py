# SPDX-License-Identifier: Apache-2.0
"""UUIDs as stores take them: lib/uuid.c, 6.1."""

from __future__ import annotations

import errno
import re

from harness.kernel.errors import Errno

#: Of a UUID itself, in bytes, and as text.
UUID_LEN, UUID_STRING_LEN = 16, 36
NIL_UUID = "00000000-0000-0000-0000-000000000000"
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def stored_uuid(data: bytes) -> str:
    """The UUID, in small letters, of a store that allows a newline behind it.

    EINVAL for anything but 36 or 37 bytes, of which the first 36 are a UUID; guid_parse does not
    look at the last.
    """
    uuid = _UUID.match(data)
    if len(data) not in (UUID_STRING_LEN, UUID_STRING_LEN + 1) or uuid is None:
        raise Errno(errno.EINVAL)
    return uuid.group().decode().lower()


def uuid_parse(text: bytes) -> bytes:
    """The UUID that ``text`` begins with, in its own order of bytes; EINVAL if there is none."""
    uuid = _UUID.match(text)
    if uuid is None:
        raise Errno(errno.EINVAL)
    return bytes.fromhex(uuid.group().decode().replace("-", ""))
