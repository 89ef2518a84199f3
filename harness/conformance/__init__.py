# SPDX-License-Identifier: Apache-2.0
"""Conformance: cases, the object ``call``, ``expect``, the runner (docs/writing-cases.md)."""

from harness.conformance.call import Call, Fd, Task
from harness.conformance.cases import case, param
from harness.conformance.results import expect

__all__ = ["Call", "Fd", "Task", "case", "expect", "param"]
