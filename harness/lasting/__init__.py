# SPDX-License-Identifier: Apache-2.0
"""Machines that outlive one command: ``start``, ``run --in``, ``ctl``, ``stop`` and ``ps``.

Each is a process of its own, the *keeper*, with the machine and its process mount. It listens on a
socket in a folder that is its user's alone; a client sends one request, with its own standard
streams where a program is to be run.
"""

from harness.lasting.client import control, follow, ps, run_in, start, stop
from harness.lasting.places import LastingError

__all__ = ["LastingError", "control", "follow", "ps", "run_in", "start", "stop"]
