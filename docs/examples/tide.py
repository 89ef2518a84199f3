# SPDX-License-Identifier: Apache-2.0
"""A new directory of sysfs: /sys/kernel/tide with the level, its limit and an alarm."""

from harness.modules import Attribute, AttributeGroup, Module, kstrtoull, sysfs_create_group


class Tide:
    level, limit = 0, 100


def level_store(tide, caller, data):
    tide.level = kstrtoull(data, 10, 32)


def limit_store(tide, caller, data):
    tide.limit = kstrtoull(data, 10, 32)


GROUP = AttributeGroup(
    (
        Attribute("level", 0o644, lambda tide, caller: f"{tide.level}\n", level_store),
        Attribute("limit", 0o644, lambda tide, caller: f"{tide.limit}\n", limit_store),
        Attribute("alarm", 0o444, lambda tide, caller: f"{int(tide.level > tide.limit)}\n"),
    )
)


def tide_init(kernel):
    sysfs_create_group(kernel.sysfs.directory("kernel").directory("tide"), Tide(), GROUP)


MODULE = Module("tide", tide_init)
