# SPDX-License-Identifier: Apache-2.0
"""System calls that are about the kernel itself: uname(2), and the modules'.

The host's kernel has no part in them: what loads is a module of the model, which the file is known
by (``name=`` in its section ``.modinfo``; :mod:`harness.mounts.process.module_files` makes them).
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

from harness.kernel.errors import Errno
from harness.kernel.module import MODULE_NAME_LEN, delete_module, init_module
from harness.kernel.trace import Event
from harness.mounts.process.program_paths import open_fd
from harness.seccomp import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.mounts.process.notifications import NotifiedCall, Table

# x86-64
_UNAME, _INIT_MODULE, _DELETE_MODULE, _FINIT_MODULE = 63, 175, 176, 313
#: __NEW_UTS_LEN and the NUL; struct new_utsname has six such strings.
_UTS_LEN = 65
_NAME = re.compile(rb"\0name=([^\0]+)\0")
#: More than a stub of ours has; what is bigger is a real module.
_IMAGE_LIMIT = 1 << 16


def add_rules(table: Table, changed: Callable[[], None]) -> None:
    """Let the kernel be the machine's to programs; ``changed`` hears when modules have changed."""

    def notifying(handler: Callable[[NotifiedCall], int]) -> Callable[[NotifiedCall], int]:
        def handle(call: NotifiedCall) -> int:
            result = handler(call)
            changed()
            return result

        return handle

    table.add(Rule(_UNAME), uname)
    table.add(Rule(_INIT_MODULE), notifying(init_module_call))
    table.add(Rule(_FINIT_MODULE), notifying(finit_module_call))
    table.add(Rule(_DELETE_MODULE), notifying(delete_module_call))


def uname(call: NotifiedCall) -> int:
    """uname(buffer): release and version are the profile's, the host's name stays."""
    host, section = os.uname(), call.kernel.section
    words = ("Linux", host.nodename, section.release, section.version, "x86_64", "(none)")
    data = b"".join(os.fsencode(word)[: _UTS_LEN - 1].ljust(_UTS_LEN, b"\0") for word in words)
    call.caller.copy_to_user(call.arguments[0], data)
    return 0


def init_module_call(call: NotifiedCall) -> int:
    """init_module(image, length, arguments)."""
    image, length, arguments, *_ = call.arguments
    data = call.caller.copy_from_user(image, min(length, _IMAGE_LIMIT))
    return _init(call, data, call.path(arguments))


def finit_module_call(call: NotifiedCall) -> int:
    """finit_module(fd, arguments, flags)."""
    number, arguments, *_ = call.arguments
    call.hand_over()
    fd = open_fd(call, number & 0xFFFF_FFFF)
    try:
        with open(f"/proc/self/fd/{fd}", "rb") as file:
            data = file.read(_IMAGE_LIMIT)
    except OSError as error:
        raise Errno(error.errno or errno.EBADF) from None
    finally:
        os.close(fd)
    return _init(call, data, call.path(arguments))


def _init(call: NotifiedCall, image: bytes, arguments: str) -> int:
    """ENOEXEC for what is no module."""
    name = _NAME.search(image)
    if image[:4] != b"\x7fELF" or name is None:
        raise Errno(errno.ENOEXEC)
    module, words = name[1].decode(errors="replace"), os.fsencode(arguments)
    return _do(
        call, "init_module", module, lambda: init_module(call.kernel, call.caller, module, words)
    )


def delete_module_call(call: NotifiedCall) -> int:
    """delete_module(name, flags)."""
    name = call.path(call.arguments[0])[: MODULE_NAME_LEN - 1]
    return _do(call, "delete_module", name, lambda: delete_module(call.kernel, call.caller, name))


def _do(call: NotifiedCall, operation: str, name: str, function: Callable[[], None]) -> int:
    """A call of the machine, which its observers see."""
    kernel = call.kernel
    with kernel.lock:
        kernel.trace.observe(Event(operation, name, (), call.caller.task), function)
    return 0
