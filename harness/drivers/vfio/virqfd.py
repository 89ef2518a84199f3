# SPDX-License-Identifier: Apache-2.0
"""Eventfds of a program that drivers of devices act upon: drivers/vfio/virqfd.c, 6.1."""

from __future__ import annotations

import errno
from collections.abc import Callable

from harness.kernel.errors import Errno
from harness.kernel.eventfd import EventfdContext, eventfd_ctx_fdget
from harness.kernel.task import Caller
from harness.uapi.fs import POLLHUP, POLLIN


class Virqfd:
    """What is done each time that an eventfd is written (struct virqfd)."""

    def __init__(self) -> None:
        self._context: EventfdContext | None = None
        self._handler: Callable[[], None] = lambda: None

    @property
    def enabled(self) -> bool:
        """Whether it has an eventfd; that is over when the program closes its last fd."""
        return self._context is not None

    def enable(self, caller: Caller, fd: int, handler: Callable[[], None]) -> None:
        """Call ``handler`` from now on, at once if something was written before.

        EBADF, EINVAL for no eventfd, EBUSY if it is enabled (vfio_virqfd_enable).
        """
        context = eventfd_ctx_fdget(caller, fd)
        if self.enabled:
            context.release()
            raise Errno(errno.EBUSY)
        self._context, self._handler = context, handler
        if context.watch(self._wakeup) & POLLIN:
            handler()

    def disable(self) -> None:
        """Call nobody any more; no error if nobody is called (vfio_virqfd_disable)."""
        context, self._context = self._context, None
        if context is not None:
            context.release()

    def _wakeup(self, events: int) -> None:
        """virqfd_wakeup: what was written is taken."""
        if events & POLLIN and self._context is not None:
            self._context.read()
            self._handler()
        if events & POLLHUP:
            self.disable()
