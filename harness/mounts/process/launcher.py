# SPDX-License-Identifier: Apache-2.0
"""The mount's other half: makes the namespaces, holds them, and starts programs in them.

Run as a script of its own, because a process with threads cannot enter a user namespace. It imports
little (``_socket`` for ``socket``, neither ``typing`` nor ``contextlib``), because nothing else is
slow about starting a program.

Processes. The *launcher* lives in the new user and mount namespaces and in the model's pid
namespace, so that FUSE requests carry host process ids. For each command it clones an *init* into
a pid and a mount namespace of their own; the init mounts a matching /proc, forks the command,
reaps whatever is orphaned, and when the command ends, kills and names what it left behind.

Nobody outlives the model. The launcher watches the model's pidfd (an inherited copy of a socket
cannot fool it) and dies with it; an init is killed when the launcher dies (PR_SET_PDEATHSIG), and
with an init the kernel kills its whole pid namespace. Then the mount namespace is gone too.

Messages are marshalled tuples on stream sockets, file descriptors travel beside them. Model and
launcher (fd 3):

    launcher: ("unshared",)                      model: ("mapped", mount options)
    launcher: ("network",) + [netlink socket], if its arguments ask for a network of its own
    launcher: ("fuse",) + [fd of /dev/fuse]      model: ("cover", ...) of Launcher.cover
    launcher: ("ready", device number) or ("failed", what, errno) at any point
    model: ("spawn", argv, env, cwd, uid, nested, filter) + [child's socket, failure pipe, 0, 1, 2]
    model: ("open", name)    launcher: ("opened",) + [fd], then ("closed",); or ("failed", ...)

Model and init, on the child's socket; the kernel adds who sent it:

    init: ("init", errno of mounting /proc)
    command: ("command",) + [filter's listener]  model: one byte, to go on
    init: ("exit", wait status, names of what was left behind)

The command closes the failure pipe by exec, or writes ``what`` and an errno into it.
"""

from __future__ import annotations

import _socket
import ctypes
import marshal
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

CONTROL_FD = 3
#: A name that the server never finds, and answers only after all requests before it.
BARRIER = ".barrier"
#: A file that is only ever looked up, so that it stays known to the host's kernel.
ANNOUNCED = ".announced"
#: Directories that the mount may be on for a moment, before its parts are where they belong.
STAGES = ("/sys/fs", "/mnt", "/tmp", "/run")

_MS_NODEV, _MS_NOSUID_NODEV, _MS_NOSUID_NODEV_NOEXEC, _MS_REMOUNT = 4, 2 | 4, 2 | 4 | 8, 32
_MS_RDONLY_ALL = 1 | _MS_NOSUID_NODEV_NOEXEC
_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 4096, 16384, 1 << 18, 2
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
_CLONE_NEWNET = 0x40000000
_SYS_CLONE = 56  # x86-64
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
_NETLINK_KOBJECT_UEVENT = 15
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_PR_SET_PDEATHSIG = 1
_SIG_DFL, _SIG_IGN, _SIG_SETMASK = 0, 1, 2
_ENOENT = 2
_SIGKILL, _SIGCHLD, _SIGPIPE, _SIGXFSZ = 9, 17, 13, 25
#: Signals that a terminal, a supervisor or a shell sends to the whole process group: HUP, INT,
#: QUIT, USR1, USR2, TERM, TSTP, TTIN, TTOU. They are for the command.
FOR_COMMAND = (1, 2, 3, 10, 12, 15, 20, 21, 22)

# PyDLL keeps the interpreter's lock, so that its state is whole in a process made by clone().
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.signal.restype = ctypes.c_void_p
_libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]


#: What a message to a model that is gone ends in.
_MODEL_GONE = (BrokenPipeError, ConnectionResetError)


class Failed(Exception):
    """A step failed: what was tried, and the errno."""


def _check(what: str, result: int) -> int:
    if result < 0:
        raise Failed(what, ctypes.get_errno())
    return result


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind is not None else None,
        flags,
        data.encode(),
    )
    _check(f"mount {target}", result)


