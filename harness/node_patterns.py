# SPDX-License-Identifier: Apache-2.0
"""Nodes of different devices of one kind become one.

Numbers of devices become ``<n>``, addresses of functions ``<function>``, buses ``<bus>``: what is
known of ``wq0.1/size`` is known of ``wq3.0/size``.
"""

from __future__ import annotations

import re

_FUNCTION = re.compile(r"^(?:[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=$|:)")
_BUS = re.compile(r"^pci[0-9a-f]{4}:[0-9a-f]{2}$|^[0-9a-f]{4}:[0-9a-f]{2}$")
_UUID = re.compile(r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_NUMBER = re.compile(r"\d+")
#: Words whose digits are part of the name.
_NAMES = frozenset({"d3cold_allowed"})


def pattern(path: str) -> str:
    """The pattern of a path of sysfs: bridges on the way are not part of it."""
    parts: list[str] = []
    for part in path.split("/"):
        name = _part(part)
        if name == "<function>" and parts[-1:] == ["<function>"]:
            continue
        parts.append(name)
    return "/".join(parts)


def _part(name: str) -> str:
    if _BUS.match(name):
        return "<bus>"
    if _UUID.match(name):
        return "<uuid>"
    name = _FUNCTION.sub("<function>", name)
    return name if name in _NAMES else _NUMBER.sub("<n>", name)
