# SPDX-License-Identifier: Apache-2.0
"""Where the subsystems of the kernel's sample are."""

from __future__ import annotations

MACHINE = "qemu-q35"
ROOT = "/sys/kernel/config"
CHILDLESS = f"{ROOT}/01-childless"
SIMPLE = f"{ROOT}/02-simple-children"
GROUPS = f"{ROOT}/03-group-children"

DIR = "fs/configfs/dir.c, 6.1"
FILE = "fs/configfs/file.c, 6.1"
SYMLINK = "fs/configfs/symlink.c, 6.1"
SAMPLE = "samples/configfs/configfs_sample.c, 6.1"
NAMEI = "fs/namei.c, 6.1"
