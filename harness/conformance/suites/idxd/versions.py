# SPDX-License-Identifier: Apache-2.0
"""What depends on the kind and the version of an accelerator: DSA 2.0 and IAA 2.0."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW, EPERM
from harness.conformance.suites.idxd._dsa import (
    DEVICES,
    DSA,
    GROUP,
    WQ,
    Wanted,
    bind,
    configure,
    enable,
    store,
    unbind,
)
from harness.uapi.fs import O_RDWR

_SYSFS = "drivers/dma/idxd/sysfs.c"
#: One that a real kernel can be run on, and one that shares a program's memory.
_MACHINE, _SVA_MACHINE = "qemu-q35-accel", "gnr-1s"
IAX = f"{DEVICES}/iax1"
IAX_WQ = f"{DEVICES}/wq1.0"

_HIDDEN_ON_IAX = (
    *(f"iax1/{name}" for name in ("max_batch_size", "max_tokens", "max_read_buffers")),
    *(f"iax1/{name}" for name in ("token_limit", "read_buffer_limit", "dsacaps")),
    *(f"group1.0/{kind}_{what}" for kind in ("tokens", "read_buffers") for what in ("allowed",)),
    *("group1.0/use_token_limit", "group1.0/use_read_buffer_limit", "wq1.0/max_batch_size"),
)


@case(source=f"idxd_device_attr_visible, idxd_group_attr_visible: {_SYSFS}, 6.1", machine=_MACHINE)
@param("path", _HIDDEN_ON_IAX)
def hidden_on_iax(call: Call, path: str) -> None:
    """IAA has neither batches nor read buffers."""
    expect(call.stat(f"{DEVICES}/{path}"), ENOENT)


@case(source=f"iaa_cap_show: {_SYSFS}, 6.12", machine=_MACHINE, since="6.12")
def iaa_cap(call: Call) -> None:
    expect(call.read_text(f"{IAX}/iaa_cap"), "0x3f\n")
    expect(call.lstat(f"{IAX}/iaa_cap"), mode=0o100444)


@case(source=f"idxd_device_attr_iaa_cap_invisible: {_SYSFS}, 6.12", machine=_MACHINE)
def no_iaa_cap_on_dsa(call: Call) -> None:
    expect(call.stat(f"{DSA}/iaa_cap"), ENOENT)


@case(source=f"idxd_device_attr_iaa_cap_invisible: {_SYSFS}, 6.12", machine=_MACHINE)
def no_iaa_cap_on_version_1(call: Call) -> None:
    expect(call.read_text(f"{DEVICES}/iax2/version"), "0x100\n")
    expect(call.stat(f"{DEVICES}/iax2/iaa_cap"), ENOENT)


_EVENT_LOG_SIZES: tuple[tuple[str, Wanted], ...] = (
    ("64", "64\n"),
    ("65535", "65535\n"),
    ("63", EINVAL),
    ("65536", EINVAL),
    ("0x80", EINVAL),
    ("-64", EINVAL),
    ("x", EINVAL),
)


@case(source=f"event_log_size_store: {_SYSFS}, 6.12", machine=_MACHINE, since="6.12")
@param("value wanted", _EVENT_LOG_SIZES)
def event_log_size(call: Call, value: str, wanted: Wanted) -> None:
    expect(call.read_text(f"{DSA}/event_log_size"), "64\n")
    store(call, f"{DSA}/event_log_size", value, wanted)


@case(source=f"event_log_size_store: {_SYSFS}, 6.12", machine=_MACHINE, since="6.12")
def event_log_size_of_an_enabled_device(call: Call) -> None:
    """A number that is none comes first, one out of range last; unbinding brings 64 back."""
    call.write_text(f"{DSA}/event_log_size", "128")
    enable(call)
    store(call, f"{DSA}/event_log_size", "x", EINVAL)
    store(call, f"{DSA}/event_log_size", "63", EPERM)
    expect(call.read_text(f"{DSA}/event_log_size"), "128\n")
    expect(unbind(call, "idxd", "dsa0"), 4)
    expect(call.read_text(f"{DSA}/event_log_size"), "64\n")


@case(source=f"wq_prs_disable_store: {_SYSFS}, 6.12", machine=_MACHINE, since="6.12")
def prs_disable(call: Call) -> None:
    """Without page requests nothing can block on a fault."""
    store(call, f"{WQ}/block_on_fault", "1", "1\n")
    store(call, f"{WQ}/prs_disable", "x", EINVAL)
    store(call, f"{WQ}/prs_disable", "1", "1\n")
    expect(call.read_text(f"{WQ}/block_on_fault"), "0\n")
    store(call, f"{WQ}/block_on_fault", "1", EOPNOTSUPP)
    store(call, f"{WQ}/block_on_fault", "0", "0\n")


@case(source=f"wq_prs_disable_store: {_SYSFS}, 6.12", machine=_MACHINE, since="6.12")
@param("attribute", ["prs_disable", "ats_disable"])
def disable_of_an_enabled_queue(call: Call, attribute: str) -> None:
    """The state is looked at before the value."""
    enable(call)
    expect(bind(call, "dmaengine", "wq0.0"), 5)
    store(call, f"{WQ}/{attribute}", "x", EPERM)


@case(source=f"idxd_wq_attr_visible: {_SYSFS}, 6.12", since="6.12", machine=_MACHINE)
def no_prs_disable_without_the_capability(call: Call) -> None:
    expect(call.stat(f"{DEVICES}/wq2.0/prs_disable"), ENOENT)


_OP_CONFIGS: tuple[tuple[str, Wanted], ...] = (
    ("1", ",".join(["00000000"] * 7) + ",00000001\n"),
    ("7b,00bf067d", ",".join(["00000000"] * 6) + ",0000007b,00bf067d\n"),
    ("80000000", EINVAL),
    ("zz", EINVAL),
    ("123456789", EOVERFLOW),
    (",".join("1" * 9), EOVERFLOW),
)


@case(source=f"wq_op_config_store: {_SYSFS}, 6.1", machine=_MACHINE)
@param("value wanted", _OP_CONFIGS)
def op_config(call: Call, value: str, wanted: Wanted) -> None:
    """Only operations that op_cap has."""
    store(call, f"{WQ}/op_config", value, wanted)


@case(source=f"op_cap_show_common: {_SYSFS}, 6.1 and 7.2", machine=_MACHINE)
def batches_are_held_back(call: Call) -> None:
    """Until 7.2 on every version, then on version 1 alone."""
    last = "00bf07ff" if call.since("7.2") else "00bf07fd"
    wanted = ",".join(["00000000"] * 6) + f",0000007b,{last}\n"
    expect(call.read_text(f"{DSA}/op_cap"), wanted)
    expect(call.read_text(f"{WQ}/op_config"), wanted)


@case(source=f"group_desc_progress_limit_store: {_SYSFS}, 6.1", machine=_MACHINE)
@param("attribute", ["desc_progress_limit", "batch_progress_limit"])
def progress_limits(call: Call, attribute: str) -> None:
    """Two bits, also while the device is enabled."""
    enable(call)
    store(call, f"{GROUP}/{attribute}", "3", "3\n")
    store(call, f"{GROUP}/{attribute}", "4", EINVAL)
    store(call, f"{GROUP}/{attribute}", "-1", EINVAL)


@case(source="idxd_load_iaa_device_defaults: drivers/dma/idxd/defaults.c, 6.12", machine=_MACHINE)
def iaa_defaults(call: Call) -> None:
    """From 6.8 on IAA comes ready for crypto, so the driver core enables it as it appears.

    Then it tries ``dmaengine`` on the queue, which is not its, and takes away the type.
    """
    new = call.since("6.12")
    for attribute, then, now in (
        ("mode", "shared\n", "dedicated\n"),
        ("size", "0\n", "128\n"),
        ("priority", "0\n", "10\n"),
        ("type", "none\n", "none\n"),
        ("name", "\n", "iaa_crypto\n"),
        ("group_id", "-1\n", "0\n"),
        ("state", "disabled\n", "disabled\n"),
    ):
        expect(call.read_text(f"{IAX_WQ}/{attribute}"), now if new else then)
    expect(call.read_text(f"{DEVICES}/engine1.0/group_id"), "0\n" if new else "-1\n")
    expect(call.read_text(f"{IAX}/state"), "enabled\n" if new else "disabled\n")
    if new:
        expect(call.read_text(f"{IAX_WQ}/driver_name"), "crypto\n")
        expect(call.read_text(f"{IAX}/cmd_status"), "0x80200000\n")


def _user_queue(call: Call) -> None:
    """An enabled queue with a character device."""
    configure(call, type="user", name="app", driver="user")
    expect(bind(call, "idxd", "dsa0"), 4)
    expect(bind(call, "user", "wq0.0"), 5)


@case(
    source="iommu_sva_bind_device: drivers/iommu/iommu-sva.c, 6.12; idxd_cdev_open, 6.12",
    machine=_SVA_MACHINE,
    until="7.2",
)
def queue_cannot_be_opened_without_sva(call: Call) -> None:
    """On x86 these kernels share no program's memory with a device."""
    _user_queue(call)
    expect(call.open("/dev/dsa/wq0.0", O_RDWR), EOPNOTSUPP)
    expect(call.read_text(f"{WQ}/clients"), "0\n")
    expect(call.stat(f"{DEVICES}/file0"), ENOENT)


