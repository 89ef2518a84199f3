# SPDX-License-Identifier: Apache-2.0
"""The process mount: real programs see a machine's /sys and /dev (FUSE in namespaces).

The names are imported when they are first asked for: a client of a lasting machine needs only the
messages, and starts several times as fast without the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.mounts.process.child import Child
    from harness.mounts.process.command import run
    from harness.mounts.process.errors import CommandError, MountError
    from harness.mounts.process.mount import ProcessMount
    from harness.mounts.process.options import MountOptions

__all__ = ["Child", "CommandError", "MountError", "MountOptions", "ProcessMount", "run"]

_MODULES = {
    "Child": "child",
    "CommandError": "errors",
    "MountError": "errors",
    "MountOptions": "options",
    "ProcessMount": "mount",
    "run": "command",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
