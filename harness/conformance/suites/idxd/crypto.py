# SPDX-License-Identifier: Apache-2.0
"""The driver ``crypto`` of the module iaa_crypto: queues of IAA, and its own attributes."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBUSY, EINVAL, ENODEV, ENOENT, ENXIO
from harness.conformance.suites.idxd._dsa import (
    DEVICES,
    DRIVERS,
    DSA,
    Wanted,
    bind,
    cmd_status,
    configure,
    enable,
    name_driver,
    store,
    unbind,
)

_SOURCE = "drivers/crypto/intel/iaa/iaa_crypto_main.c, 6.12"
_MACHINE = "gnr-1s"
_CRYPTO = f"{DRIVERS}/crypto"
_IAX = f"{DEVICES}/iax1"
_WQ = f"{DEVICES}/wq1.0"
#: All queues that the driver has from the start.
_QUEUES = ("wq1.0", "wq3.0", "wq5.0", "wq7.0")


@case(source=f"iaa_crypto_init_module: {_SOURCE}", machine=_MACHINE, until="6.12")
def no_such_module(call: Call) -> None:
    expect(call.stat(_CRYPTO), ENOENT)
    expect(call.stat("/sys/module/iaa_crypto"), ENOENT)


@case(source=f"iaa_crypto_init_module: {_SOURCE}", machine=_MACHINE, since="6.12")
def driver_directory(call: Call) -> None:
    """Two files of its own, besides the driver core's."""
    own = {"verify_compress", "sync_mode"}
    names = {"bind", "unbind", "uevent", "module", *own, *_QUEUES}
    expect(sorted(expect(call.listdir(_CRYPTO))), sorted(names))
    for name in own:
        expect(call.lstat(f"{_CRYPTO}/{name}"), mode=0o100644)
    expect(call.readlink(f"{_CRYPTO}/module"), "../../../../module/iaa_crypto")


@case(source=f"iaa_crypto_init_module: {_SOURCE}", machine=_MACHINE, since="6.12")
def module(call: Call) -> None:
    """It uses idxd and idxd_bus, and holds itself while it has a queue."""
    path = "/sys/module"
    expect(call.readlink(f"{path}/idxd/holders/iaa_crypto"), "../../iaa_crypto")
    expect(call.readlink(f"{path}/idxd_bus/holders/iaa_crypto"), "../../iaa_crypto")
    expect(call.read_text(f"{path}/iaa_crypto/refcnt"), "1\n")
    _release(call)
    expect(call.read_text(f"{path}/iaa_crypto/refcnt"), "0\n")


def _release(call: Call) -> None:
    """Take all queues away from the driver."""
    for wq in _QUEUES:
        expect(unbind(call, "crypto", wq), len(wq))


@case(
    source=f"idxd_load_iaa_device_defaults: drivers/dma/idxd/defaults.c; "
    f"iaa_crypto_probe: {_SOURCE}",
    machine=_MACHINE,
    since="6.12",
)
def takes_the_first_queue_of_each_device(call: Call) -> None:
    """What IAA is configured to be from the start is what the driver looks for.

    The other queues name no driver, which is the last that cmd_status hears of.
    """
    for attribute, value in (("state", "enabled\n"), ("type", "kernel\n"), ("clients", "0\n")):
        expect(call.read_text(f"{_WQ}/{attribute}"), value)
    expect(call.readlink(f"{_WQ}/driver"), "../../../../../bus/dsa/drivers/crypto")
    expect(call.read_text(f"{_IAX}/state"), "enabled\n")
    expect(call.read_text(f"{_IAX}/cmd_status"), "0x80200000\n")
    expect(call.read_text(f"{_WQ}/cdev_minor"), ENXIO)


@case(source=f"iaa_crypto_probe: {_SOURCE}", machine=_MACHINE, since="6.12")
def queue_of_a_dsa(call: Call) -> None:
    """That it is no IAA is found before its name is looked at; that it is disabled, before that."""
    expect(bind(call, "crypto", "wq0.0"), ENXIO)
    enable(call)
    name_driver(call, "crypto")
    call.write_text(f"{DSA}/cmd_status", "1")
    expect(bind(call, "crypto", "wq0.0"), ENODEV)
    expect(cmd_status(call), "0x0\n")
    expect(call.read_text(f"{DEVICES}/wq0.0/type"), "kernel\n")


@case(source="bind_store: drivers/base/bus.c, 6.12", machine=_MACHINE, since="6.12")
@param("device", ["iax1", "dsa0", "group1.0", "engine1.0", "wq9.9"])
def no_match(call: Call, device: str) -> None:
    expect(bind(call, "crypto", device), ENODEV)