@case(
    source="idxd_cdev_open, cdev_file_attr_visible: drivers/dma/idxd/cdev.c, 6.12",
    machine=_SVA_MACHINE,
    since="7.2",
)
def open_file_is_a_device(call: Call) -> None:
    """``fileK`` below the queue's character device, while it is open."""
    _user_queue(call)
    with call.opened("/dev/dsa/wq0.0", O_RDWR):
        file = f"{WQ}/dsa!wq0.0/file0"
        expect(call.read_text(f"{file}/cr_faults"), "0\n")
        expect(call.read_text(f"{file}/cr_fault_failures"), "0\n")
        expect(call.read_text(f"{file}/uevent"), "DEVTYPE=idxd_file\nMODALIAS=idxd:t0\n")
        expect(call.readlink(f"{DEVICES}/file0"), f"{_FILE}")
        expect(call.read_text(f"{WQ}/clients"), "1\n")
    expect(call.stat(f"{DEVICES}/file0"), ENOENT)


_FILE = "../../../devices/pci0000:6a/0000:6a:01.0/dsa0/wq0.0/dsa!wq0.0/file0"


@case(
    source="idxd_user_drv_remove, idxd_file_dev_release: drivers/dma/idxd/cdev.c, 6.12",
    machine=_SVA_MACHINE,
    since="7.2",
)
def open_file_outlives_its_queue(call: Call) -> None:
    """Unbinding takes the directories away; the file can be closed as ever."""
    _user_queue(call)
    with call.opened("/dev/dsa/wq0.0", O_RDWR):
        expect(unbind(call, "user", "wq0.0"), 5)
        expect(call.stat(f"{WQ}/dsa!wq0.0"), ENOENT)
        expect(call.stat("/dev/dsa/wq0.0"), ENOENT)
    expect(call.stat(f"{DEVICES}/file0"), ENOENT)
    expect(call.read_text(f"{WQ}/state"), "disabled\n")
