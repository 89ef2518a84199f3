# SPDX-License-Identifier: Apache-2.0
"""System calls of a program, answered by us: seccomp(2) with user notification.

The plan: a filter, built from a table of rules, suspends the chosen system calls of a program
until we have answered them (:mod:`harness.seccomp.rules`). The program is started through
:mod:`harness.seccomp.starter`, which installs the filter in itself, hands us the listener and
becomes the program. From the listener (:mod:`harness.seccomp.listener`) come notifications, into it
go answers.
"""

from harness.seccomp.listener import Listener, Notification
from harness.seccomp.rules import Argument, Rule
from harness.seccomp.start import StartError, start

__all__ = ["Argument", "Listener", "Notification", "Rule", "StartError", "start"]