@case(source=f"iaa_crypto_probe, iaa_crypto_remove: {_SOURCE}", machine=_MACHINE, since="6.12")
def queue_again(call: Call) -> None:
    """A queue that was let go has no name any more, and so cannot be had."""
    expect(bind(call, "crypto", "wq1.0"), EBUSY)
    expect(unbind(call, "crypto", "wq1.0"), 5)
    for attribute, value in (
        ("state", "disabled\n"),
        ("type", "none\n"),
        ("name", "\n"),
        ("mode", "shared\n"),
        ("size", "128\n"),
        ("driver_name", "crypto\n"),
    ):
        expect(call.read_text(f"{_WQ}/{attribute}"), value)
    expect(bind(call, "crypto", "wq1.0"), ENXIO)
    expect(call.read_text(f"{_IAX}/cmd_status"), "0x80040000\n")
    expect(call.read_text(f"{_WQ}/type"), "none\n")
    for attribute, value in (("name", "mine"), ("mode", "dedicated"), ("priority", "3")):
        call.write_text(f"{_WQ}/{attribute}", value)
    expect(bind(call, "crypto", "wq1.0"), 5)
    expect(call.read_text(f"{_WQ}/state"), "enabled\n")
    expect(call.read_text(f"{_WQ}/type"), "kernel\n")


@case(source=f"iaa_crypto_probe: {_SOURCE}", machine=_MACHINE, since="6.12")
@param("driver_name", ["user", "crypt", "\n"])
def queue_of_another_driver(call: Call, driver_name: str) -> None:
    """The queue loses its type."""
    expect(unbind(call, "crypto", "wq1.0"), 5)
    call.write_text(f"{_WQ}/type", "kernel")
    call.write_text(f"{_WQ}/driver_name", driver_name)
    expect(bind(call, "crypto", "wq1.0"), ENODEV)
    expect(call.read_text(f"{_IAX}/cmd_status"), "0x80200000\n")
    expect(call.read_text(f"{_WQ}/type"), "none\n")


@case(source=f"iaa_crypto_probe: {_SOURCE}", machine=_MACHINE, since="6.12")
def queue_of_a_disabled_device(call: Call) -> None:
    """Disabling the device lets the queue go; the status stays what that left."""
    expect(unbind(call, "idxd", "iax1"), 4)
    expect(call.readlink(f"{_WQ}/driver"), ENOENT)
    call.write_text(f"{_IAX}/cmd_status", "1")
    expect(bind(call, "crypto", "wq1.0"), ENXIO)
    expect(call.read_text(f"{_IAX}/cmd_status"), "0x0\n")


@case(source=f"iaa_crypto_probe: {_SOURCE}", machine=_MACHINE, since="6.12")
def configured_by_hand(call: Call) -> None:
    """Of an IAA that was disabled and set up anew, as accel-config does it."""
    expect(unbind(call, "idxd", "iax1"), 4)
    configure(call, "wq1.2", name="zip", driver="crypto")
    call.write_text(f"{DEVICES}/engine1.0/group_id", "0")
    expect(bind(call, "idxd", "iax1"), 4)
    expect(bind(call, "crypto", "wq1.2"), 5)
    expect(call.read_text(f"{_IAX}/cmd_status"), "0x0\n")
    expect(call.read_text(f"{DEVICES}/wq1.2/state"), "enabled\n")


_BOOLEANS: tuple[tuple[str, Wanted], ...] = (
    ("0", "0\n"),
    ("1", "1\n"),
    ("n", "0\n"),
    ("yes", "1\n"),
    ("2", EINVAL),
)


@case(source=f"verify_compress_store: {_SOURCE}", machine=_MACHINE, since="6.12")
@param("value wanted", _BOOLEANS)
def verify_compress(call: Call, value: str, wanted: Wanted) -> None:
    expect(call.read_text(f"{_CRYPTO}/verify_compress"), "1\n")
    store(call, f"{_CRYPTO}/verify_compress", value, EBUSY)
    _release(call)
    store(call, f"{_CRYPTO}/verify_compress", value, wanted)


_SYNC_MODES: tuple[tuple[str, Wanted], ...] = (
    ("sync", "sync\n"),
    ("async_irq\n", "async_irq\n"),
    ("async", "sync\n"),
    ("asyncs", EINVAL),
    ("Sync", EINVAL),
)


@case(source=f"sync_mode_store, set_iaa_sync_mode: {_SOURCE}", machine=_MACHINE, since="6.12")
@param("value wanted", _SYNC_MODES)
def sync_mode(call: Call, value: str, wanted: Wanted) -> None:
    """``async`` is taken for ``sync``: nobody could wait for the end without an interrupt."""
    expect(call.read_text(f"{_CRYPTO}/sync_mode"), "sync\n")
    store(call, f"{_CRYPTO}/sync_mode", value, EBUSY)
    _release(call)
    store(call, f"{_CRYPTO}/sync_mode", value, wanted)


@case(source="wq_driver_name_store: drivers/dma/idxd/sysfs.c, 6.12", machine="spr-1s", since="6.12")
def without_the_module(call: Call) -> None:
    """A queue may name a driver that is not there; nobody takes it."""
    expect(call.stat(_CRYPTO), ENOENT)
    expect(call.read_text(f"{_WQ}/driver_name"), "crypto\n")
    expect(call.read_text(f"{_WQ}/state"), "disabled\n")
