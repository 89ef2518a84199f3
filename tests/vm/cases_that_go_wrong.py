# SPDX-License-Identifier: Apache-2.0
"""Cases that do to a real kernel what a suite must survive."""

import struct

from harness.conformance import case, expect
from harness.uapi.fs import O_RDWR, O_WRONLY

_MDEV = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1"
_UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#: VFIO's commands have type 0x3b and number 100 on, and no size.
_SET_IOMMU, _SET_CONTAINER, _GET_DEVICE_FD = 0x3B66, 0x3B68, 0x3B6A
_GET_INFO, _SET_IRQS = 0x3B6B, 0x3B6E
_TYPE1, _MSI = 1, 1
_DATA_NONE, _DATA_EVENTFD, _ACTION_TRIGGER = 1, 4, 32


@case(source="none: the first of three", machine="mdev.yaml")
def before(call):
    expect(call.readlink("/sys/class/mdev_bus/mtty"), "../../devices/virtual/mtty/mtty")


@case(source="mtty_set_irqs: samples/vfio-mdev/mtty.c, 6.1", machine="mdev.yaml")
def disables_interrupts_twice(call):
    """6.1 gives the eventfd back twice; what is freed twice is found by whoever comes next."""
    expect(call.write_text(f"{_MDEV}/create", _UUID), len(_UUID))
    group = expect(call.readlink(f"/sys/bus/mdev/devices/{_UUID}/iommu_group"))
    container = expect(call.open("/dev/vfio/vfio", O_RDWR))
    fd = expect(call.open(f"/dev/vfio/{group.rsplit('/', 1)[1]}", O_RDWR))
    memory = call.buffer(4096)
    call.poke(memory, struct.pack("<i", container.number))
    expect(call.ioctl(fd, _SET_CONTAINER, memory), 0)
    expect(call.ioctl(container, _SET_IOMMU, _TYPE1), 0)
    call.poke(memory, _UUID.encode() + b"\0")
    device = expect(call.ioctl(fd, _GET_DEVICE_FD, memory))
    call.poke(memory, struct.pack("<I", 20))
    call.ioctl(device, _GET_INFO, memory)
    for _ in range(300):
        event = expect(call.eventfd())
        set_irqs = struct.pack("<5I", 24, _DATA_EVENTFD | _ACTION_TRIGGER, _MSI, 0, 1)
        call.poke(memory, set_irqs + struct.pack("<i", event.number))
        call.ioctl(device, _SET_IRQS, memory)
        call.poke(memory, struct.pack("<5I", 20, _DATA_NONE | _ACTION_TRIGGER, _MSI, 0, 0))
        call.ioctl(device, _SET_IRQS, memory)
        call.ioctl(device, _SET_IRQS, memory)
        # The context is free now, although the fd is open; the next one takes its place.
        others = [call.eventfd() for _ in range(4)]
        call.close(event)
        for other in others:
            call.write(other, struct.pack("<Q", 1))
            call.close(other)


@case(source="sysrq_handle_crash: drivers/tty/sysrq.c, 6.1", machine="mdev.yaml")
def crashes_the_kernel(call):
    call.write_text("/proc/sysrq-trigger", "c")


@case(source="none: it waits for nobody", machine="mdev.yaml", limit=2.0)
def hangs(call):
    fd = expect(call.eventfd())
    call.read(fd, 8)


@case(source="none: the last one", machine="mdev.yaml")
def after(call):
    expect(call.write_text(f"{_MDEV}/create", _UUID), len(_UUID))
    with call.opened(f"{_MDEV}/create", O_WRONLY):
        pass
