# SPDX-License-Identifier: Apache-2.0
"""The module ``nvmet``: its subsystem of configfs (nvmet_init_configfs, 6.12)."""

from __future__ import annotations

from harness.drivers.nvmet.host import hosts_group
from harness.drivers.nvmet.parse import chosen, fail, first_line
from harness.drivers.nvmet.port import ports_group
from harness.drivers.nvmet.state import Nvmet, NvmetSection
from harness.drivers.nvmet.subsystem import subsystems_group
from harness.kernel.configfs import ConfigGroup, ItemType, configfs_register_subsystem
from harness.kernel.module import Module
from harness.kernel.sysfs import Attribute
from harness.kernel.system import Kernel
from harness.kernel.task import Caller

_NQN_FIELD_LEN = 256


class Root(ConfigGroup):
    """The subsystem ``nvmet`` of configfs."""

    def __init__(self, module: Nvmet) -> None:
        groups = subsystems_group(module), ports_group(module), hosts_group(module)
        super().__init__("nvmet", ItemType(chosen(ATTRIBUTES, module.section.root)), groups)
        self.module = module
        self.subsystems = groups[0]


def discovery_nqn_show(root: Root, caller: Caller) -> str:
    return f"{root.module.discovery_nqn}\n"


def discovery_nqn_store(root: Root, caller: Caller, data: bytes) -> int:
    """EINVAL for none, too long a one, or the beginning of a subsystem's. A newline at the end is
    left to another write, which fails."""
    nqn = first_line(data)
    fail(0 < len(nqn) < _NQN_FIELD_LEN)
    text = nqn.decode(errors="surrogateescape")
    directory = root.subsystems.directory
    assert directory is not None
    fail(not any(name.startswith(text) for name in directory.children))
    root.module.discovery_nqn = text
    return len(nqn)


ATTRIBUTES = (Attribute("discovery_nqn", 0o644, discovery_nqn_show, discovery_nqn_store),)


def nvmet_init(kernel: Kernel) -> None:
    """Module init."""
    module = Nvmet(kernel, kernel.profile.section("nvmet", NvmetSection))
    configfs_register_subsystem(kernel, Root(module))


MODULES = (Module("nvmet", nvmet_init, depends=("configfs",)),)
