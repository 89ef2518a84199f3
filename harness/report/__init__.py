# SPDX-License-Identifier: Apache-2.0
"""Reports of conformance runs, as text and as JSON, and the command that makes them."""

from harness.conformance.runner import ConformError
from harness.report.conform import DEFAULT_PROFILE, conform, write_missing

__all__ = ["DEFAULT_PROFILE", "ConformError", "conform", "write_missing"]