def send(sock: _socket.socket, message: tuple[Any, ...], fds: tuple[int, ...] = ()) -> None:
    """Send one message with its file descriptors.

    Whole, if it is not long: whatever ends us, or interrupts us, comes before it or after it.
    """
    content = marshal.dumps(message)
    data = len(content).to_bytes(4, sys.byteorder) + content
    rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else []
    # The descriptors arrive with the first byte.
    sent = sock.sendmsg([data], ancillary)
    if sent < len(data):
        sock.sendall(data[sent:])


def receive(sock: _socket.socket) -> tuple[tuple[Any, ...], list[int], int]:
    """The next message, its file descriptors, and who sent it if the socket was told to ask.

    An empty message when the other side is gone.
    """
    space = _socket.CMSG_SPACE(8 * 4) + _socket.CMSG_SPACE(12)
    head, ancillary, _, _ = sock.recvmsg(4, space, _socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    sender = 0
    for _, kind, content in ancillary:
        numbers = [
            int.from_bytes(content[at : at + 4], sys.byteorder)
            for at in range(0, len(content) - 3, 4)
        ]
        if kind == _socket.SCM_RIGHTS:
            fds += numbers
        else:
            sender = numbers[0]
    data = _receive_all(sock, int.from_bytes(head, sys.byteorder)) if len(head) == 4 else b""
    return (marshal.loads(data) if data else ()), fds, sender


def _receive_all(sock: _socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            return b""
        data += part
    return data


# --- the launcher


def _make_mount(control: _socket.socket) -> int:
    """Make the namespaces and the staged mount; returns an O_PATH fd of the mount's root."""
    network = _CLONE_NEWNET if "network" in sys.argv[2:] else 0
    _check("unshare", _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | network))
    send(control, ("unshared",))
    _, options = _next(control)
    if network:
        _make_network(control)
    _mount("", "/", None, _MS_REC | _MS_PRIVATE)
    try:
        # Here, not in the model: FUSE wants it opened in the namespace that mounts.
        fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Failed("open /dev/fuse", error.errno) from None
    stage = _stage()
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,{options}"
    _mount("uapi-harness", stage, "fuse.uapi-harness", _MS_NOSUID_NODEV_NOEXEC, options)
    # Not before: until it is mounted, who reads it is told EPERM, as after its end.
    send(control, ("fuse",), (fuse,))
    # Another copy of it would keep the connection alive when the model is killed.
    os.close(fuse)
    return os.open(stage, os.O_PATH | os.O_CLOEXEC)


def _stage() -> str:
    """Where something is mounted until it is where it belongs."""
    return next(path for path in STAGES if os.path.isdir(path))


def _make_network(control: _socket.socket) -> None:
    """Bring up the loopback device, and give the model a way to send uevents."""
    device = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    request = b"lo".ljust(16, b"\0") + _IFF_UP.to_bytes(24, sys.byteorder)
    _check("bring up lo", _libc.ioctl(device.fileno(), _SIOCSIFFLAGS, request))
    device.close()
    uevents = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _NETLINK_KOBJECT_UEVENT)
    send(control, ("network",), (uevents.fileno(),))
    uevents.close()


def _next(control: _socket.socket) -> tuple[Any, ...]:
    """The model's next message; without one, there is nothing more to do."""
    message, _, _ = receive(control)
    if not message:
        raise SystemExit(0)
    return message


def _cover(root: int, covered: list[str], binds: list[str]) -> None:
    """Put parts of the staged mount over the host's directories, and host entries into them."""
    stage = os.readlink(f"/proc/self/fd/{root}")
    real = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in covered}
    for path in covered:
        _mount(f"/proc/self/fd/{root}{path}", path, None, _MS_BIND)
    # Files without a name are opened below it, which a program may map for execution.
    _mount("", stage, None, _MS_REMOUNT | _MS_BIND | _MS_NOSUID_NODEV)
    _check("umount", _libc.umount2(stage.encode(), _MNT_DETACH))
    for directory in {os.path.dirname(path) for path in binds}:
        # One READDIRPLUS tells the kernel what a LOOKUP for each entry would.
        os.listdir(directory)
    for path in binds:
        top = next(top for top in covered if path.startswith(f"{top}/"))
        _bind_real(f"/proc/self/fd/{real[top]}{path[len(top) :]}", path)
    for fd in real.values():
        os.close(fd)


