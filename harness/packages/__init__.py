# SPDX-License-Identifier: Apache-2.0
"""Debian packages of any suite for those who need no more than their files. No root needed."""

from harness.packages.errors import PackagesError, Progress, ProgressLine, Unavailable, silent
from harness.packages.places import cache_folder, locked, need_room, one_line_errors, whole
from harness.packages.processes import Ended, run
from harness.packages.suite import Package, Suite

__all__ = [
    "Ended",
    "Package",
    "PackagesError",
    "Progress",
    "ProgressLine",
    "Suite",
    "Unavailable",
    "cache_folder",
    "locked",
    "need_room",
    "one_line_errors",
    "run",
    "silent",
    "whole",
]
