# SPDX-License-Identifier: Apache-2.0
"""Copies of modules of the standard library with some of their functions replaced.

A copy's other functions, such as ``os.walk``, are Python code that finds the replacements in the
copy. So nothing of the standard library is written again, and the originals stay as they are.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def shallow(original: ModuleType, changes: Mapping[str, Any]) -> ModuleType:
    """The same objects under the same names, but for ``changes``."""
    copy = ModuleType(original.__name__, original.__doc__)
    copy.__dict__.update(original.__dict__)
    copy.__dict__.update(changes)
    return copy


def deep(original: ModuleType, changes: Mapping[str, Any], keep: set[str]) -> ModuleType:
    """The module's source run once more, with ``changes`` and the original's ``keep``.

    Functions written in Python use the changes then; classes in ``keep`` stay the ones that
    ``isinstance`` and ``except`` know.
    """
    spec = importlib.util.find_spec(original.__name__)
    source = spec.loader.get_code(original.__name__) if spec and spec.loader else None  # type: ignore[attr-defined]
    if source is None:
        raise ImportError(f"there is no source of the module {original.__name__}")
    copy = ModuleType(original.__name__, original.__doc__)
    copy.__spec__, copy.__file__ = original.__spec__, original.__file__
    before = sys.modules.copy()
    try:
        exec(source, copy.__dict__)
    finally:
        # os enters os.path there
        sys.modules.update(before)
    copy.__dict__.update({name: getattr(original, name) for name in keep})
    copy.__dict__.update(changes)
    return copy