def _surround(
    places: list[Any], layers: list[Any], guarded: list[str], proc: list[str]
) -> tuple[int, ...]:
    """What Surroundings has; returns fds of the files of /proc, which the model fills."""
    for place in places:
        _make_private(*place)
    for layer in layers:
        _add_layer(*layer)
    for path in guarded:
        _guard(path)
    return _make_proc_files(proc) if proc else ()


def _make_proc_files(names: list[str]) -> tuple[int, ...]:
    """Cover files of /proc by files of nobody's: they have no name that could be left over."""
    stage = _stage()
    _mount("tmpfs", stage, "tmpfs", _MS_NOSUID_NODEV_NOEXEC)
    fds = []
    for name in names:
        fd = os.open(f"{stage}/{name}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        os.fchmod(fd, 0o444)
        fds.append(fd)
        if not os.path.exists(f"/proc/{name}"):
            continue  # nor has the host such a file
        _mount(f"{stage}/{name}", f"/proc/{name}", None, _MS_BIND)
        # Root in there could write into it; fds that are open already can.
        _mount("", f"/proc/{name}", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY_ALL)
        _proc_files.append(name)
    _check("umount", _libc.umount2(stage.encode(), _MNT_DETACH))
    return tuple(fds)


def _make_private(
    path: str,
    directories: list[str],
    files: list[str],
    links: list[tuple[str, str]],
    new: list[str],
) -> None:
    """Cover ``path`` by a file system of the machine's own, with these of the host's entries."""
    real = os.open(path, os.O_PATH | os.O_CLOEXEC)
    _mount("tmpfs", path, "tmpfs", _MS_NOSUID_NODEV, "mode=755")
    for name in (*new, *directories):
        os.mkdir(f"{path}/{name}")
    for name in files:
        os.close(os.open(f"{path}/{name}", os.O_CREAT | os.O_CLOEXEC))
    for name in (*directories, *files):
        _bind_real(f"/proc/self/fd/{real}/{name}", f"{path}/{name}")
    for name, target in links:
        os.symlink(target, f"{path}/{name}")
    os.close(real)


def _add_layer(path: str, folder: str) -> None:
    """Show in ``path`` what is in ``folder`` as well."""
    lower = ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in (folder, path))
    _mount("overlay", path, "overlay", _MS_NODEV, f"lowerdir={lower}")


def _guard(path: str) -> None:
    """Make what is bound below ``path`` read-only, but not what is mounted there itself.

    A device can be written to all the same, but its node cannot be changed.
    """
    for flags, change in ((_AT_RECURSIVE, (_MOUNT_ATTR_RDONLY, 0)), (0, (0, _MOUNT_ATTR_RDONLY))):
        attributes = b"".join(bits.to_bytes(8, sys.byteorder) for bits in (*change, 0, 0))
        result = _libc.syscall(
            _SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, attributes, len(attributes)
        )
        _check(f"guard {path}", result)


def _bind_real(source: str, target: str) -> None:
    try:
        _mount(source, target, None, _MS_BIND | _MS_REC)
    except Failed as failed:
        if failed.args[1] not in (2, 13):  # ENOENT: it has gone; EACCES: nor could the program
            raise


def _watch(control: _socket.socket, model: int, root: int) -> None:
    """Start programs until the model is gone."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(model, select.POLLIN)
    while all(fd != model for fd, _ in poll.poll()):
        message, fds, _ = receive(control)
        if not message:
            return
        if message[0] == "open":
            _open(control, root, message[1])
        else:
            _spawn(control, root, message, fds)
        for fd in fds:
            os.close(fd)


def _open(control: _socket.socket, root: int, name: str) -> None:
    """Open a file below the mount's root, which no program sees, for the model."""
    try:
        fd = os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=root)
    except OSError as error:
        send(control, ("failed", f"open {name}", error.errno))
        return
    send(control, ("opened",), (fd,))
    os.close(fd)
    # Not before: the program that gets it may close it at once, which must be the last close.
    send(control, ("closed",))


