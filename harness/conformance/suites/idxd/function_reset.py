# SPDX-License-Identifier: Apache-2.0
"""Resetting the PCI function of an accelerator in use, through ``reset`` in its directory."""

from __future__ import annotations

from harness.conformance import Call, case, expect
from harness.conformance.suites.idxd._dsa import (
    DEVICES,
    DSA,
    ENGINE,
    GROUP,
    WQ,
    bind,
    cmd_status,
    configure,
    enable,
)

_INIT = "drivers/dma/idxd/init.c, 7.2"
_MACHINE = "qemu-q35-accel"
_PCI = "/sys/bus/pci/devices/0000:00:05.0"

_QUEUE = (
    ("mode", "dedicated\n"),
    ("size", "16\n"),
    ("priority", "7\n"),
    ("group_id", "0\n"),
    ("block_on_fault", "1\n"),
    ("max_transfer_size", "4096\n"),
    ("max_batch_size", "4\n"),
    ("state", "enabled\n"),
)


def _set_up(call: Call, type: str, name: str, driver: str) -> None:
    """A queue that is enabled, another that is only configured, group and device; then a reset."""
    call.write_text(f"{DSA}/read_buffer_limit", "8")
    call.write_text(f"{GROUP}/read_buffers_reserved", "8")
    call.write_text(f"{GROUP}/use_read_buffer_limit", "1")
    configure(call, "wq0.1", size="8", name="other")
    configure(call, type=type, name=name, driver=driver, priority="7")
    for attribute, value in (
        ("block_on_fault", "1"),
        ("max_transfer_size", "4096"),
        ("max_batch_size", "4"),
    ):
        call.write_text(f"{WQ}/{attribute}", value)
    expect(bind(call, "idxd", "dsa0"), 4)
    expect(bind(call, driver, "wq0.0"), 5)
    expect(call.write_text(f"{_PCI}/reset", "1"), 1)


def _check_queue(call: Call, type: str, name: str) -> None:
    for attribute, value in (*_QUEUE, ("type", f"{type}\n"), ("name", f"{name}\n")):
        expect(call.read_text(f"{WQ}/{attribute}"), value)
    expect(call.read_text(f"{DSA}/state"), "enabled\n")
    expect(call.read_text(f"{DSA}/read_buffer_limit"), "8\n")
    expect(call.read_text(f"{GROUP}/read_buffers_reserved"), "8\n")
    expect(call.read_text(f"{GROUP}/use_read_buffer_limit"), "1\n")
    expect(call.read_text(f"{GROUP}/work_queues").value.split()[0], "wq0.0")
    expect(call.read_text(f"{ENGINE}/group_id"), "0\n")


@case(source=f"idxd_reset_prepare, idxd_reset_done: {_INIT}", machine=_MACHINE, since="7.2")
def what_is_enabled_is_restored(call: Call) -> None:
    """Device, group, engine and the programs' queue are as before; the other queue is as new."""
    _set_up(call, "user", "app", "user")
    _check_queue(call, "user", "app")
    expect(call.stat("/dev/dsa/wq0.0"))
    expect(cmd_status(call), "0x0\n")
    expect(call.readlink(f"{WQ}/driver"), "../../../../../bus/dsa/drivers/user")
    for attribute, value in (("size", "0\n"), ("name", "\n"), ("group_id", "-1\n")):
        expect(call.read_text(f"{DEVICES}/wq0.1/{attribute}"), value)
    expect(call.read_text(f"{_PCI}/enable"), "2\n")


@case(
    source="idxd_pci_driver: drivers/dma/idxd/init.c, 6.1 and 6.12", machine=_MACHINE, until="7.2"
)
def nobody_tells_the_driver(call: Call) -> None:
    """These drivers take no notice of a reset, so all they show is as before."""
    _set_up(call, "kernel", "dmaengine", "dmaengine")
    _check_queue(call, "kernel", "dmaengine")
    expect(call.read_text(f"{DEVICES}/wq0.1/size"), "8\n")
    expect(call.read_text(f"{_PCI}/enable"), "1\n")


@case(source=f"idxd_reset_done: {_INIT}", machine=_MACHINE, since="7.2")
def kernel_queue_is_lost(call: Call) -> None:
    """Its configuration is there again, but nobody binds it."""
    enable(call)
    expect(bind(call, "dmaengine", "wq0.0"), 5)
    expect(call.write_text(f"{_PCI}/reset", "1"), 1)
    expect(call.read_text(f"{DSA}/state"), "enabled\n")
    expect(call.read_text(f"{WQ}/state"), "disabled\n")
    expect(call.read_text(f"{WQ}/name"), "dmaengine\n")
    expect(call.listdir("/sys/class/dma"), [])
    expect(bind(call, "dmaengine", "wq0.0"), 5)


@case(source=f"idxd_reset_done: {_INIT}", machine=_MACHINE, since="7.2")
def device_without_an_enabled_queue_stays_disabled(call: Call) -> None:
    """No queue is left that the device could be configured with."""
    enable(call)
    expect(call.write_text(f"{_PCI}/reset", "1"), 1)
    expect(call.read_text(f"{DSA}/state"), "disabled\n")
    expect(cmd_status(call), "0x800d0000\n")
    expect(call.read_text(f"{WQ}/size"), "0\n")
    expect(call.read_text(f"{ENGINE}/group_id"), "0\n")


@case(source=f"idxd_reset_done: {_INIT}", machine=_MACHINE, since="7.2")
def configured_device_is_enabled(call: Call) -> None:
    """Of a device that was not enabled, nothing is forgotten, and it is bound at the end."""
    configure(call)
    expect(call.write_text(f"{_PCI}/reset", "1"), 1)
    expect(call.read_text(f"{DSA}/state"), "enabled\n")
    expect(call.read_text(f"{WQ}/size"), "16\n")
