# SPDX-License-Identifier: Apache-2.0
"""One command in a machine, from start to end, as the command line runs it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.mounts.process.child import Child
from harness.mounts.process.errors import CommandError
from harness.mounts.process.mount import Machine, ProcessMount
from harness.mounts.process.options import PLAIN, MountOptions
from harness.mounts.process.signals import PASSED_ON

#: si_code of a signal that the kernel sent by itself, as a terminal's are.
_SI_KERNEL = 0x80


def run(
    machine: Machine,
    argv: Sequence[str],
    uid: int | None = None,
    options: MountOptions = PLAIN,
) -> int:
    """Run a command with this process's standard streams; returns its exit status.

    128+n if signal n ended it, 127 if there is no such command and 126 if it cannot be executed,
    with a line on stderr. Signals are passed on; those of the terminal reach the command anyway.
    Raises MountError.
    """
    with ProcessMount(machine, uid=uid, options=options) as mount, _signals_blocked() as ours:
        try:
            child = mount.popen(argv)
        except CommandError as error:
            print(f"uapi-harness run: {error}", file=sys.stderr)
            return error.status
        return _wait_passing_on(child) if ours else child.wait()


@contextmanager
def _signals_blocked() -> Iterator[bool]:
    """Keep signals for :func:`_wait_passing_on`; False where they are not ours to take."""
    if threading.current_thread() is not threading.main_thread():
        yield False
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON | {signal.SIGCHLD})
    try:
        yield True
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_passing_on(child: Child) -> int:
    """Wait for the end while passing signals on; a thread tells us of the end by SIGCHLD."""
    main, ended = threading.get_ident(), threading.Event()

    def watch() -> None:
        try:
            child.wait()
        finally:
            ended.set()
            signal.pthread_kill(main, signal.SIGCHLD)

    watcher = threading.Thread(target=watch, name="uapi-wait", daemon=True)
    watcher.start()
    while not ended.is_set():
        received = signal.sigwaitinfo(PASSED_ON | {signal.SIGCHLD})
        if received.si_signo != signal.SIGCHLD and received.si_code != _SI_KERNEL:
            child.send_signal(received.si_signo)
    return child.wait()
