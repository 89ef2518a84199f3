# SPDX-License-Identifier: Apache-2.0
"""Signals that are for the command, whoever gets them. Apart, because importing it is cheap."""

from __future__ import annotations

import signal

#: What a terminal, a supervisor or another program may send us that is meant for the command.
PASSED_ON = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGWINCH,
}
