# SPDX-License-Identifier: Apache-2.0
"""The process mount: real programs see a machine's /sys and /dev (FUSE in namespaces)."""

from harness.mounts.process.child import Child
from harness.mounts.process.command import run
from harness.mounts.process.errors import CommandError, MountError
from harness.mounts.process.mount import ProcessMount

__all__ = ["Child", "CommandError", "MountError", "ProcessMount", "run"]
