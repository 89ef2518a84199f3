# SPDX-License-Identifier: Apache-2.0
"""Ports, their referrals and ANA groups (configfs.c; 6.1, 6.12)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import Any

from harness.drivers.nvmet.namespace import MAX_ANAGRPS
from harness.drivers.nvmet.parse import (
    chosen,
    fail,
    flag,
    number,
    one_of,
    signed,
    word,
)
from harness.drivers.nvmet.state import Nvmet
from harness.drivers.nvmet.subsystem import Subsystem
from harness.kernel.configfs import ConfigGroup, ConfigItem, ItemType
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import kstrtoull
from harness.kernel.sysfs import Attribute
from harness.kernel.task import Caller

_TRADDR_SIZE, _TRSVCID_SIZE = 256, 32
_ADRFAMS = ("ipv4", "ipv6", "ib", "fc", "loop")
_TRTYPES = ("rdma", "fc", "tcp", "loop")
_PCI = "pci"
_TREQS = ("not specified", "required", "not required")
_TSAS = {"tcp": ("none", "tls1.3"), "rdma": ("connected", "datagram")}
_ANA_STATES = ("optimized", "non-optimized", "inaccessible", "persistent-loss", "change")
_INACCESSIBLE = _ANA_STATES[2]
_MAX_MDTS = 255


class Port(ConfigGroup):
    """A directory below ``ports`` or ``referrals`` (struct nvmet_port)."""

    enabled = False
    addr_traddr = addr_trsvcid = addr_trtype = addr_tsas = ""
    addr_treq = _TREQS[0]
    addr_portid = 0
    param_inline_data_size = param_max_queue_size = param_mdts = -1
    param_pi_enable = 0

    def __init__(
        self,
        name: str,
        type: ItemType,
        module: Nvmet,
        groups: tuple[ConfigGroup, ...] = (),
        addr_adrfam: str = "",
    ) -> None:
        super().__init__(name, type, groups)
        self.module = module
        self.addr_adrfam = addr_adrfam
        #: By the number of the ANA group.
        self.ana_state = {1: _ANA_STATES[0]}
        self.subsystems: list[Subsystem] = []


class AnaGroup(ConfigGroup):
    """A directory below ``ana_groups``."""

    def __init__(self, name: str, type: ItemType, grpid: int) -> None:
        super().__init__(name, type)
        self.grpid = grpid

    @property
    def port(self) -> Port:
        """Two above."""
        assert self.parent is not None
        assert isinstance(self.parent.parent, Port)
        return self.parent.parent


def _check_disabled(port: Port) -> None:
    """nvmet_is_port_enabled."""
    if port.enabled:
        raise Errno(errno.EACCES)


def _address(name: str, parse: Callable[[Port, bytes], Any], *, disabled_first: bool) -> Attribute:
    """An attribute that does not change while the port is enabled, which some see first."""

    def show(port: Port, caller: Caller) -> str:
        return f"{getattr(port, name)}\n"

    def store(port: Port, caller: Caller, data: bytes) -> None:
        if disabled_first:
            _check_disabled(port)
        new = parse(port, data)
        _check_disabled(port)
        setattr(port, name, new)

    show.__name__, store.__name__ = f"nvmet_{name}_show", f"nvmet_{name}_store"
    return Attribute(name, 0o644, show, store)


def _with_pci(port: Port, names: tuple[str, ...]) -> tuple[str, ...]:
    return (*names, _PCI) if port.module.section.pci else names


def _adrfam(port: Port, data: bytes) -> str:
    return one_of(data, _with_pci(port, _ADRFAMS))


def _treq(port: Port, data: bytes) -> str:
    """With TLS, something has to be said."""
    treq = one_of(data, _TREQS)
    fail(not (port.addr_tsas == "tls1.3" and treq == _TREQS[0]))
    return treq


def _short_word(size: int, port: Port, data: bytes) -> str:
    fail(len(data) <= size)
    return word(data)


def _trtype(port: Port, data: bytes) -> str:
    """What the transport says of itself begins anew."""
    trtype = one_of(data, _with_pci(port, _TRTYPES))
    port.addr_tsas = _TSAS.get(trtype, ("",))[0]
    return trtype


def _tsas(port: Port, data: bytes) -> str:
    """rdma has but what it has; TLS requires secure channels unless something else was said."""
    names = _TSAS.get(port.addr_trtype, ())
    tsas = one_of(data, names)
    fail(tsas != "tls1.3" or port.module.section.tls)
    if port.addr_trtype == "rdma":
        fail(tsas == port.addr_tsas)
    elif tsas == "none":
        port.addr_treq = _TREQS[0]
    elif port.addr_treq == _TREQS[0]:
        port.addr_treq = _TREQS[1]
    return tsas


def _mdts(port: Port, data: bytes) -> int:
    mdts = signed(data)
    fail(0 <= mdts <= _MAX_MDTS)
    return mdts


def enable_show(port: Port, caller: Caller) -> str:
    return f"{port.enabled:d}\n"


def _number16(port: Port, data: bytes) -> int:
    return number(16)(data)


def _signed(port: Port, data: bytes) -> int:
    return signed(data)


def _bool(port: Port, data: bytes) -> int:
    return int(port.module.kernel.kstrtobool(data))


ATTRIBUTES = (
    _address("addr_adrfam", _adrfam, disabled_first=True),
    _address("addr_portid", _number16, disabled_first=False),
    _address("addr_treq", _treq, disabled_first=True),
    _address("addr_traddr", partial(_short_word, _TRADDR_SIZE), disabled_first=False),
    _address("addr_trsvcid", partial(_short_word, _TRSVCID_SIZE), disabled_first=False),
    _address("addr_trtype", _trtype, disabled_first=True),
    _address("addr_tsas", _tsas, disabled_first=True),
    _address("param_inline_data_size", _signed, disabled_first=True),
    _address("param_max_queue_size", _signed, disabled_first=True),
    _address("param_mdts", _mdts, disabled_first=True),
    _address("param_pi_enable", _bool, disabled_first=False),
    flag("enable", "enabled"),
)


def ana_state_show(group: AnaGroup, caller: Caller) -> str:
    return f"{group.port.ana_state.get(group.grpid, _INACCESSIBLE)}\n"


def ana_state_store(group: AnaGroup, caller: Caller, data: bytes) -> None:
    group.port.ana_state[group.grpid] = one_of(data, _ANA_STATES)


_ANA_GROUP = ItemType((Attribute("ana_state", 0o644, ana_state_show, ana_state_store),))


def nvmet_ana_groups_make_group(group: ConfigGroup, name: str) -> ConfigGroup:
    """EINVAL, ERANGE for what is no number; EINVAL unless it is 2 to 128."""
    grpid = kstrtoull(name.encode(errors="surrogateescape"), 0, 32)
    fail(1 < grpid <= MAX_ANAGRPS)
    return AnaGroup(name, _ANA_GROUP, grpid)


def nvmet_ana_group_release(group: ConfigGroup, item: AnaGroup) -> None:
    """The group's state is forgotten. Its parent is the port's, though it has left."""
    port = group.parent
    assert isinstance(port, Port)
    port.ana_state.pop(item.grpid, None)


def nvmet_port_subsys_allow_link(group: ConfigGroup, target: ConfigItem) -> None:
    """EINVAL for what is no subsystem; EEXIST for one that is there; what the transport says."""
    port = group.parent
    assert isinstance(port, Port)
    if not isinstance(target, Subsystem):
        raise Errno(errno.EINVAL)
    if target in port.subsystems:
        raise Errno(errno.EEXIST)
    nvmet_enable_port(port)


def nvmet_enable_port(port: Port) -> None:
    """EINVAL: no transport was named, or there is no module for it (nvmet_enable_port)."""
    raise Errno(errno.EINVAL)


def nvmet_referral_notify(group: ConfigGroup, item: Port) -> None:
    item.enabled = False


_PORT_SUBSYSTEMS = ItemType(allow_link=nvmet_port_subsys_allow_link)
_ANA_GROUPS = ItemType(make_group=nvmet_ana_groups_make_group, drop_item=nvmet_ana_group_release)


def _referrals(module: Nvmet) -> ConfigGroup:
    referral_type = ItemType(chosen(ATTRIBUTES, module.section.referral))
    # Its address family is 0, for which not every kernel has a name.
    adrfam = _PCI if module.section.pci else ""

    def nvmet_referral_make(group: ConfigGroup, name: str) -> ConfigGroup:
        return Port(name, referral_type, module, addr_adrfam=adrfam)

    notify = nvmet_referral_notify
    return ConfigGroup(
        "referrals", ItemType(make_group=nvmet_referral_make, disconnect_notify=notify)
    )


def ports_group(module: Nvmet) -> ConfigGroup:
    """The directory ``ports``."""
    port_type = ItemType(chosen(ATTRIBUTES, module.section.port))

    def nvmet_ports_make(group: ConfigGroup, name: str) -> ConfigGroup:
        """EINVAL for what is no number of 16 bits."""
        number(16)(name.encode(errors="surrogateescape"))
        groups = (
            ConfigGroup("subsystems", _PORT_SUBSYSTEMS),
            _referrals(module),
            ConfigGroup("ana_groups", _ANA_GROUPS, (AnaGroup("1", _ANA_GROUP, 1),)),
        )
        return Port(name, port_type, module, groups)

    return ConfigGroup("ports", ItemType(make_group=nvmet_ports_make))
