# SPDX-License-Identifier: Apache-2.0
"""The class of DMA channels: drivers/dma/dmaengine.c, 6.1.

The plan: a driver registers a DMA device, which has a number but no node, and channels of it. Each
channel is ``PARENT/dma/dmaNchanM`` and in /sys/class/dma, with ``memcpy_count``,
``bytes_transferred`` and ``in_use`` (all 0444). Nothing in a machine uses channels.
"""

from __future__ import annotations

from harness.kernel.driver_core import Device, DeviceClass, device_add, device_del
from harness.kernel.ida import Ida
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.system import Kernel
from harness.kernel.task import Caller


def memcpy_count_show(channel: DmaChannel, caller: Caller) -> str:
    return f"{channel.memcpy_count}\n"


def bytes_transferred_show(channel: DmaChannel, caller: Caller) -> str:
    return f"{channel.bytes_transferred}\n"


def in_use_show(channel: DmaChannel, caller: Caller) -> str:
    return f"{channel.client_count}\n"


class DmaChannel(Device):
    """One channel (struct dma_chan with its struct dma_chan_dev)."""

    groups = (
        AttributeGroup(
            (
                Attribute("memcpy_count", 0o444, memcpy_count_show),
                Attribute("bytes_transferred", 0o444, bytes_transferred_show),
                Attribute("in_use", 0o444, in_use_show),
            )
        ),
    )

    def __init__(self, device: DmaDevice, chan_id: int) -> None:
        kernel = device.parent.kernel
        super().__init__(kernel, f"dma{device.dev_id}chan{chan_id}", None, device.parent)
        self.device_class = device.engine.device_class
        self.dma_device = device
        self.chan_id = chan_id
        self.memcpy_count = self.bytes_transferred = self.client_count = 0


class DmaDevice:
    """What has channels (struct dma_device)."""

    def __init__(self, engine: DmaEngine, parent: Device, dev_id: int) -> None:
        self.engine = engine
        self.parent = parent
        self.dev_id = dev_id
        self.chan_ida = Ida()


def dma_bus_init(kernel: Kernel) -> DeviceClass:
    """The class, which every kernel has from the start."""
    return DeviceClass(kernel, "dma").register()


class DmaEngine:
    """The DMA devices of one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.device_class = dma_bus_init(kernel)
        self._dma_ida = Ida()

    def dma_async_device_register(self, parent: Device) -> DmaDevice:
        """A DMA device without channels yet."""
        return DmaDevice(self, parent, self._dma_ida.alloc())

    def dma_async_device_unregister(self, device: DmaDevice) -> None:
        """The last channel is gone already."""
        self._dma_ida.free(device.dev_id)


def dma_async_device_channel_register(device: DmaDevice) -> DmaChannel:
    """Add a channel with the lowest free number."""
    channel = DmaChannel(device, device.chan_ida.alloc())
    device_add(channel)
    return channel


def dma_async_device_channel_unregister(channel: DmaChannel) -> None:
    """Take a channel away."""
    channel.dma_device.chan_ida.free(channel.chan_id)
    device_del(channel)
