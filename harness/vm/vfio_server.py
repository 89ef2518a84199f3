# SPDX-License-Identifier: Apache-2.0
"""Our hardware in a virtual machine: /dev/vfio for a QEMU that we start.

The plan: QEMU believes to open /dev/vfio/vfio and /dev/vfio/N. A seccomp filter hands those of its
system calls to us that could be about them: every openat, and on descriptors from FIRST_FD on,
where nothing but ours is, pread64 and pwrite64; ioctl by VFIO's type. A descriptor that we install
is the end of a pipe, whose other end tells us when the last copy is closed. The files behind them
are in :mod:`harness.vm.vfio_container`, :mod:`harness.vm.vfio_group` and
:mod:`harness.vm.vfio_device`.

In the place of a device's directory in sysfs QEMU is given a temporary one with the one link that
it reads.

One thread starts QEMU and answers all its calls; when the thread ends, however it does, the kernel
kills QEMU. Each function is in an IOMMU group of its own.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import select
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from harness.address_space import AddressSpaces, ProcessMemory
from harness.hardware.pci import PciFunction
from harness.kernel.errors import Errno
from harness.kernel.task import Task
from harness.kernel.trace import Event, Trace
from harness.seccomp import Argument, Listener, Notification, Rule, start
from harness.uapi import vfio as u
from harness.vm.vfio_container import Container
from harness.vm.vfio_device import VfioDevice
from harness.vm.vfio_file import VfioFile, copy_string
from harness.vm.vfio_group import Group

T = TypeVar("T")

_log = logging.getLogger("uapi_harness")

_IOCTL, _PREAD64, _PWRITE64, _OPENAT = 16, 17, 18, 257  # x86-64
_SYS_PIDFD_GETFD = 438
#: Descriptors of ours in the program are from here on.
FIRST_FD = 900
RULES = (
    Rule(_OPENAT),
    Rule(_IOCTL, (Argument(1, u.VFIO_TYPE << 8, mask=0xFFFFFF00),)),
    Rule(_PREAD64, (Argument(0, FIRST_FD, at_least=True),)),
    Rule(_PWRITE64, (Argument(0, FIRST_FD, at_least=True),)),
)
_CONTAINER_PATH, _GROUP_PATH = "/dev/vfio/vfio", re.compile(r"/dev/vfio/(\d+)")
#: More than a program can ask of a region at once.
_TRANSFER_MAX = 1 << 20
#: Where a function can be in the guest: a slot of the root bus.
_ADDRESS = re.compile(r"0000:00:([01][0-9a-f]\.0)")

_libc = ctypes.CDLL(None, use_errno=True)


class _Call:
    """A system call that waits for us; as harness.vm.vfio_file.Caller, who made it."""

    def __init__(self, server: VfioServer, listener: Listener, notification: Notification) -> None:
        self.number, self.arguments = notification.number, notification.arguments
        self._server = server
        self._listener = listener
        self._notification = notification
        self._memory: ProcessMemory | None = None

    @property
    def memory(self) -> ProcessMemory:
        """See Caller."""
        if self._memory is None:
            self._memory = self._server.memories.of(self._notification.thread)
            if not self._listener.is_pending(self._notification):
                raise Errno(errno.EFAULT)  # the thread has gone, and its number may be another's
        return self._memory

    @property
    def task(self) -> Task:
        """Who calls, by its numbers on the host, or ESRCH."""
        thread = self._notification.thread
        try:
            return Task(_thread_group(thread), thread, "qemu")
        except OSError:
            raise Errno(errno.ESRCH) from None

    def file(self, number: int) -> VfioFile | None:
        """See Caller."""
        file = self._server.file(number)
        if file is None:
            os.close(self._copied(number))
        return file

    def eventfd(self, number: int) -> int:
        """See Caller."""
        fd = self._copied(number)
        if os.readlink(f"/proc/self/fd/{fd}") != "anon_inode:[eventfd]":
            os.close(fd)
            raise Errno(errno.EINVAL)
        return fd

    def _copied(self, number: int) -> int:
        """A descriptor of ours for the file that is theirs under ``number``, or EBADF."""
        try:
            process = os.pidfd_open(_thread_group(self._notification.thread))
        except OSError:
            raise Errno(errno.EBADF) from None
        try:
            fd = _libc.syscall(_SYS_PIDFD_GETFD, process, number, 0)
        finally:
            os.close(process)
        if fd < 0 or not self._listener.is_pending(self._notification):
            raise Errno(errno.EBADF)
        os.set_inheritable(fd, False)
        return int(fd)


def _thread_group(thread: int) -> int:
    """The process of a thread. OSError if it has gone."""
    with open(f"/proc/{thread}/status", errors="replace") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))


class VfioServer:
    """Functions for one QEMU, by their PCI address in the guest (``0000:00:05.0``).

    Use it as a context manager: at its end QEMU has ended, if need be by SIGKILL. Whoever touches
    the functions meanwhile holds ``lock``.
    """

    def __init__(self, devices: Mapping[str, PciFunction], trace: Trace | None = None) -> None:
        """``trace`` is told what QEMU does. ValueError for an address that is not DEVICE.0 on the
        guest's root bus."""
        self.functions = dict(devices)
        self.lock = threading.RLock()
        self.memories = AddressSpaces()
        self._slots = {address: _slot(address) for address in devices}
        self._groups = {
            number: Group(number, VfioDevice(address, function))
            for number, (address, function) in enumerate(devices.items(), 1)
        }
        self._trace = trace if trace is not None else Trace()
        self._files: dict[int, VfioFile] = {}
        #: Numbers of files by our ends of their pipes.
        self._ends: dict[int, int] = {}
        #: Ready when one of our ends hangs up.
        self._closed = select.epoll()
        self._stop = os.eventfd(0)
        self._is_over = False
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[Any] | None = None
        self._folder = tempfile.mkdtemp(prefix="uapi-harness-vfio-")
        for number, group in self._groups.items():
            device = os.path.join(self._folder, group.device.name)
            os.mkdir(device)
            os.symlink(f"iommu_groups/{number}", os.path.join(device, "iommu_group"))

    @property
    def arguments(self) -> list[str]:
        """What QEMU must be told besides all else."""
        words = []
        for address, slot in self._slots.items():
            folder = os.path.join(self._folder, address).replace(",", ",,")
            words += ["-device", f"vfio-pci,sysfsdev={folder},bus=pcie.0,addr={slot}"]
        return words

    def start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start QEMU, once. ``options`` are those of subprocess.Popen.

        Raises harness.seccomp.StartError.
        """
        started: Future[subprocess.Popen[Any]] = Future()
        arguments = (argv, options, started)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()
        return started.result()

    def close(self) -> None:
        """Kill QEMU if it still runs, and wait until it is gone."""
        if self._is_over:
            return
        self._is_over = True
        os.eventfd_write(self._stop, 1)
        if self._thread is not None:
            self._thread.join()
        if self._process is not None:
            self._process.wait()
        os.close(self._stop)
        self._closed.close()
        self._remove_folder()

    def __enter__(self) -> VfioServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def file(self, number: int) -> VfioFile | None:
        """What the program's descriptor ``number`` is, if it is ours."""
        return self._files.get(number)

    # --- the thread

    def _run(
        self,
        argv: Sequence[str],
        options: dict[str, Any],
        started: Future[subprocess.Popen[Any]],
    ) -> None:
        try:
            self._process, listener = start(argv, RULES, **options)
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(self._process)
        try:
            self._serve(listener)
        finally:
            # Before its calls begin to fail.
            self._process.kill()
            listener.close()
            with self.lock:
                for end in list(self._ends):
                    self._release(end)

    def _serve(self, listener: Listener) -> None:
        """Answer until the last task under the filter has gone, or we shall stop."""
        poll = select.poll()
        for file in (listener, self._stop, self._closed):
            poll.register(file, select.POLLIN)
        while True:
            events = dict(poll.poll())
            calls = events.get(listener.fileno(), 0)
            if self._stop in events or (calls and not calls & select.POLLIN):
                return
            notification = listener.receive() if calls else None
            with self.lock:
                # What was closed before this call was made is closed before it is answered.
                for end, _ in self._closed.poll(0):
                    self._release(end)
                if notification is not None:
                    self._answer(listener, notification)

    def _answer(self, listener: Listener, notification: Notification) -> None:
        try:
            result = self._perform(_Call(self, listener, notification))
        except Errno as error:
            listener.fail(notification, error.errno)
            return
        if result is None:
            listener.proceed(notification)
        elif isinstance(result, VfioFile):
            self._install(listener, notification, result)
        else:
            listener.succeed(notification, result)

    def _perform(self, call: _Call) -> int | VfioFile | None:
        """What the call returns; None if it is the host's kernel's."""
        if call.number == _OPENAT:
            return self._open(call)
        file = self._files.get(call.arguments[0] & 0xFFFFFFFF)
        if file is None:
            return None
        _, second, third, fourth, *_ = call.arguments
        if call.number == _IOCTL:
            command = second & 0xFFFFFFFF
            arguments = command, third
            return self._observed(call, file, "ioctl", arguments, partial(file.ioctl, call))
        count = min(third, _TRANSFER_MAX)
        if call.number == _PREAD64:
            data = self._observed(call, file, "read", (fourth, count), file.read)
            call.memory.write(second, data)
            return len(data)
        written = fourth, call.memory.read(second, count)
        return self._observed(call, file, "write", written, file.write)

    def _observed(
        self,
        call: _Call,
        file: VfioFile,
        operation: str,
        arguments: tuple[Any, ...],
        function: Callable[..., T],
    ) -> T:
        if not self._trace.observers:
            return function(*arguments)
        event = Event(operation, file.path, arguments, call.task)
        event.memory = lambda: call.memory
        answer: T = self._trace.observe(event, lambda: function(*arguments))
        return answer

    def _open(self, call: _Call) -> VfioFile | None:
        try:
            path = copy_string(call, call.arguments[1])
        except Errno:
            return None
        if path == _CONTAINER_PATH:
            return Container()
        match = _GROUP_PATH.fullmatch(path)
        if match is None:
            return None
        group = self._groups.get(int(match[1]))
        if group is None:
            raise Errno(errno.ENOENT)
        group.open()
        return group

    # --- descriptors

    def _install(self, listener: Listener, notification: Notification, file: VfioFile) -> None:
        number = next(n for n in range(FIRST_FD, 1 << 20) if n not in self._files)
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        self._files[number] = file
        self._ends[ours] = number
        self._closed.register(ours, 0)
        if all(group.device.opened for group in self._groups.values()):
            self._remove_folder()
        try:
            listener.install(notification, theirs, number)
        except OSError:
            # Its own limit is too low for the number.
            listener.fail(notification, errno.EMFILE)
        finally:
            os.close(theirs)

    def _release(self, end: int) -> None:
        """The last copy of a descriptor was closed."""
        self._closed.unregister(end)
        os.close(end)
        self._files.pop(self._ends.pop(end)).release()

    def _remove_folder(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)


def _slot(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"{address}: not the address of a slot on QEMU's root bus, 0000:00:DD.0")
    return match[1]
