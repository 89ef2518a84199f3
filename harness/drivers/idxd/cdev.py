# SPDX-License-Identifier: Apache-2.0
"""The driver ``user``: queues as character devices (drivers/dma/idxd/cdev.c, 6.1, 6.12).

The plan: binding a queue makes the device ``dsa!wqD.N`` below it and the node ``/dev/dsa/wqD.N``
(``iax`` for IAX). An open file belongs to the memory of its opener: others get EPERM, or POLLNVAL
from poll. From 6.12 on it is a device too, ``fileK`` below the queue's. It has mmap (one page, the
queue's limited portal), write (whole descriptors of 64 bytes) and poll (readable while the device
has an error); read, ioctl and lseek have no method.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.drivers.idxd.bus import IdxdDeviceDriver
from harness.drivers.idxd.command import (
    idxd_device_drain_pasid,
    idxd_wq_disable_pasid,
    idxd_wq_set_pasid,
)
from harness.drivers.idxd.enable import drv_disable_wq, drv_enable_wq
from harness.drivers.idxd.sva import iommu_sva_bind_device
from harness.drivers.idxd.wq import IdxdWq
from harness.kernel.chardev import CharDevice
from harness.kernel.driver_core import Device, device_add, device_del
from harness.kernel.errors import Errno
from harness.kernel.sysfs import Attribute, AttributeGroup, BinaryAttribute
from harness.kernel.task import Caller
from harness.kernel.vfs import OpenFile, Pages, PollTable
from harness.uapi import idxd as u
from harness.uapi.fs import CAP_SYS_RAWIO, PAGE_SIZE, POLLIN, POLLNVAL, POLLRDNORM

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice

DESCRIPTOR_SIZE = 64


class IdxdCdev(Device):
    """The character device of a queue (struct idxd_cdev)."""

    devtype = "idxd_cdev"

    def __init__(self, wq: IdxdWq, minor: int) -> None:
        idxd = wq.idxd
        super().__init__(wq.kernel, f"{idxd.data.kind}!wq{idxd.id}.{wq.id}", idxd.bus, wq)
        self.wq = wq
        self.minor = minor
        self.devt = (idxd.module.cdevs[idxd.data.kind].major, minor)
        self.open_method = self.idxd_cdev_open

    def idxd_cdev_open(self, node: CharDevice, caller: Caller, flags: int) -> IdxdUserContext:
        """EBUSY for a dedicated queue that is open; then what binding a PASID says."""
        wq = self.wq
        idxd = wq.idxd
        if wq.client_count > 0 and wq.dedicated:
            raise Errno(errno.EBUSY)
        pasid = iommu_sva_bind_device(idxd, caller.address_space)
        if wq.dedicated:
            try:
                idxd_wq_set_pasid(wq, pasid)
            except Errno:
                idxd.module.pasids.unbind(caller.address_space)
                raise
        wq.client_count += 1
        wq.kernel.modules["idxd"].references += 1
        context = IdxdUserContext(node, caller, wq, pasid)
        if idxd.module.section.cdev_files:
            context.file = IdxdFile(self, idxd.module.file_ida.alloc(), caller.task.pid)
            device_add(context.file)
        return context


def cr_faults_show(file: IdxdFile, caller: Caller) -> str:
    return f"{file.cr_faults}\n"


def cr_fault_failures_show(file: IdxdFile, caller: Caller) -> str:
    return f"{file.cr_fault_failures}\n"


def pid_show(file: IdxdFile, caller: Caller) -> str:
    return f"{file.pid}\n"


def cdev_file_attr_visible(file: IdxdFile, attribute: Attribute | BinaryAttribute) -> int:
    """Only for queues with a PASID."""
    return attribute.mode if file.wq.pasid_enabled else 0


class IdxdFile(Device):
    """The open file of a queue as a device, ``fileK`` below the queue's (6.12).

    It counts faults of completion records; ``pid`` is the opener's.
    """

    devtype = "idxd_file"
    transient = True
    groups = (
        AttributeGroup(
            (
                Attribute("cr_faults", 0o444, cr_faults_show),
                Attribute("cr_fault_failures", 0o444, cr_fault_failures_show),
                Attribute("pid", 0o444, pid_show),
            ),
            is_visible=cdev_file_attr_visible,
        ),
    )

    def __init__(self, cdev: IdxdCdev, number: int, pid: int) -> None:
        super().__init__(cdev.kernel, f"file{number}", cdev.bus, cdev)
        self.wq = cdev.wq
        self.id = number
        self.pid = pid
        self.cr_faults = self.cr_fault_failures = 0


class IdxdUserContext(OpenFile):
    """An open queue (struct idxd_user_context). ``file`` is None where it is no device."""

    __slots__ = ("_memory", "file", "pasid", "wq")

    seekable = False

    def __init__(self, node: CharDevice, opener: Caller, wq: IdxdWq, pasid: int) -> None:
        super().__init__(node, opener)
        self.wq = wq
        self.pasid = pasid
        self.file: IdxdFile | None = None
        # Held from here on: when the file is released, the opener may be gone.
        self._memory = opener.address_space

    def _foreign(self, caller: Caller) -> bool:
        """Whether the caller has other memory than the opener had."""
        return caller.address_space.identity != self._memory.identity

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """idxd_cdev_write: an error counts only if nothing was submitted before it."""
        if self._foreign(caller):
            raise Errno(errno.EPERM)
        written = 0
        for start in range(0, len(data) - DESCRIPTOR_SIZE + 1, DESCRIPTOR_SIZE):
            try:
                self._idxd_submit_user_descriptor(data[start : start + DESCRIPTOR_SIZE])
            except Errno:
                if written:
                    break
                raise
            written += DESCRIPTOR_SIZE
        return written

    def _idxd_submit_user_descriptor(self, data: bytes) -> None:
        """EINVAL for batches that cannot be trusted, and for an unaligned completion record."""
        wq = self.wq
        idxd = wq.idxd
        descriptor = u.DsaHwDesc.from_buffer_copy(data)
        batch = not idxd.data.is_iax and descriptor.opcode == u.DSA_OPCODE_BATCH
        if batch and idxd.batch_unsafe:
            raise Errno(errno.EINVAL)
        if descriptor.completion_addr % idxd.data.align:
            raise Errno(errno.EINVAL)
        if not wq.dedicated:
            descriptor.priv, descriptor.pasid = 0, self.pasid
        value = int.from_bytes(bytes(descriptor), "little")
        idxd.pdev.function.store(u.IDXD_WQ_BAR, portal_offset(wq), DESCRIPTOR_SIZE, value)

    def poll(self, caller: Caller, table: PollTable) -> int:
        """idxd_cdev_poll."""
        if self._foreign(caller):
            return POLLNVAL
        table.add(self.wq.err_queue)
        return POLLIN | POLLRDNORM if self.wq.idxd.sw_err.valid else 0

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """idxd_cdev_mmap: EPERM, EPERM, EINVAL for more than a page. The offset means nothing."""
        idxd = self.wq.idxd
        safe = idxd.data.user_submission_safe
        if not safe and not caller.credentials.capable(CAP_SYS_RAWIO):
            raise Errno(errno.EPERM)
        if self._foreign(caller):
            raise Errno(errno.EPERM)
        if length > PAGE_SIZE:
            raise Errno(errno.EINVAL)
        function, portal = idxd.pdev.function, portal_offset(self.wq)

        def load(position: int, size: int) -> bytes:
            return function.load(u.IDXD_WQ_BAR, portal + position, size).to_bytes(size, "little")

        def store(position: int, data: bytes) -> None:
            value = int.from_bytes(data, "little")
            function.store(u.IDXD_WQ_BAR, portal + position, len(data), value)

        return Pages(PAGE_SIZE, load=load, store=store, doorbell=True)

    def release(self) -> None:
        """idxd_cdev_release: the queue may have been taken out of service meanwhile."""
        wq = self.wq
        if self.file is not None:
            device_del(self.file)
            wq.idxd.module.file_ida.free(self.file.id)
        if wq.dedicated:
            _disable_pasid(wq)
        else:
            idxd_device_drain_pasid(wq.idxd, self.pasid)
        wq.idxd.module.pasids.unbind(self._memory)
        wq.client_count -= 1
        wq.kernel.modules["idxd"].references -= 1


def _disable_pasid(wq: IdxdWq) -> None:
    """Failures are only logged."""
    try:
        idxd_wq_disable_pasid(wq)
    except Errno:
        return


def portal_offset(wq: IdxdWq) -> int:
    """The limited portal in BAR 2 (idxd_get_wq_portal_full_offset)."""
    return (wq.id * u.IDXD_PORTALS_PER_WQ + u.IDXD_PORTAL_LIMITED) * u.IDXD_PORTAL_SIZE


def idxd_wq_add_cdev(wq: IdxdWq) -> None:
    """Make the device, with the lowest free minor of its kind."""
    idxd: IdxdDevice = wq.idxd
    minor = idxd.module.cdevs[idxd.data.kind].minor_ida.alloc()
    wq.idxd_cdev = IdxdCdev(wq, minor)
    device_add(wq.idxd_cdev)


def idxd_wq_del_cdev(wq: IdxdWq) -> None:
    """Take the device and its node away; open files stay."""
    cdev, wq.idxd_cdev = wq.idxd_cdev, None
    assert cdev is not None
    device_del(cdev)
    wq.idxd.module.cdevs[wq.idxd.data.kind].minor_ida.free(cdev.minor)


class IdxdUserDrv(IdxdDeviceDriver):
    """Takes any queue of an enabled device that has SVA, and makes it a user queue."""

    name = "user"
    types = ("wq",)

    def probe(self, device: Device) -> None:
        """idxd_user_drv_probe: ENXIO for a disabled device (cmd_status stays), ENODEV for a queue
        that is not its, EOPNOTSUPP."""
        assert isinstance(device, IdxdWq)
        idxd = device.idxd
        if idxd.state != "enabled":
            raise Errno(errno.ENXIO)
        if not device.driver_name_match(self.name):
            idxd.cmd_status = u.IDXD_SCMD_WQ_NO_DRV_NAME
            raise Errno(errno.ENODEV)
        if not idxd.user_pasid_enabled:
            idxd.cmd_status = u.IDXD_SCMD_WQ_USER_NO_IOMMU
            raise Errno(errno.EOPNOTSUPP)
        device.type = "user"
        try:
            drv_enable_wq(device)
        except Errno:
            device.type = "none"
            raise
        idxd_wq_add_cdev(device)
        idxd.cmd_status = 0

    def remove(self, device: Device) -> None:
        """idxd_user_drv_remove."""
        assert isinstance(device, IdxdWq)
        idxd_wq_del_cdev(device)
        drv_disable_wq(device)
        device.type = "none"
