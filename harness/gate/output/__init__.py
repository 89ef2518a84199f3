# SPDX-License-Identifier: Apache-2.0
"""The formats in which the gate answers."""

from harness.gate.output.formats import FORMATS

__all__ = ["FORMATS"]