def _spawn(control: _socket.socket, root: int, message: tuple[Any, ...], fds: list[int]) -> None:
    flags = _CLONE_NEWPID | _CLONE_NEWNS | _SIGCHLD
    launcher = os.pidfd_open(os.getpid())
    pid = _libc.syscall(_SYS_CLONE, flags, 0, 0, 0, 0)
    if pid == 0:
        try:
            control.close()
            _init(launcher, root, message, fds)
        finally:
            _die()
    os.close(launcher)
    if pid < 0:
        os.write(fds[1], b"clone %d" % ctypes.get_errno())


def _die() -> NoReturn:
    """The end of a process that did not become what it should: not quietly, if anybody cares."""
    error = sys.exc_info()[1]
    if error is not None and not isinstance(error, _MODEL_GONE):
        sys.excepthook(*sys.exc_info())
    os._exit(125)


def main() -> None:
    """Run the launcher. Its arguments: the model's process id, and ``network`` if wanted."""
    try:
        _launch()
    except (*_MODEL_GONE, ProcessLookupError):
        pass  # nobody is left to be told


def _launch() -> None:
    os.closerange(CONTROL_FD + 1, 1 << 20)
    os.set_inheritable(CONTROL_FD, False)
    control = _socket.socket(fileno=CONTROL_FD)
    model = os.pidfd_open(int(sys.argv[1]))
    inherited = {number: _libc.signal(number, _SIG_IGN) for number in FOR_COMMAND}
    _dispositions.update(inherited)
    # Nobody waits for an init: the kernel reaps it.
    _libc.signal(_SIGCHLD, _SIG_IGN)
    # They were blocked until here, where they are ignored.
    _libc.sigprocmask(_SIG_SETMASK, bytes(128), None)
    try:
        root = _make_mount(control)
        _, covered, binds, surroundings = _next(control)
        _cover(root, covered, binds)
        fds = _surround(*surroundings) if surroundings else ()
        announced = os.open(ANNOUNCED, os.O_PATH | os.O_CLOEXEC, dir_fd=root)
        send(control, ("ready", os.fstat(announced).st_dev), fds)
        for fd in fds:
            os.close(fd)
        _watch(control, model, root)
    except Failed as failed:
        send(control, ("failed", *failed.args))
    except OSError as error:
        send(control, ("failed", str(error.filename or "launcher"), error.errno or 0))


#: Names of files of /proc that are covered in ours, and are to be in each.
_proc_files: list[str] = []
#: What the launcher's parent did with the signals that the launcher ignores.
_dispositions: dict[int, int | None] = {}


# --- an init and its command


def _init(launcher: int, root: int, message: tuple[Any, ...], fds: list[int]) -> None:
    """Process 1 of a command's pid namespace; ``launcher`` is the pidfd of its parent."""
    _check("prctl", _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL))
    if select.select([launcher], [], [], 0)[0]:
        return  # it ended before, and nothing will tell us
    os.close(launcher)
    _libc.signal(_SIGCHLD, _SIG_DFL)
    sock = _socket.socket(fileno=fds[0])
    no_proc = _mount_proc()
    # Held, as a program may unmount it, and look at the host's.
    proc = os.open("/proc", os.O_RDONLY | os.O_CLOEXEC)
    send(sock, ("init", no_proc))
    try:
        command = os.fork()
    except OSError as error:
        os.write(fds[1], b"fork %d" % (error.errno or 0))
        return
    if command == 0:
        try:
            _command(sock, message, fds)
        finally:
            _die()
    for fd in fds[1:]:
        os.close(fd)
    status = _reap(command)
    left = [] if no_proc else _running_names(proc)
    _kill_rest()
    try:
        # Files that were closed by dying are released before the model hears of the end.
        os.stat(BARRIER, dir_fd=root)
    except OSError:
        pass
    send(sock, ("exit", status, left))
    # Stay until the model has heard: it holds this process id to be ours.
    sock.recv(1)
    os._exit(0)


