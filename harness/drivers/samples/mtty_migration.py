# SPDX-License-Identifier: Apache-2.0
"""mtty moves from one machine to another: samples/vfio-mdev/mtty.c, 6.12."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from harness.drivers.vfio.feature import vfio_mig_get_next_state
from harness.drivers.vfio.user import copy_in
from harness.kernel.anon_inode import AnonInode
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import OpenFile
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.samples.mtty_device import MttyDevice

_MAGIC = 0x7E9D09898C3E2C4E
#: struct mtty_data up to the ports: magic, version, how many ports, flags.
_HEADER = struct.Struct("<QIIII")
_STOP, _RUNNING, _STOP_COPY, _RESUMING, _RUNNING_P2P, _PRE_COPY, _PRE_COPY_P2P = (
    u.VFIO_DEVICE_STATE_STOP,
    u.VFIO_DEVICE_STATE_RUNNING,
    u.VFIO_DEVICE_STATE_STOP_COPY,
    u.VFIO_DEVICE_STATE_RESUMING,
    u.VFIO_DEVICE_STATE_RUNNING_P2P,
    u.VFIO_DEVICE_STATE_PRE_COPY,
    u.VFIO_DEVICE_STATE_PRE_COPY_P2P,
)
#: Steps that end a migration, and those that begin to save.
_ENDS = {(_PRE_COPY, _RUNNING), (_PRE_COPY_P2P, _RUNNING_P2P), (_STOP_COPY, _STOP)}
_SAVES = {
    (_RUNNING, _PRE_COPY),
    (_RUNNING_P2P, _PRE_COPY_P2P),
    (_STOP, _STOP_COPY),
    (_PRE_COPY_P2P, _STOP_COPY),
}


class MigrationFile(OpenFile):
    """struct mtty_migration_file: a stream of data, of no use any more once it is disabled."""

    __slots__ = ("data", "disabled", "migration", "position")

    seekable = False

    def __init__(self, caller: Caller, migration: Migration) -> None:
        super().__init__(AnonInode("mtty_mig"), caller)
        self.migration = migration
        self.data = b""
        self.position = 0
        self.disabled = False

    def disable(self) -> None:
        """mtty_disable_file."""
        self.disabled, self.data, self.position = True, b"", 0

    def check(self) -> None:
        """ENODEV once it is disabled."""
        if self.disabled:
            raise Errno(errno.ENODEV)

    def release(self) -> None:
        """mtty_release_migf."""
        self.disable()


class SavingFile(MigrationFile):
    """mtty_save_fops."""

    __slots__ = ()

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """mtty_save_read: whatever is there from where the last read ended."""
        self.check()
        content = self.data[self.position : self.position + count]
        self.position += len(content)
        return content

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """The file is open for reading alone (O_RDONLY), which mounts are not told."""
        raise Errno(errno.EBADF)

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """mtty_precopy_ioctl: ENOTTY, EINVAL in other states, ENODEV."""
        if command != u.VFIO_MIG_GET_PRECOPY_INFO:
            raise Errno(errno.ENOTTY)
        info = copy_in(caller, argument, u.PrecopyInfo)
        if self.migration.state not in (_PRE_COPY, _PRE_COPY_P2P):
            raise Errno(errno.EINVAL)
        self.check()
        if self.migration.device.precopy_info_v2:  # vfio_check_precopy_ioctl, 7.1
            info.flags = 0
        info.dirty_bytes = 0
        info.initial_bytes = len(self.data) - self.position
        caller.copy_to_user(argument, bytes(info))
        return 0


class ResumingFile(MigrationFile):
    """mtty_resume_fops."""

    __slots__ = ()

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """The file is open for writing alone (O_WRONLY), which mounts are not told."""
        raise Errno(errno.EBADF)

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """mtty_resume_write: ENOMEM for too much, EFAULT for a header of another device."""
        device = self.migration.device
        if self.position + len(data) > self.migration.data_size:
            raise Errno(errno.ENOMEM)
        self.check()
        before = len(self.data)
        self.data += data
        self.position += len(data)
        if before < _HEADER.size <= len(self.data):
            header = _HEADER.unpack_from(self.data)
            if header != (_MAGIC, 1, 0, len(device.ports), 0):
                raise Errno(errno.EFAULT)
        return len(data)


class Migration:
    """The state of one device, and the file that its data are in."""

    def __init__(self, device: MttyDevice) -> None:
        self.device = device
        self.state = _RUNNING
        self._saving: SavingFile | None = None
        self._resuming: ResumingFile | None = None

    @property
    def data_size(self) -> int:
        """mtty_data_size."""
        return _HEADER.size + sum(port.SIZE for port in self.device.ports)

    def reset(self) -> None:
        """Running, whatever it was before (mtty_reset)."""
        self.state = _RUNNING
        self.disable_files()

    def disable_files(self) -> None:
        """mtty_disable_files."""
        for file in (self._saving, self._resuming):
            if file is not None:
                file.disable()
        self._saving = self._resuming = None

    def set_state(self, caller: Caller, state: int) -> OpenFile | None:
        """mtty_set_state: step by step; the last one may give a file."""
        file: OpenFile | None = None
        while self.state != state:
            following = vfio_mig_get_next_state(self.device, self.state, state)
            file = self._step(caller, following)
            self.state = following
        return file

    def _step(self, caller: Caller, new: int) -> OpenFile | None:
        """mtty_step_state."""
        step = (self.state, new)
        if step == (_RESUMING, _STOP):
            self._load()
            self.disable_files()
        elif step in _ENDS:
            self.disable_files()
        elif step in _SAVES:
            return self._save(caller, new)
        elif step == (_STOP, _RESUMING):
            self._resuming = ResumingFile(caller, self)
            return self._resuming
        return None

    def _save(self, caller: Caller, new: int) -> OpenFile | None:
        """mtty_save_device_data: the ports come last, when nothing changes any more."""
        begun = self._saving is not None
        if self._saving is None:
            self._saving = SavingFile(caller, self)
            self._saving.data = _HEADER.pack(_MAGIC, 1, 0, len(self.device.ports), 0)
        if new == _STOP_COPY:
            self._saving.data += b"".join(port.save() for port in self.device.ports)
        return None if begun else self._saving

    def _load(self) -> None:
        """mtty_load_state; EINVAL for too little."""
        assert self._resuming is not None
        data = self._resuming.data
        if len(data) < self.data_size:
            raise Errno(errno.EINVAL)
        for number, port in enumerate(self.device.ports):
            start = _HEADER.size + number * port.SIZE
            port.load(data[start : start + port.SIZE])
