# SPDX-License-Identifier: Apache-2.0
"""Reports of conformance runs, as text and as JSON, and the command that makes them."""

from harness.conformance.runner import ConformError
from harness.report.conform import conform, write_missing

__all__ = ["ConformError", "conform", "write_missing"]
