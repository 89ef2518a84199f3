# SPDX-License-Identifier: Apache-2.0
"""Lines of text reports, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator

WIDTH = 100
_LABEL = 10


def entry(label: str, text: str) -> Iterator[str]:
    """A label and its text, broken where the line ends; a command is never broken by a hyphen."""
    lines = textwrap.wrap(text, WIDTH - _LABEL - 2, break_on_hyphens=False) or [""]
    yield f"  {label:<{_LABEL}}{lines[0]}"
    for line in lines[1:]:
        yield " " * (_LABEL + 2) + line


def counted(what: str, reasons: Iterable[str | None]) -> Iterator[str]:
    """Each reason once, with how often it was given; an empty line before the first."""
    counts = Counter(reasons)
    if counts:
        yield ""
    for reason, count in counts.items():
        yield from textwrap.wrap(f"{what} ({count}): {reason}", WIDTH, subsequent_indent="  ")
