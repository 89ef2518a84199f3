# SPDX-License-Identifier: Apache-2.0
"""The module ``os`` as code in an in-process mount has it.

Each method is the function of that name: it makes the system call in the machine if the path or fd
is the machine's, else calls the real function with the arguments as they came.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from harness.kernel.errors import Errno
from harness.kernel.system_calls import UnableError, ownership
from harness.kernel.task import Credentials
from harness.kernel.vfs import Changes, Node, Stat
from harness.mounts.inprocess.calls import InProcessCalls, OnHost
from harness.mounts.inprocess.children import Children, UnmodelledError
from harness.mounts.inprocess.copies import deep
from harness.mounts.overlay import HostNode
from harness.uapi.fs import CAP_SETUID

Path = Any

#: Calls of the model are refused where they would not be the machine's any more.
_FORKED = "a forked child has no part in an in-process mount: start a program instead"


class DirEntry:
    """What scandir yields for a directory of the machine, as os.DirEntry."""

    def __init__(self, fake: FakeOs, directory: Path, name: str, node: Node) -> None:
        raw = isinstance(directory, bytes)
        self.name = os.fsencode(name) if raw else name
        by_fd = isinstance(directory, int)
        self.path = self.name if by_fd else os.path.join(directory, self.name)
        self._fake = fake
        self._directory = directory if by_fd else None
        self._node = node

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def __fspath__(self) -> str | bytes:
        return self.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """See os.DirEntry."""
        return self._fake.stat(self.path, dir_fd=self._directory, follow_symlinks=follow_symlinks)

    def inode(self) -> int:
        """See os.DirEntry."""
        return self.stat(follow_symlinks=False).st_ino

    def is_symlink(self) -> bool:
        """See os.DirEntry."""
        return stat.S_ISLNK(self._node.mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """See os.DirEntry."""
        return self._is(stat.S_ISDIR, follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """See os.DirEntry."""
        return self._is(stat.S_ISREG, follow_symlinks=follow_symlinks)

    def is_junction(self) -> bool:
        """See os.DirEntry."""
        return False

    def _is(self, kind: Callable[[int], bool], *, follow_symlinks: bool) -> bool:
        if not self.is_symlink() and not isinstance(self._node, HostNode):
            return kind(self._node.mode)
        try:
            return kind(self.stat(follow_symlinks=follow_symlinks).st_mode)
        except FileNotFoundError:
            return False


class _Scan:
    """The iterator of scandir, which is a context manager too."""

    def __init__(self, entries: list[DirEntry]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[DirEntry]:
        return self

    def __next__(self) -> DirEntry:
        return next(self._entries)

    def __enter__(self) -> _Scan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """What is left is not yielded."""
        self._entries = iter(())


def _named(path: Path) -> str:
    """A path as text, or "" for what is none; the real function complains about that."""
    try:
        return os.fsdecode(path)
    except TypeError:
        return ""


class FakeOs:
    """The replaced functions of ``os``."""

    def __init__(self, calls: InProcessCalls, children: Children) -> None:
        self._calls = calls
        self._fds = calls.caller.descriptions
        self._children = children
        #: Where we are, if that is a directory of the machine.
        self._cwd: str | None = None
        self._devices = {name: self._device(f"/{name}") for name in ("sys", "dev")}
        #: Set in the child of a fork.
        self.forked = False

    @staticmethod
    def _device(path: str) -> int:
        try:
            return os.stat(path).st_dev
        except OSError:
            return 0

    # --- whose it is

    def owns(self, fd: Any) -> bool:
        """Whether ``fd`` is the machine's."""
        return isinstance(fd, int) and fd in self._fds

    def _absolute(self, path: Path, dir_fd: int | None) -> str | None:
        """The absolute path if it may be the machine's, else None."""
        text = _named(path)
        if not text:
            return None
        if not text.startswith("/"):
            base = self._base(dir_fd)
            if base is None:
                return None
            text = f"{base}/{text}"
        look = os.path.normpath(text) if ".." in text or "//" in text or "/./" in text else text
        if look.startswith(("/sys", "/dev")) and look[4:5] in ("", "/"):
            return text
        return None

    def _base(self, dir_fd: int | None) -> str | None:
        """What a relative path is relative to, if that may be the machine's."""
        if dir_fd is not None:
            return self._fds[dir_fd].open_file.node.path() if self.owns(dir_fd) else None
        if self._cwd is not None:
            return self._cwd
        try:
            return os.getcwd()
        except OSError:
            return None

    def in_machine(self, function: Callable[[], Any], *shown: Path) -> Any:
        """The answer of the machine, errors as the real function raises them."""
        if self.forked:
            raise UnmodelledError(errno.EOPNOTSUPP, _FORKED)
        try:
            return function()
        except Errno as error:
            number = error.errno
            names = [shown[0], None, shown[1]] if len(shown) == 2 else list(shown)
            raise OSError(number, os.strerror(number), *names) from None
        except UnableError as problem:
            raise UnmodelledError(errno.EOPNOTSUPP, str(problem)) from None

    def concerns(self, file: Any, opener: Any = None) -> bool:
        """Whether a file to open may be the machine's."""
        if isinstance(file, int):
            return self.owns(file)
        return opener is not None or self._absolute(file, None) is not None or self._cwd is not None

    def _at(
        self,
        path: Path,
        dir_fd: int | None,
        machine: Callable[[str], Any],
        real: Callable[[Path], Any],
    ) -> Any:
        """``machine(absolute path)`` if it is the machine's, else ``real(path)``."""
        absolute = self._absolute(path, dir_fd)
        if absolute is None:
            if self.owns(dir_fd) or (self._cwd and not _named(path).startswith("/")):
                path = os.path.normpath(f"{self._base(dir_fd)}/{_named(path)}")
            return real(path)
        try:
            return self.in_machine(lambda: machine(absolute), path)
        except OnHost as host:
            try:
                return real(host.path)
            except OSError as error:
                error.filename = path
                raise

    def _with(
        self, fd: int, machine: Callable[[int], Any], real: Callable[..., Any], *arguments: Any
    ) -> Any:
        """``machine(fd)`` if it is the machine's, else the real function."""
        if not self.owns(fd):
            return real(fd, *arguments)
        return self.in_machine(lambda: machine(fd))

    @staticmethod
    def _dir_fd(dir_fd: int | None, path: Path) -> dict[str, int]:
        """The argument dir_fd for a real function; not with a path that is absolute anyway."""
        return {} if dir_fd is None or _named(path).startswith("/") else {"dir_fd": dir_fd}

    # --- open files

    def open(self, path: Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def machine(absolute: str) -> int:
            return self._calls.open(absolute, flags, mode)

        def real(path: Path) -> int:
            return os.open(path, flags, mode, **self._dir_fd(dir_fd, path))

        return self._at(path, dir_fd, machine, real)  # type: ignore[no-any-return]

    def close(self, fd: int) -> None:
        self._with(fd, self._calls.close, os.close)

    def closerange(self, low: int, high: int, /) -> None:
        for fd in [fd for fd in self._fds if low <= fd < high]:
            self.close(fd)
        os.closerange(low, high)

    def dup(self, fd: int, /) -> int:
        return self._with(fd, self._calls.dup, os.dup)  # type: ignore[no-any-return]

    def dup2(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        if fd == fd2 and self.owns(fd):
            return fd2
        if self.owns(fd2):
            self.close(fd2)
        if not self.owns(fd):
            return os.dup2(fd, fd2, inheritable)
        description = self._fds[fd]
        description.references += 1
        self._calls.caller.put(fd2, description)
        return fd2

    def read(self, fd: int, length: int, /) -> bytes:
        return self._with(fd, lambda fd: self._calls.read(fd, length), os.read, length)  # type: ignore[no-any-return]

    def write(self, fd: int, data: Any, /) -> int:
        def machine(fd: int) -> int:
            return self._calls.write(fd, bytes(data))

        return self._with(fd, machine, os.write, data)  # type: ignore[no-any-return]

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        def machine(fd: int) -> bytes:
            return self._calls.pread(fd, length, offset)

        return self._with(fd, machine, os.pread, length, offset)  # type: ignore[no-any-return]

    def pwrite(self, fd: int, data: Any, offset: int, /) -> int:
        def machine(fd: int) -> int:
            return self._calls.pwrite(fd, bytes(data), offset)

        return self._with(fd, machine, os.pwrite, data, offset)  # type: ignore[no-any-return]

    def lseek(self, fd: int, position: int, whence: int, /) -> int:
        def machine(fd: int) -> int:
            return self._calls.lseek(fd, position, whence)

        return self._with(fd, machine, os.lseek, position, whence)  # type: ignore[no-any-return]

    def fstat(self, fd: int) -> os.stat_result:
        return self._with(fd, self._fstat, os.fstat)  # type: ignore[no-any-return]

    def _fstat(self, fd: int) -> os.stat_result:
        node = self._fds[fd].open_file.node
        return self._stat_result(self._calls.fstat(fd), node.path())

    def ftruncate(self, fd: int, length: int, /) -> None:
        self._with(fd, lambda fd: self._calls.ftruncate(fd, length), os.ftruncate, length)

    def fsync(self, fd: int) -> None:
        self._with(fd, self._calls.fsync, os.fsync)

    def fdatasync(self, fd: int) -> None:
        self._with(fd, self._calls.fsync, os.fdatasync)

    def fchmod(self, fd: int, mode: int) -> None:
        self._with(fd, lambda fd: self._calls.fchange(fd, Changes(mode=mode)), os.fchmod, mode)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        def machine(fd: int) -> None:
            self._calls.fchange(fd, ownership(uid, gid))

        self._with(fd, machine, os.fchown, uid, gid)

    def isatty(self, fd: int, /) -> bool:
        return not self.owns(fd) and os.isatty(fd)

    # --- names

    def _stat_result(self, found: Stat, path: str) -> os.stat_result:
        device = self._devices.get(path.split("/")[1] if path.startswith("/") else "", 0)
        numbers = (found.ino, device, found.nlink, found.uid, found.gid, found.size)
        more = {"st_blksize": 4096, "st_blocks": 0, "st_rdev": found.rdev}
        times = {f"st_{which}time": 0.0 for which in "amc"}
        nanoseconds = {f"st_{which}time_ns": 0 for which in "amc"}
        return os.stat_result((found.mode, *numbers, 0, 0, 0), {**times, **nanoseconds, **more})

    def stat(
        self, path: Path, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        if self.owns(path):
            return self.fstat(path)

        def machine(absolute: str) -> os.stat_result:
            return self._stat_result(self._calls.stat(absolute, follow=follow_symlinks), absolute)

        def real(path: Path) -> os.stat_result:
            return os.stat(path, follow_symlinks=follow_symlinks, **self._dir_fd(dir_fd, path))

        return self._at(path, dir_fd, machine, real)  # type: ignore[no-any-return]

    def lstat(self, path: Path, *, dir_fd: int | None = None) -> os.stat_result:
        return self.stat(path, dir_fd=dir_fd, follow_symlinks=False)

    def access(
        self,
        path: Path,
        mode: int,
        *,
        dir_fd: int | None = None,
        effective_ids: bool = False,
        follow_symlinks: bool = True,
    ) -> bool:
        def machine(absolute: str) -> bool:
            try:
                self._calls.access(absolute, mode, follow=follow_symlinks)
            except Errno:
                return False
            return True

        def real(path: Path) -> bool:
            options = self._dir_fd(dir_fd, path)
            return os.access(
                path,
                mode,
                effective_ids=effective_ids,
                follow_symlinks=follow_symlinks,
                **options,
            )

        return self._at(path, dir_fd, machine, real)  # type: ignore[no-any-return]

    def readlink(self, path: Path, *, dir_fd: int | None = None) -> Any:
        def machine(absolute: str) -> str | bytes:
            target = self._calls.readlink(absolute)
            return os.fsencode(target) if isinstance(path, bytes) else target

        def real(path: Path) -> Any:
            return os.readlink(path, **self._dir_fd(dir_fd, path))

        return self._at(path, dir_fd, machine, real)

    def _entries(self, path: Path) -> list[tuple[str, Node]] | None:
        """The entries of a directory of the machine, in order; None if it is none."""
        if self.owns(path):
            return self.in_machine(lambda: self._calls.iterate_dir(path), path)[2:]  # type: ignore[no-any-return]

        def machine(absolute: str) -> list[tuple[str, Node]]:
            fd = self._calls.open(absolute, os.O_RDONLY | os.O_DIRECTORY, 0)
            try:
                return self._calls.iterate_dir(fd)[2:]
            finally:
                self.close(fd)

        return self._at(path, None, machine, lambda _: None)  # type: ignore[no-any-return]

    def listdir(self, path: Path = ".") -> list[Any]:
        path = "." if path is None else path
        entries = self._entries(path)
        if entries is None:
            return os.listdir(self.host_path(path))
        if isinstance(path, bytes):
            return [os.fsencode(name) for name, _ in entries]
        return [name for name, _ in entries]

    def scandir(self, path: Path = ".") -> Any:
        path = "." if path is None else path
        entries = self._entries(path)
        if entries is None:
            return os.scandir(self.host_path(path))
        shown = path if isinstance(path, bytes | int) else os.fspath(path)
        return _Scan([DirEntry(self, shown, name, node) for name, node in entries])

    def host_path(self, path: Path) -> Path:
        """What the host calls a path that is not the machine's."""

        def machine(absolute: str) -> str:
            self._calls.walk(absolute)
            return absolute

        return self._at(path, None, machine, lambda real: real)

    def mkdir(self, path: Path, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        def machine(absolute: str) -> None:
            self._calls.mkdir(absolute, mode)

        def real(path: Path) -> None:
            os.mkdir(path, mode, **self._dir_fd(dir_fd, path))

        self._at(path, dir_fd, machine, real)

    def rmdir(self, path: Path, *, dir_fd: int | None = None) -> None:
        self._at(
            path,
            dir_fd,
            self._calls.rmdir,
            lambda path: os.rmdir(path, **self._dir_fd(dir_fd, path)),
        )

    def unlink(self, path: Path, *, dir_fd: int | None = None) -> None:
        self._at(
            path,
            dir_fd,
            self._calls.unlink,
            lambda path: os.unlink(path, **self._dir_fd(dir_fd, path)),
        )

    remove = unlink

    def symlink(
        self,
        src: Path,
        dst: Path,
        target_is_directory: bool = False,
        *,
        dir_fd: int | None = None,
    ) -> None:
        def machine(absolute: str) -> None:
            # configfs looks the target up at once, from here.
            self._calls.caller.cwd = self.getcwd()
            self._calls.symlink(_named(src), absolute)

        def real(path: Path) -> None:
            os.symlink(src, path, target_is_directory, **self._dir_fd(dir_fd, path))

        self._at(dst, dir_fd, machine, real)

    def _two(
        self,
        old: Path,
        new: Path,
        fds: tuple[int | None, int | None],
        machine: Callable[[str, str], None],
        real: Callable[[Path, Path], None],
    ) -> None:
        """A call with two paths: both are the machine's, or both the host's, or EXDEV."""
        first, second = self._absolute(old, fds[0]), self._absolute(new, fds[1])
        mine = [path is not None and self._mine(path) for path in (first, second)]
        if not any(mine):
            real(old, new)
        elif all(mine):
            assert first is not None
            assert second is not None
            self.in_machine(lambda: machine(first, second), old, new)
        else:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), old, None, new)

    def _mine(self, absolute: str) -> bool:
        """Whether the directory that a name is in, is the machine's."""
        try:
            self._calls.walk(absolute.rstrip("/").rpartition("/")[0] or "/", follow=True)
        except OnHost:
            return False
        except Errno:
            return True
        return True

    def rename(
        self,
        src: Path,
        dst: Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        def real(old: Path, new: Path) -> None:
            os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        self._two(src, dst, (src_dir_fd, dst_dir_fd), self._calls.rename, real)

    replace = rename

    def link(
        self,
        src: Path,
        dst: Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        def real(old: Path, new: Path) -> None:
            os.link(
                old,
                new,
                src_dir_fd=src_dir_fd,
                dst_dir_fd=dst_dir_fd,
                follow_symlinks=follow_symlinks,
            )

        self._two(src, dst, (src_dir_fd, dst_dir_fd), self._calls.link, real)

    def mknod(
        self, path: Path, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None
    ) -> None:
        def machine(absolute: str) -> None:
            self._calls.mknod(absolute, mode, device)

        def real(path: Path) -> None:
            os.mknod(path, mode, device, **self._dir_fd(dir_fd, path))

        self._at(path, dir_fd, machine, real)

    def truncate(self, path: Path, length: int) -> None:
        if self.owns(path):
            self.ftruncate(path, length)
            return
        self._at(
            path,
            None,
            lambda absolute: self._calls.truncate(absolute, length),
            lambda path: os.truncate(path, length),
        )

    def _change(
        self,
        path: Path,
        changes: Changes,
        dir_fd: int | None,
        follow: bool,
        real: Callable[..., None],
    ) -> None:
        if self.owns(path):
            self.in_machine(lambda: self._calls.fchange(path, changes))
            return
        self._at(
            path,
            dir_fd,
            lambda absolute: self._calls.change(absolute, changes, follow=follow),
            lambda path: real(path, follow_symlinks=follow, **self._dir_fd(dir_fd, path)),
        )

    def chmod(
        self, path: Path, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        def real(path: Path, **options: Any) -> None:
            os.chmod(path, mode, **options)

        self._change(path, Changes(mode=mode), dir_fd, follow_symlinks, real)

    def chown(
        self,
        path: Path,
        uid: int,
        gid: int,
        *,
        dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        def real(path: Path, **options: Any) -> None:
            os.chown(path, uid, gid, **options)

        self._change(path, ownership(uid, gid), dir_fd, follow_symlinks, real)

    def lchown(self, path: Path, uid: int, gid: int) -> None:
        self.chown(path, uid, gid, follow_symlinks=False)

    def utime(
        self,
        path: Path,
        times: Any = None,
        *,
        dir_fd: int | None = None,
        follow_symlinks: bool = True,
        **nanoseconds: Any,
    ) -> None:
        def real(path: Path, **options: Any) -> None:
            os.utime(path, times, **nanoseconds, **options)

        self._change(path, Changes(times=True), dir_fd, follow_symlinks, real)

    # --- where we are

    def chdir(self, path: Path) -> None:
        if self.owns(path):
            path = self._fds[path].open_file.node.path()

        def machine(absolute: str) -> None:
            directory = self._calls.walk(f"{absolute}/")
            self._calls.access(absolute, os.X_OK)
            self._cwd = directory.path()

        def real(path: Path) -> None:
            os.chdir(path)
            self._cwd = None

        self._at(path, None, machine, real)

    def fchdir(self, fd: int) -> None:
        self.chdir(fd)

    def getcwd(self) -> str:
        return os.getcwd() if self._cwd is None else self._cwd

    def getcwdb(self) -> bytes:
        return os.fsencode(self.getcwd())

    # --- who we are

    @property
    def _credentials(self) -> Credentials:
        return self._calls.caller.credentials

    def getuid(self) -> int:
        return self._credentials.uid

    def getgid(self) -> int:
        return self._credentials.gid

    geteuid, getegid = getuid, getgid

    def getgroups(self) -> list[int]:
        return sorted(self._credentials.groups)

    def _become(
        self,
        uid: int | None = None,
        gid: int | None = None,
        groups: Iterable[int] | None = None,
    ) -> None:
        """In the machine alone: what this process may do on the host stays as it is."""
        old = self._credentials
        wanted = (
            old.uid if uid is None else uid,
            old.gid if gid is None else gid,
            old.groups if groups is None else frozenset(groups),
        )
        if not old.capable(CAP_SETUID) and wanted == (old.uid, old.gid, old.groups):
            return
        self.in_machine(lambda: self._calls.setuid(*wanted))

    def setuid(self, uid: int, /) -> None:
        self._become(uid=uid)

    def setgid(self, gid: int, /) -> None:
        self._become(gid=gid)

    seteuid, setegid = setuid, setgid

    def setgroups(self, groups: Iterable[int], /) -> None:
        self._become(groups=groups)

    # --- programs

    def system(self, command: Path) -> int:
        status = self._children.popen(command, shell=True).wait()
        return status << 8 if status >= 0 else -status

    def posix_spawn(self, path: Path, argv: Any, env: Any, **options: Any) -> int:
        program, words = self._children.command(path, argv, self.getcwd())
        return os.posix_spawn(program, words, env, **options)

    def posix_spawnp(self, path: Path, argv: Any, env: Any, **options: Any) -> int:
        return self.posix_spawn(self._children.find(path, env, None), argv, env, **options)

    def fork(self) -> int:
        """A real fork, whose child can do nothing in the machine but execute a program."""
        self._children.prepare()
        pid = os.fork()
        if pid == 0:
            self.forked = True
        return pid

    def execv(self, path: Path, argv: Any, /) -> None:
        self.execve(path, argv, os.environ)

    def execve(self, path: Path, argv: Any, env: Any) -> None:
        if not self.forked:
            text = "the machine lives in this process and would be gone: fork first"
            raise UnmodelledError(errno.EOPNOTSUPP, f"exec of {_named(path)}: {text}")
        program, words = self._children.command(path, argv, self.getcwd())
        os.execve(program, words, env)


#: The names of ``os`` that FakeOs replaces.
NAMES = sorted(name for name in vars(FakeOs) if not name.startswith("_") and hasattr(os, name))
#: What stays one and the same object in the copy: classes, and the state of this process.
_KEEP = {"PathLike", "environ", "environb", "stat_result", "terminal_size", "fsencode", "fsdecode"}


def make_os(fake: FakeOs) -> Any:
    """A copy of ``os``, with ``path`` and all, that has the replaced functions."""
    functions = {name: _plain(getattr(fake, name), getattr(os, name)) for name in NAMES}
    keep = _KEEP | {name for name in vars(os) if isinstance(getattr(os, name), type)}
    copy = deep(os, functions, keep)
    supports = [name for name in dir(os) if name.startswith("supports_")]
    for name in supports:
        of = getattr(os, name)
        if isinstance(of, set):
            copy.__dict__[name] = {functions.get(real.__name__, real) for real in of}
    import genericpath
    import posixpath

    generic = deep(genericpath, {"os": copy}, set())
    shared = {name: value for name, value in vars(generic).items() if name in generic.__all__}
    copy.__dict__["path"] = deep(posixpath, {**shared, "os": copy, "genericpath": generic}, set())
    return copy


def _plain(method: Callable[..., Any], original: Any) -> Callable[..., Any]:
    """A function that looks like the original, and is one object wherever it is asked for."""

    @functools.wraps(original)
    def function(*arguments: Any, **options: Any) -> Any:
        return method(*arguments, **options)

    return function
