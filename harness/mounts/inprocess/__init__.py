# SPDX-License-Identifier: Apache-2.0
"""The in-process mount: Python code of this very process sees a machine's /sys and /dev."""

from harness.mounts.inprocess.children import ChildrenError, UnmodelledError
from harness.mounts.inprocess.mount import InProcessMount

__all__ = ["ChildrenError", "InProcessMount", "UnmodelledError"]
