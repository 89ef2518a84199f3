# SPDX-License-Identifier: Apache-2.0
"""poll on attributes: always readable and writable, and POLLPRI for news."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINTR, EPERM
from harness.conformance.suites._steps import PCI_DEVICE
from harness.uapi.fs import (
    O_RDONLY,
    O_WRONLY,
    POLLERR,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
)

_POLL = "kernfs_fop_poll, kernfs_generic_poll: fs/kernfs/file.c, 6.1"
_VENDOR = f"{PCI_DEVICE}/vendor"


@case(source=_POLL)
def never_read(call: Call) -> None:
    """A fresh fd has news: nobody has read what is there."""
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(
            call.poll({fd: POLLIN | POLLOUT | POLLPRI}), {fd: POLLIN | POLLOUT | POLLPRI | POLLERR}
        )


@case(source=_POLL)
@param("name", ["vendor", "config"])
def read(call: Call, name: str) -> None:
    """A read takes the news; without news nothing but the default is ready."""
    with call.opened(f"{PCI_DEVICE}/{name}", O_RDONLY) as fd:
        expect(call.read(fd, 1))
        expect(call.poll({fd: POLLIN | POLLOUT | POLLPRI}), {fd: POLLIN | POLLOUT})
        expect(call.poll({fd: POLLPRI}), {fd: 0})


@case(source=_POLL)
def only_what_was_asked_for(call: Call) -> None:
    """POLLERR comes unasked."""
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.poll({fd: 0}), {fd: POLLERR})
        expect(call.poll({fd: POLLOUT}), {fd: POLLOUT | POLLERR})


@case(source=_POLL)
def each_fd_has_its_own_news(call: Call) -> None:
    with call.opened(_VENDOR, O_RDONLY) as one, call.opened(_VENDOR, O_RDONLY) as other:
        expect(call.read(one, 100))
        expect(call.poll({one: POLLPRI, other: POLLPRI}), {one: 0, other: POLLPRI | POLLERR})


@case(source=_POLL)
def a_store_is_no_news(call: Call) -> None:
    """Only the driver can tell that a value has changed."""
    path = "/sys/bus/dsa/devices/dsa0/read_buffer_limit"
    with call.opened(path, O_RDONLY) as fd:
        expect(call.read(fd, 100), b"0\n")
        expect(call.write_text(path, "7"), 1)
        expect(call.poll({fd: POLLPRI}), {fd: 0})


@case(source=_POLL)
def for_writing(call: Call) -> None:
    with call.opened(f"{PCI_DEVICE}/reset", O_WRONLY) as fd:
        expect(call.poll({fd: POLLOUT | POLLPRI}), {fd: POLLOUT | POLLPRI | POLLERR})


@case(source=f"{_POLL}; ep_item_poll: fs/eventpoll.c, 6.1")
def by_epoll(call: Call) -> None:
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.epoll(fd, POLLPRI), POLLPRI | POLLERR)
        expect(call.read(fd, 100))
        expect(call.epoll(fd, POLLPRI), 0)
        expect(call.epoll(fd, POLLIN | POLLOUT), POLLIN | POLLOUT)


@case(source="do_epoll_ctl: fs/eventpoll.c, 6.1")
def directories_have_no_poll(call: Call) -> None:
    with call.opened(PCI_DEVICE, O_RDONLY) as fd:
        expect(call.epoll(fd, POLLIN), EPERM)


@case(source="do_pollfd: fs/select.c, 6.1")
def closed(call: Call) -> None:
    fd = expect(call.open(_VENDOR, O_RDONLY))
    expect(call.close(fd))
    expect(call.poll({fd: POLLIN}), {fd: POLLNVAL})


@case(source="do_poll: fs/select.c, 6.1")
def waits_until_interrupted(call: Call) -> None:
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.read(fd, 100))
        pending = call.start(call.poll, {fd: POLLPRI}, -1)
        pending.interrupt()
        expect(pending.wait(), EINTR)
