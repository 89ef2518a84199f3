# SPDX-License-Identifier: Apache-2.0
"""Attributes of items as files (fs/configfs/file.c, 6.1).

Unlike sysfs: the first read of an open file takes the text, and it stays until that very file is
written; a removed item's files answer ENOENT; binary data is handed over at the close.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.kernel.configfs.item import ConfigBinaryAttribute, ConfigItem
from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsFile, KernfsRoot, function_name
from harness.kernel.sysfs import Attribute
from harness.kernel.task import Caller
from harness.kernel.vfs import Changes, OpenFile
from harness.uapi.fs import MAX_NON_LFS, O_ACCMODE, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

if TYPE_CHECKING:
    from collections.abc import Callable

#: The largest text of an attribute, in bytes (SIMPLE_ATTR_SIZE).
SIMPLE_ATTR_SIZE = 4096


class ConfigFile(KernfsFile):
    """An attribute of ``item``. Its methods are asked for with each open."""

    __slots__ = ("_full_size", "attribute", "item")

    def __init__(
        self,
        root: KernfsRoot,
        item: ConfigItem,
        attribute: Attribute | ConfigBinaryAttribute,
        size: int,
    ) -> None:
        super().__init__(root, attribute.name, attribute.mode, size)
        self.item = item
        self.attribute = attribute
        self._full_size = size

    @property
    def max_bytes(self) -> int:
        """configfs_fill_super leaves it as it is."""
        return MAX_NON_LFS

    @property
    def _methods(self) -> tuple[object, object]:
        """What reads and what writes."""
        if isinstance(self.attribute, Attribute):
            return self.attribute.show, self.attribute.store
        return self.attribute.read, self.attribute.write

    def open(self, caller: Caller, flags: int) -> OpenFile:
        """ENOENT if removed; mode bits and methods bind root too (__configfs_open_file)."""
        if not self.active:
            raise Errno(errno.ENOENT)
        reads, writes = self._methods
        access = flags & O_ACCMODE
        if access in (O_WRONLY, O_RDWR) and (not self.mode & 0o222 or writes is None):
            raise Errno(errno.EACCES)
        if access in (O_RDONLY, O_RDWR) and (not self.mode & 0o444 or reads is None):
            raise Errno(errno.EACCES)
        self.open_count += 1
        if flags & O_TRUNC:
            self.size = 0
        return self.new_open_file(caller)

    def new_open_file(self, caller: Caller) -> OpenFile:
        """See :class:`OpenConfigText` and :class:`OpenConfigBinary`."""
        if isinstance(self.attribute, Attribute):
            return OpenConfigText(self, caller, self.attribute)
        return OpenConfigBinary(self, caller, self.attribute)

    def setattr(self, caller: Caller, changes: Changes) -> None:
        """A size is the inode's alone, which lives while the file is open (configfs_setattr)."""
        super().setattr(caller, changes)
        if changes.size is not None and self.open_count:
            self.size = changes.size

    @property
    def settled(self) -> bool:
        """A size that was set goes with the last close."""
        return super().settled and self.size == self._full_size

    def closed(self) -> None:
        """The last close drops the inode and a size that was set (always_delete_dentry)."""
        self.open_count -= 1
        if not self.open_count:
            self.size = self._full_size


class _OpenConfigFile(OpenFile):
    """What both kinds share (struct configfs_buffer)."""

    __slots__ = ("node",)
    node: ConfigFile

    def __init__(self, node: ConfigFile, opener: Caller) -> None:
        super().__init__(node, opener)

    def _check_alive(self) -> None:
        """ENOENT once the item was removed (configfs_fragment)."""
        if not self.node.active:
            raise Errno(errno.ENOENT)

    def release(self) -> None:
        """configfs_release."""
        self.node.closed()


