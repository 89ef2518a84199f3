# SPDX-License-Identifier: Apache-2.0
"""Namespaces of a subsystem (configfs.c, core.c, io-cmd-bdev.c; 6.1)."""

from __future__ import annotations

import errno
import re
import uuid

from harness.drivers.nvmet.parse import chosen, fail, first_line, flag, value
from harness.drivers.nvmet.state import Nvmet
from harness.kernel.configfs import ConfigGroup, ItemType
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import c_string, kstrtoull
from harness.kernel.sysfs import Attribute
from harness.kernel.task import Caller

#: All namespaces, and how many ANA groups there are.
_NVME_NSID_ALL = 0xFFFF_FFFF
MAX_ANAGRPS = 128
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BYTE = re.compile(rb"([0-9a-fA-F]{2})[-:]?")


class Namespace(ConfigGroup):
    """A directory below ``namespaces`` (struct nvmet_ns)."""

    def __init__(self, name: str, type: ItemType, module: Nvmet) -> None:
        super().__init__(name, type)
        self.module = module
        self.device_path: str | None = None
        self.device_nguid = uuid.UUID(int=0)
        self.device_uuid = uuid.UUID(bytes=module.random_bytes(16), version=4)
        self.ana_grpid = 1
        self.enabled = False
        self.buffered_io = False
        self.resv_enable = False
        self.use_p2pmem = False


def device_path_show(ns: Namespace, caller: Caller) -> str:
    return f"{ns.device_path if ns.device_path is not None else '(null)'}\n"


def device_path_store(ns: Namespace, caller: Caller, data: bytes) -> None:
    """EBUSY while enabled; EINVAL for no path."""
    if ns.enabled:
        raise Errno(errno.EBUSY)
    path = first_line(data)
    fail(bool(path))
    ns.device_path = path.decode(errors="surrogateescape")


def device_uuid_show(ns: Namespace, caller: Caller) -> str:
    return f"{ns.device_uuid}\n"


def device_uuid_store(ns: Namespace, caller: Caller, data: bytes) -> None:
    """EBUSY while enabled; what follows the UUID does not count (uuid_parse)."""
    if ns.enabled:
        raise Errno(errno.EBUSY)
    found = _UUID.match(c_string(data))
    if found is None:
        raise Errno(errno.EINVAL)
    ns.device_uuid = uuid.UUID(found[0].decode())


def device_nguid_show(ns: Namespace, caller: Caller) -> str:
    return f"{ns.device_nguid}\n"


def device_nguid_store(ns: Namespace, caller: Caller, data: bytes) -> None:
    """EBUSY while enabled; 16 bytes in hex, behind each of them perhaps a dash or colon."""
    if ns.enabled:
        raise Errno(errno.EBUSY)
    found, at = bytearray(), 0
    while len(found) < 16:
        match = _BYTE.match(data, at)
        if match is None:
            raise Errno(errno.EINVAL)
        found.append(int(match[1], 16))
        at = match.end()
    ns.device_nguid = uuid.UUID(bytes=bytes(found))


def _grpid(data: bytes) -> int:
    """1 to 128; of these, 128 is past the end of a table, and becomes 0 (array_index_nospec)."""
    grpid = kstrtoull(data, 0, 32)
    fail(1 <= grpid <= MAX_ANAGRPS)
    return grpid % MAX_ANAGRPS


def enable_show(ns: Namespace, caller: Caller) -> str:
    return f"{ns.enabled:d}\n"


def enable_store(ns: Namespace, caller: Caller, data: bytes) -> None:
    """EINVAL for no path, ENOENT for what is no block device here (nvmet_ns_enable)."""
    if not ns.module.kernel.kstrtobool(data):
        ns.enabled = False
    elif not ns.enabled:
        fail(ns.device_path is not None)
        check_block_device(ns.module, ns.device_path)
        ns.enabled = True


def check_block_device(module: Nvmet, path: str | None) -> None:
    """ENOENT unless a driver of the machine has it (lookup_bdev)."""
    if path is None or path.removeprefix("/dev/") not in module.kernel.disks:
        raise Errno(errno.ENOENT)


def _refuse_enabled(ns: Namespace, new: bool) -> None:
    fail(not ns.enabled)


def revalidate_size_store(ns: Namespace, caller: Caller, data: bytes) -> None:
    """EINVAL unless it is true and the namespace is enabled."""
    fail(ns.module.kernel.kstrtobool(data), ns.enabled)


def p2pmem_show(ns: Namespace, caller: Caller) -> str:
    return f"{ns.use_p2pmem:d}\n"


def p2pmem_store(ns: Namespace, caller: Caller, data: bytes) -> None:
    """EBUSY while enabled; ENODEV for what is no boolean, and for a device, as none has memory for
    its peers. A digit has to be alone (pci_p2pdma_enable_store)."""
    if ns.enabled:
        raise Errno(errno.EBUSY)
    text = c_string(data)
    if text[:1] in (b"0", b"1") and text[1:2] >= b" ":
        raise Errno(errno.ENODEV)
    try:
        ns.use_p2pmem = ns.module.kernel.kstrtobool(text)
    except Errno:
        raise Errno(errno.ENODEV) from None


ATTRIBUTES = (
    Attribute("device_path", 0o644, device_path_show, device_path_store),
    Attribute("device_nguid", 0o644, device_nguid_show, device_nguid_store),
    Attribute("device_uuid", 0o644, device_uuid_show, device_uuid_store),
    value("ana_grpid", "ana_grpid", _grpid),
    Attribute("enable", 0o644, enable_show, enable_store),
    flag("buffered_io", "buffered_io", check=_refuse_enabled),
    Attribute("revalidate_size", 0o200, None, revalidate_size_store),
    flag("resv_enable", "resv_enable", check=_refuse_enabled),
    Attribute("p2pmem", 0o644, p2pmem_show, p2pmem_store),
)


def namespaces_group(module: Nvmet) -> ConfigGroup:
    """The directory ``namespaces`` of a subsystem."""
    ns_type = ItemType(chosen(ATTRIBUTES, module.section.namespace))

    def nvmet_ns_make(group: ConfigGroup, name: str) -> ConfigGroup:
        """EINVAL, ERANGE for what is no number of 32 bits; EINVAL for 0 and all of them; ENOMEM
        where a number cannot be written in two ways (nvmet_ns_alloc)."""
        nsid = kstrtoull(name.encode(errors="surrogateescape"), 0, 32)
        fail(nsid not in (0, _NVME_NSID_ALL))
        assert group.directory is not None
        known = (kstrtoull(text.encode(), 0, 32) for text in group.directory.children)
        if module.section.unique_nsids and nsid in known:
            raise Errno(errno.ENOMEM)
        return Namespace(name, ns_type, module)

    return ConfigGroup("namespaces", ItemType(make_group=nvmet_ns_make))
