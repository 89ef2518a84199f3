# SPDX-License-Identifier: Apache-2.0
"""How a program that polls is woken by the machine's wait queues."""

from __future__ import annotations

from harness.kernel.wait import WaitQueue
from harness.mounts.process.fuse_protocol import NOTIFY_POLL, NOTIFY_POLL_OUT
from harness.mounts.process.invalidation import notify


class PollWaiter:
    """Waits on the queues of one open file, for all who poll it (poll_table).

    It wakes once: the kernel then asks for the ready mask again, which sets up the next wait.
    All methods are called with the machine's lock held.
    """

    __slots__ = ("_fd", "_handle", "_queues")

    def __init__(self, fd: int, handle: int) -> None:
        self._fd = fd
        #: The kernel's name for the open file.
        self._handle = handle
        self._queues: list[WaitQueue] = []

    def add(self, queue: WaitQueue) -> None:
        """Wake when ``queue`` does."""
        self._queues.append(queue)
        queue.add(self.wake)

    def wake(self) -> None:
        """Wake whoever polls."""
        self.detach()
        notify(self._fd, NOTIFY_POLL, NOTIFY_POLL_OUT.pack(self._handle))

    def detach(self) -> None:
        """Wait no longer."""
        for queue in self._queues:
            queue.remove(self.wake)
        self._queues.clear()


class NoPollTable:
    """For a program that only asks what is ready now."""

    __slots__ = ()

    def add(self, queue: WaitQueue) -> None:
        """Nobody waits."""
