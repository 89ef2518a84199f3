# SPDX-License-Identifier: Apache-2.0
"""Subsystems, which hosts they allow, and passing through (configfs.c, passthru.c; 6.1, 6.12)."""

from __future__ import annotations

import errno
import re

from harness.drivers.nvmet.host import Host
from harness.drivers.nvmet.namespace import check_block_device, namespaces_group
from harness.drivers.nvmet.parse import (
    chosen,
    fail,
    first_line,
    flag,
    line,
    number,
    scan_u16,
    value,
)
from harness.drivers.nvmet.state import DISCOVERY_NQN, Nvmet
from harness.kernel.configfs import ConfigGroup, ConfigItem, ItemType
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import c_string, kstrtoull
from harness.kernel.sysfs import Attribute
from harness.kernel.task import Caller

_SERIAL_SIZE, _MODEL_SIZE, _FIRMWARE_SIZE = 20, 40, 8
_NR_QUEUES = 128
_OUI_LIMIT = 0x100_0000
_VERSION = re.compile(rb"\s*(\d+)\.(\d+)(?:\.(\d+))?")


class Subsystem(ConfigGroup):
    """A directory below ``subsystems`` (struct nvmet_subsys)."""

    def __init__(
        self, name: str, type: ItemType, groups: tuple[ConfigGroup, ...], module: Nvmet
    ) -> None:
        super().__init__(name, type, groups)
        self.module = module
        self.hosts: list[Host] = []
        self.allow_any_host = False
        self.version = module.section.version
        self.serial = module.random_bytes(_SERIAL_SIZE // 2).hex()
        self.cntlid_min, self.cntlid_max = 1, 0xFFEF
        self.vendor_id = self.subsys_vendor_id = 0
        self.model = "Linux"
        self.firmware = module.kernel.section.release[:_FIRMWARE_SIZE]
        self.qid_max = _NR_QUEUES
        self.ieee_oui = 0
        self.pi_enable = False


class Passthru(ConfigGroup):
    """The group ``passthru`` of a subsystem."""

    device_path: str | None = None
    enable = False
    admin_timeout = io_timeout = clear_ids = 0

    def __init__(self, type: ItemType, module: Nvmet) -> None:
        super().__init__("passthru", type)
        self.module = module


def _version(data: bytes) -> str:
    """MAJOR.MINOR or MAJOR.MINOR.TERTIARY, whose last part is not shown if it is 0."""
    found = _VERSION.match(c_string(data))
    if found is None:
        raise Errno(errno.EINVAL)
    major, minor, tertiary = (int(part or 0) for part in found.groups())
    packed = major << 16 | minor << 8 | tertiary  # NVME_VS
    parts = [packed >> 16 & 0xFFFF, packed >> 8 & 0xFF, packed & 0xFF]
    return ".".join(map(str, parts if parts[2] else parts[:2]))


def _serial(data: bytes) -> str:
    return line(data, _SERIAL_SIZE).ljust(_SERIAL_SIZE)


def _oui(data: bytes) -> int:
    oui = kstrtoull(data, 0, 32)
    fail(oui < _OUI_LIMIT)
    return oui


def _check_allow_any_host(subsystem: Subsystem, new: bool) -> None:
    """Not while hosts are linked."""
    fail(not (new and subsystem.hosts))


def _check_cntlid_min(subsystem: Subsystem, new: int) -> None:
    fail(0 < new <= subsystem.cntlid_max - subsystem.module.section.several_cntlids)


def _check_cntlid_max(subsystem: Subsystem, new: int) -> None:
    fail(new != 0, new >= subsystem.cntlid_min + subsystem.module.section.several_cntlids)


def _check_qid_max(subsystem: Subsystem, new: int) -> None:
    fail(1 <= new <= _NR_QUEUES)


ATTRIBUTES = (
    flag("attr_allow_any_host", "allow_any_host", check=_check_allow_any_host),
    value("attr_version", "version", _version),
    value("attr_serial", "serial", _serial),
    value("attr_cntlid_min", "cntlid_min", scan_u16, check=_check_cntlid_min),
    value("attr_cntlid_max", "cntlid_max", scan_u16, check=_check_cntlid_max),
    value("attr_vendor_id", "vendor_id", number(16), "{:#x}"),
    value("attr_subsys_vendor_id", "subsys_vendor_id", number(16), "{:#x}"),
    value("attr_model", "model", lambda data: line(data, _MODEL_SIZE)),
    value("attr_qid_max", "qid_max", scan_u16, check=_check_qid_max),
    value("attr_ieee_oui", "ieee_oui", _oui, "{:#08x}"),
    value("attr_firmware", "firmware", lambda data: line(data, _FIRMWARE_SIZE)),
    flag("attr_pi_enable", "pi_enable"),
)


def passthru_device_path_show(group: Passthru, caller: Caller) -> str:
    return f"{group.device_path if group.device_path is not None else '(null)'}\n"


def passthru_device_path_store(group: Passthru, caller: Caller, data: bytes) -> None:
    """EINVAL for no path."""
    path = first_line(data)
    fail(bool(path))
    group.device_path = path.decode(errors="surrogateescape")


def _passthru_enable(group: Passthru, new: bool) -> None:
    """EINVAL for no path or next to namespaces; there is no controller that could be passed
    through, so that the path leads nowhere (nvmet_passthru_ctrl_enable)."""
    if new:
        fail(group.device_path is not None)
        check_block_device(group.module, None)


PASSTHRU_ATTRIBUTES = (
    Attribute("device_path", 0o644, passthru_device_path_show, passthru_device_path_store),
    flag("enable", "enable", check=_passthru_enable),
    value("admin_timeout", "admin_timeout", number(32)),
    value("io_timeout", "io_timeout", number(32)),
    value("clear_ids", "clear_ids", number(32)),
)


def nvmet_allowed_hosts_allow_link(group: ConfigGroup, target: ConfigItem) -> None:
    """EINVAL for what is no host or while any host is allowed; EEXIST for one that is."""
    subsystem = group.parent
    assert isinstance(subsystem, Subsystem)
    if not isinstance(target, Host):
        raise Errno(errno.EINVAL)
    fail(not subsystem.allow_any_host)
    if any(host.name == target.name for host in subsystem.hosts):
        raise Errno(errno.EEXIST)
    subsystem.hosts.append(target)


def nvmet_allowed_hosts_drop_link(group: ConfigGroup, target: ConfigItem) -> None:
    subsystem = group.parent
    assert isinstance(subsystem, Subsystem)
    subsystem.hosts = [host for host in subsystem.hosts if host is not target]


_ALLOWED_HOSTS = ItemType(
    allow_link=nvmet_allowed_hosts_allow_link, drop_link=nvmet_allowed_hosts_drop_link
)


def subsystems_group(module: Nvmet) -> ConfigGroup:
    """The directory ``subsystems``."""
    subsystem_type = ItemType(chosen(ATTRIBUTES, module.section.subsystem))
    passthru_type = ItemType(chosen(PASSTHRU_ATTRIBUTES, module.section.passthru))

    def nvmet_subsys_make(group: ConfigGroup, name: str) -> ConfigGroup:
        """EINVAL for the name of the discovery subsystem."""
        fail(name.removesuffix("\n") not in (DISCOVERY_NQN, module.discovery_nqn))
        groups = [namespaces_group(module), ConfigGroup("allowed_hosts", _ALLOWED_HOSTS)]
        if module.section.passthru:
            groups.append(Passthru(passthru_type, module))
        return Subsystem(name, subsystem_type, tuple(groups), module)

    return ConfigGroup("subsystems", ItemType(make_group=nvmet_subsys_make))