class OpenConfigText(_OpenConfigFile):
    """An open text attribute."""

    __slots__ = ("_attribute", "_text")

    def __init__(self, node: ConfigFile, opener: Caller, attribute: Attribute) -> None:
        super().__init__(node, opener)
        self._attribute = attribute
        #: What show gave; None if it is to be asked (needs_read_fill).
        self._text: bytes | None = None

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """Of the text that the first read took (configfs_read_iter)."""
        if self._text is None:
            self._text = self._fill_read_buffer(caller)
        return self._text[offset : offset + count]

    def _fill_read_buffer(self, caller: Caller) -> bytes:
        self._check_alive()
        assert self._attribute.show is not None
        text = self._attribute.show(self.node.item, caller)
        if isinstance(text, str):
            text = text.encode(errors="surrogateescape")
        if len(text) > SIMPLE_ATTR_SIZE:
            raise Errno(errno.EIO)
        return text

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """One store of at most 4,095 bytes, wherever the offset is (configfs_write_iter)."""
        data = data[: SIMPLE_ATTR_SIZE - 1]
        self._text = None
        if not data:
            raise Errno(errno.EFAULT)  # fill_write_buffer
        self._check_alive()
        assert self._attribute.store is not None
        taken = self._attribute.store(self.node.item, caller, data)
        return len(data) if taken is None else taken

    def decider(self, operation: str) -> str:
        """The attribute's own show or store."""
        methods: dict[str, Callable[..., object] | None] = {
            "read": self._attribute.show,
            "write": self._attribute.store,
        }
        method = methods.get(operation)
        return function_name(method) if method else operation


class OpenConfigBinary(_OpenConfigFile):
    """An open binary attribute: for reading or for writing, as the first call decides."""

    __slots__ = ("_attribute", "_data", "_reads", "_writes")

    def __init__(self, node: ConfigFile, opener: Caller, attribute: ConfigBinaryAttribute) -> None:
        super().__init__(node, opener)
        self._attribute = attribute
        self._data: bytearray | None = None
        self._reads = self._writes = False

    def lseek(self, caller: Caller, position: int, offset: int, whence: int) -> int:
        """ESPIPE: there is no llseek, though pread works (configfs_bin_file_operations)."""
        raise Errno(errno.ESPIPE)

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """ETXTBSY after a write, EFBIG for more than the maximum (configfs_bin_read_iter)."""
        if self._writes:
            raise Errno(errno.ETXTBSY)
        self._reads = True
        if self._data is None:
            self._check_alive()
            assert self._attribute.read is not None
            data = self._attribute.read(self.node.item, caller)
            if self._attribute.max_size and len(data) > self._attribute.max_size:
                raise Errno(errno.EFBIG)
            if not data:
                return b""  # to be asked again
            self._data = bytearray(data)
        return bytes(self._data[offset : offset + count])

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """Into the buffer, which grows with zeros as needed (configfs_bin_write_iter)."""
        if self._reads:
            raise Errno(errno.ETXTBSY)
        self._writes = True
        buffer = self._data if self._data is not None else bytearray()
        end = offset + len(data)
        if end > len(buffer):
            if self._attribute.max_size and end > self._attribute.max_size:
                raise Errno(errno.EFBIG)
            buffer.extend(bytes(end - len(buffer)))
        self._data = buffer
        if not data:
            raise Errno(errno.EFAULT)
        buffer[offset:end] = data
        return len(data)

    def release(self) -> None:
        """Hand over what was written; nobody hears of an error (configfs_release_bin_file)."""
        if self._writes and self.node.active:
            assert self._attribute.write is not None
            with suppress(Errno):
                self._attribute.write(self.node.item, self.opener, bytes(self._data or b""))
        super().release()

    def decider(self, operation: str) -> str:
        """The attribute's own read or write."""
        methods: dict[str, Callable[..., object] | None] = {
            "read": self._attribute.read,
            "release": self._attribute.write,
        }
        method = methods.get(operation)
        return function_name(method) if method else operation
