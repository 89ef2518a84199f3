# SPDX-License-Identifier: Apache-2.0
"""A device that could send interrupts of others is not bound, unless iommufd is told to."""

from __future__ import annotations

from harness.conformance import Call, case, expect
from harness.conformance.errnos import EINVAL, EPERM
from harness.conformance.suites.iommufd._steps import FEATURE, open_cdev, open_context
from harness.conformance.suites.vfio._steps import (
    EDU,
    get_device_fd,
    open_group,
    set_container,
)
from harness.conformance.suites.vfio_pci._device import CONFIG

MACHINE = "qemu-q35-nointremap"
_BIND = "iommufd_device_bind: drivers/iommu/iommufd/device.c, 6.12"
_IOMMUFD = "/sys/module/iommufd/parameters/allow_unsafe_interrupts"
_TYPE1 = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
_IDS = b"\x34\x12\xe8\x11"


@case(source=_BIND, machine=MACHINE, since=FEATURE)
def device(call: Call) -> None:
    """That type 1 may do so is of no use here."""
    fd, context = open_cdev(call), open_context(call)
    expect(call.write_text(_TYPE1, "Y"), 1)
    expect(context.bind(fd)[0], EPERM)
    expect(call.pread(fd, 4, CONFIG), EINVAL)
    expect(call.read_text(_IOMMUFD), "N\n")
    expect(call.write_text(_IOMMUFD, "Y"), 1)
    expect(context.bind(fd)[0], 0)
    expect(call.write_text(_IOMMUFD, "N"), 1)
    expect(call.pread(fd, 4, CONFIG), _IDS)


@case(
    source=f"vfio_df_iommufd_bind: drivers/vfio/iommufd.c, 6.12; {_BIND}",
    machine=MACHINE,
    since=FEATURE,
)
def group(call: Call) -> None:
    """It is looked at when a device is opened."""
    group, context = open_group(call, EDU), open_context(call)
    expect(set_container(call, group, context.fd), 0)
    expect(get_device_fd(call, group, EDU.encode()), EPERM)
    expect(call.write_text(_IOMMUFD, "Y"), 1)
    expect(get_device_fd(call, group, EDU.encode()))
    expect(call.write_text(_IOMMUFD, "N"), 1)
