# SPDX-License-Identifier: Apache-2.0
"""A machine with Intel DSA/IAA accelerators as Linux would show it, without the hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.kernel.module import Module

__version__ = "0.1.0"

__all__ = ["Module", "__version__"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: most who import the package need nothing of this."""
    if name == "Module":
        from harness.kernel.module import Module

        return Module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
