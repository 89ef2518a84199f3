# SPDX-License-Identifier: Apache-2.0
"""Types, and when there is a parent."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, ENODEV, ENOENT
from harness.conformance.suites.idxd_mdev._series import (
    ADDRESS,
    DEVICE,
    MACHINE,
    PARENT,
    SERIES,
    TYPES,
    UUID,
    bind_queue,
    configure_again,
    dedicated_type,
    enabled,
    unbind_queue,
)


@case(source=f"idxd_mdev_host_init: {SERIES}", machine=MACHINE, since="rfc-v1", until="v6")
def parent_from_the_start(call: Call) -> None:
    """Up to v5 a parent is there as soon as its function has its driver, and goes with it."""
    expect(call.readlink(PARENT), f"../../devices/pci0000:6a/{ADDRESS}")
    expect(call.read_text(f"{dedicated_type(call)}/available_instances"), "0\n")
    expect(call.write_text("/sys/bus/pci/drivers/idxd/unbind", ADDRESS), len(ADDRESS))
    expect(call.lstat(PARENT), ENOENT)


@case(source=f"idxd_mdev_drv_probe: {SERIES}", machine=MACHINE, since="v6")
def parent_with_a_queue(call: Call) -> None:
    """From v6 on a parent is there while a queue has the driver ``mdev``."""
    expect("mdev_bus" in expect(call.listdir("/sys/class")), False)
    enabled(call, queues=2)
    expect(call.readlink(PARENT), f"../../devices/pci0000:6a/{ADDRESS}")
    unbind_queue(call, 0)
    expect(call.readlink(PARENT), f"../../devices/pci0000:6a/{ADDRESS}")
    unbind_queue(call, 1)
    expect(call.lstat(PARENT), ENOENT)
    expect(call.lstat(f"/sys/bus/pci/devices/{ADDRESS}/mdev_supported_types"), ENOENT)


@case(source=f"idxd_mdev_drv_probe: {SERIES}", machine=MACHINE, since="oa")
def parent_again(call: Call) -> None:
    """The last queue was unbound, and one is bound anew."""
    enabled(call)
    unbind_queue(call)
    configure_again(call)
    bind_queue(call)
    expect(call.readlink(PARENT), f"../../devices/pci0000:6a/{ADDRESS}")


@case(source=f"supported_type_groups: {SERIES}", machine=MACHINE, since="rfc-v1", until="v6")
def one_type(call: Call) -> None:
    v2 = call.since("rfc-v2")
    name = "idxd-1dwq" if v2 else "idxd-wq"
    text = "IDXD MDEV with 1 dedicated workqueue\n" if v2 else "IDXD MDEV workqueue\n"
    expect(call.listdir(TYPES), [name])
    expect(call.read_text(f"{TYPES}/{name}/name"), text)


@case(source=f"idxd_mdev_types: {SERIES}", machine=MACHINE, since="v6")
def types_of_both_kinds(call: Call) -> None:
    """Every parent has those of the other kind too. Names are what they are called."""
    enabled(call)
    names = [f"{kind}-1dwq-v1" for kind in ("dsa", "iax")]
    if call.since("oa"):
        names += [f"{kind}-1swq-v1" for kind in ("dsa", "iax")]
    expect(sorted(expect(call.listdir(TYPES))), sorted(f"idxd-{name}" for name in names))
    for name in names:
        expect(call.read_text(f"{TYPES}/idxd-{name}/name"), f"{name}\n")


@case(source=f"available_instances_show: {SERIES}", machine=MACHINE, since="v6")
def types_of_the_other_kind(call: Call) -> None:
    enabled(call)
    other = f"{TYPES}/idxd-iax-1dwq-v1"
    expect(call.read_text(f"{other}/available_instances"), "0\n")
    expect(call.write_text(f"{other}/create", UUID), ENODEV)


@case(source=f"MDEV_TYPE_ATTR_RO: {SERIES}", machine=MACHINE, since="rfc-v1")
def files_of_a_type(call: Call) -> None:
    enabled(call)
    type = dedicated_type(call)
    modes = {"available_instances": 0o444, "create": 0o200, "device_api": 0o444, "name": 0o444}
    expect(sorted(expect(call.listdir(type))), sorted([*modes, "devices"]))
    for name, mode in modes.items():
        expect(call.stat(f"{type}/{name}"), mode=0o100000 | mode)
    expect(call.read_text(f"{type}/device_api"), "vfio-pci\n")
    expect(call.read_text(f"{type}/create"), EACCES)
    expect(call.write_text(f"{type}/name", "x"), EACCES)


@case(source="ims_size_show: the series, drivers/dma/idxd/sysfs.c", machine=MACHINE, since="rfc-v1")
def ims_size(call: Call) -> None:
    """256 interrupts for each unit of GENCAP's max_ims_mult."""
    if call.since("oa"):
        expect(call.lstat(f"{DEVICE}/ims_size"), ENOENT)
        return
    capabilities = int(expect(call.read_text(f"{DEVICE}/gen_cap")), 16)
    expect(call.read_text(f"{DEVICE}/ims_size"), f"{256 * (capabilities >> 25 & 0x3F)}\n")
    expect(call.stat(f"{DEVICE}/ims_size"), mode=0o100444)


@case(source=f"idxd_mdev_host_init: {SERIES}", machine="dsa-fixed", since="rfc-v2", until="v6")
def no_parent_without_iommu(call: Call) -> None:
    """A device that cannot be shared out works without."""
    expect(call.lstat(PARENT), ENOENT)
    expect(call.read_text(f"{DEVICE}/max_work_queues"), "8\n")


@case(source=f"idxd_vdcm_driver: {SERIES}", machine=MACHINE, since="rfc-v1")
@param("module", ["mdev", "vfio_mdev", "idxd_mdev"])
def modules(call: Call, module: str) -> None:
    """Which of them there are."""
    there = {"mdev": True, "vfio_mdev": not call.since("v6"), "idxd_mdev": call.since("v6")}
    expect(module in expect(call.listdir("/sys/module")), there[module])
