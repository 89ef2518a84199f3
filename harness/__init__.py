# SPDX-License-Identifier: Apache-2.0
"""A machine with Intel DSA/IAA accelerators as Linux would show it, without the hardware."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.conformance.cases import case
    from harness.conformance.results import expect
    from harness.kernel.module import Module
    from harness.kernel.profile import Profile
    from harness.machine import Machine, load_machine

__version__ = "0.1.0"

__all__ = ["Machine", "Module", "Profile", "__version__", "case", "expect", "load_machine"]

_PLACES = {
    "Machine": "harness.machine",
    "Module": "harness.kernel.module",
    "Profile": "harness.kernel.profile",
    "case": "harness.conformance.cases",
    "expect": "harness.conformance.results",
    "load_machine": "harness.machine",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: most who import the package need nothing of this."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
