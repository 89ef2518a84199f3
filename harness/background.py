# SPDX-License-Identifier: Apache-2.0
"""Threads that take no signals, which are for the main thread of whatever program we are in."""

from __future__ import annotations

import signal
import threading

_ALL = signal.valid_signals()


def start(thread: threading.Thread) -> None:
    """Start ``thread`` with all signals blocked.

    From its very beginning: a signal that the main thread keeps for later would end the program, if
    there were a moment in which another thread could have it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