def _mount_proc() -> int:
    """0, or the errno if this host lets only the old /proc stay."""
    covers = {name: os.open(f"/proc/{name}", os.O_PATH | os.O_CLOEXEC) for name in _proc_files}
    try:
        _mount("proc", "/proc", "proc", _MS_NOSUID_NODEV_NOEXEC)
    except Failed as failed:
        return int(failed.args[1])
    for name, fd in covers.items():
        _bind_real(f"/proc/self/fd/{fd}", f"/proc/{name}")
        os.close(fd)
    return 0


def _reap(command: int) -> int:
    while True:
        pid, status = os.wait()
        if pid == command:
            return status


def _kill_rest() -> None:
    """Kill every other process of this pid namespace."""
    try:
        os.kill(-1, _SIGKILL)
        while True:
            os.wait()
    except (ChildProcessError, ProcessLookupError):
        return


def _running_names(proc: int) -> list[str]:
    """The names of all other processes of this pid namespace, from its /proc."""
    names = []
    for pid in os.listdir(proc):
        if pid.isdecimal() and pid != "1":
            try:
                fd = os.open(f"{pid}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
                with open(fd, errors="replace") as file:
                    text = file.read()
            except OSError:
                continue
            if text[text.rindex(")") + 2] not in "ZX":
                names.append(text[text.index("(") + 1 : text.rindex(")")])
    return names


def _command(sock: _socket.socket, message: tuple[Any, ...], fds: list[int]) -> None:
    """Become the command, or write what failed into the pipe."""
    _, argv, env, cwd, uid, nested, program = message
    failure = fds[1]
    try:
        _announce(sock, program)
        if not sock.recv(1):
            return  # the model is gone
        for number, fd in enumerate(fds[2:5]):
            os.dup2(fd, number)
        if cwd is not None:
            os.chdir(cwd)  # where its caller is, whether or not the user could go there
        _become(uid, nested=nested)
        _restore_signals()
        _execute(argv, env)
    except Failed as failed:
        os.write(failure, b"%s %d" % (failed.args[0].encode(), failed.args[1]))
    except OSError as error:
        what = b"chdir" if error.filename == cwd else b"exec"
        os.write(failure, b"%s %d" % (what, error.errno or 0))


def _announce(sock: _socket.socket, program: bytes) -> None:
    """Tell the model of the command; from here on under the filter ``program``, if there is one."""
    if not program:
        send(sock, ("command",))
        return
    # The one file of the package that is made to be used by such as we are.
    sys.path.append(os.path.join(os.path.dirname(__file__), "../../seccomp"))
    starter: Any = __import__("starter")
    try:
        listener = starter.install(program, privileged=True)
    except OSError as error:
        raise Failed("seccomp", error.errno or 0) from None
    send(sock, ("command",), (listener,))
    os.close(listener)


def _execute(argv: list[bytes], env: dict[bytes, bytes]) -> NoReturn:
    """As os.execvpe, which imports something, maybe from where this user may not read."""
    if not argv[0]:
        raise FileNotFoundError(_ENOENT, "")  # Python refuses to ask the kernel
    directories = env.get(b"PATH", os.defpath.encode()).split(b":")
    candidates = [directory + b"/" + argv[0] for directory in directories]
    denied = None
    for path in [argv[0]] if b"/" in argv[0] else candidates:
        try:
            os.execve(path, argv, env)
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except PermissionError as error:
            denied = error
    raise denied or missing


def _become(uid: int, *, nested: bool) -> None:
    """Be user and group ``uid``, in a namespace of one's own if there is but one id to have."""
    if nested:
        _check("unshare", _libc.unshare(_CLONE_NEWUSER))
        for kind in ("uid", "gid"):
            with open(f"/proc/self/{kind}_map", "w") as file:
                file.write(f"{uid} 0 1")
    elif uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _restore_signals() -> None:
    for number, disposition in _dispositions.items():
        _libc.signal(number, disposition)
    for number in (_SIGPIPE, _SIGXFSZ, _SIGCHLD):
        _libc.signal(number, _SIG_DFL)


if __name__ == "__main__":
    main()
