# SPDX-License-Identifier: Apache-2.0
"""What the gate writes."""

from __future__ import annotations

import os
from pathlib import Path

from harness.gate.errors import GateError


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all; a device or a pipe is never replaced. GateError."""
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        target = Path(os.path.realpath(path))
        new = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            new.write_text(text, encoding="utf-8")
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}") from None
