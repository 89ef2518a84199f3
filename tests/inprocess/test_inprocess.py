# SPDX-License-Identifier: Apache-2.0
"""Python code of this process in a machine: every way to reach a file, and nothing left behind."""

import asyncio
import errno
import fcntl
import glob
import io
import mmap
import os
import pathlib
import select
import selectors
import shutil
import signal
import subprocess
import sys
import threading
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from os import listdir as listdir_of_os

import pytest

from harness.doctor import missing_for_process_mount
from harness.mounts.inprocess import ChildrenError, InProcessMount, UnmodelledError
from harness.mounts.process import MountError, ProcessMount

DSA0 = "/sys/bus/dsa/devices/dsa0"
needs_programs = pytest.mark.skipif(
    missing_for_process_mount() is not None, reason=str(missing_for_process_mount())
)


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def error_of(function, *arguments):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its errno is what is asked for
        function(*arguments)
    return caught.value.errno


# --- reading and writing


def test_each_open_shows_and_each_write_stores(mount, machine):
    assert read(f"{DSA0}/wq0.0/size") == "0\n"
    write(f"{DSA0}/wq0.0/size", "16")
    assert machine.read(f"{DSA0}/wq0.0/size") == "16\n"
    machine.write(f"{DSA0}/wq0.0/size", "8")
    assert read(f"{DSA0}/wq0.0/size") == "8\n"


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        (f"{DSA0}/wq0.0/size", "9999", errno.EINVAL),
        (f"{DSA0}/wq0.0/group_id", "99", errno.EINVAL),
        ("/sys/bus/dsa/drivers/user/bind", "wq0.0", errno.ENXIO),
        ("/sys/bus/pci/drivers/idxd/unbind", "none", errno.ENODEV),
        (f"{DSA0}/max_groups", "1", errno.EACCES),
        (f"{DSA0}/none", "1", errno.EACCES),
    ],
)
def test_errors_are_the_machines(mount, machine, path, text, wanted):
    assert error_of(write, path, text) == wanted
    assert error_of(machine.write, path, text) == (
        errno.ENOENT if path.endswith("/none") else wanted
    )


def test_all_ways_to_read(mount, tmp_path):
    path = f"{DSA0}/max_engines"
    fd = os.open(path, os.O_RDONLY)
    with os.fdopen(fd) as file:
        assert file.fileno() == fd
        assert file.read() == "4\n"
    with open(path, "rb", buffering=0) as raw:
        assert isinstance(raw, io.RawIOBase)
        assert raw.read() == b"4\n"
    with io.FileIO(path) as raw:
        assert isinstance(raw, io.FileIO)
        assert raw.readall() == b"4\n"
    assert io.open(path).readline() == "4\n"  # noqa: SIM115, UP020
    assert pathlib.Path(path).read_text() == "4\n"
    assert pathlib.Path(path).read_bytes() == b"4\n"
    shutil.copyfile(path, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "4\n"


def test_positions(mount):
    fd = os.open(f"{DSA0}/state", os.O_RDONLY)
    assert os.pread(fd, 3, 2) == b"sab"
    assert os.read(fd, 3) == b"dis"
    assert os.lseek(fd, 0, os.SEEK_CUR) == 3
    twin = os.dup(fd)
    assert os.read(twin, 100) == b"abled\n"
    assert os.read(fd, 1) == b""
    os.close(fd)
    assert error_of(os.read, fd, 1) == errno.EBADF
    os.lseek(twin, 0, os.SEEK_SET)
    assert os.read(twin, 3) == b"dis"
    os.close(twin)


def test_modes_that_open_refuses(mount):
    for mode in ("", "rw", "z", "rbt", "rr"):
        with pytest.raises(ValueError):  # noqa: PT011 - the texts are Python's own and vary
            open(f"{DSA0}/state", mode)  # noqa: SIM115
    with pytest.raises(io.UnsupportedOperation):
        open(f"{DSA0}/wq0.0/size", "w").read()  # noqa: SIM115


# --- names


def test_names_in_every_module(mount):
    queues = {f"wq0.{n}" for n in range(8)}
    assert queues < set(os.listdir(DSA0)) == set(listdir_of_os(DSA0))
    assert {entry.name for entry in os.scandir(DSA0) if entry.is_dir()} > queues
    assert set(glob.glob(f"{DSA0}/wq*")) == {f"{DSA0}/{name}" for name in queues}
    assert {path.name for path in pathlib.Path(DSA0).glob("wq*")} == queues
    tops = {name for name, _, _ in os.walk(DSA0)}
    assert {f"{DSA0}/{name}" for name in queues} < tops
    assert os.path.realpath(DSA0) == str(pathlib.Path(DSA0).resolve())
    assert os.path.realpath(DSA0).startswith("/sys/devices/pci")
    assert os.path.islink(DSA0)
    assert not os.path.exists(f"{DSA0}/none")


def test_stat_is_the_machines(mount):
    found = os.stat(f"{DSA0}/state")
    assert (found.st_mode, found.st_size, found.st_uid) == (0o100444, 4096, 0)
    assert os.lstat(DSA0).st_mode == 0o120777
    assert os.access(f"{DSA0}/state", os.R_OK)
    assert not os.access(f"{DSA0}/state/x", os.F_OK)


def test_relative_paths(mount, monkeypatch):
    before = os.getcwd()
    os.chdir(DSA0)
    try:
        assert os.getcwd() == os.path.realpath(DSA0)
        assert read("state") == "disabled\n"
        assert "wq0.0" in os.listdir()
        os.chdir("..")
        assert "dsa0" in os.listdir(".")
    finally:
        os.chdir(before)
    assert os.getcwd() == before
    fd = os.open(DSA0, os.O_RDONLY | os.O_DIRECTORY)
    twin = os.open("state", os.O_RDONLY, dir_fd=fd)
    assert os.read(twin, 100) == b"disabled\n"
    assert "wq0.0" in os.listdir(fd)
    os.close(twin)
    os.close(fd)


def test_the_rest_is_the_hosts(mount, tmp_path):
    (tmp_path / "file").write_text("x")
    os.rename(tmp_path / "file", tmp_path / "other")
    assert os.listdir(tmp_path) == ["other"]
    assert read("/dev/null") == ""
    assert os.path.samefile("/proc/self", f"/proc/{os.getpid()}")
    assert error_of(os.rename, f"{DSA0}/state", tmp_path / "x") == errno.EXDEV
    (tmp_path / "link").symlink_to("nowhere")
    assert error_of(os.stat, tmp_path / "link") == errno.ENOENT


# --- fds


def test_fds_are_nobody_elses_and_fail_loudly(mount):
    """What is not modelled asks the host's kernel, which refuses."""
    fd = os.open(f"{DSA0}/state", os.O_RDONLY)
    with open(os.devnull) as other:
        assert other.fileno() != fd
    assert error_of(os.sendfile, fd, fd, 0, 1) == errno.EBADF
    assert error_of(os.posix_fallocate, fd, 0, 1) == errno.EBADF
    assert error_of(fcntl.flock, fd, fcntl.LOCK_SH) == errno.EBADF
    assert error_of(mmap.mmap, fd, 1, mmap.MAP_SHARED, mmap.PROT_READ) == errno.ENODEV
    with pytest.raises(UnmodelledError):
        fcntl.fcntl(fd, fcntl.F_SETLEASE, 0)
    assert error_of(os.ftruncate, fd, 0) == errno.EINVAL
    os.close(fd)


def test_ioctl(mount):
    fd = os.open(f"{DSA0}/state", os.O_RDONLY)
    assert error_of(fcntl.ioctl, fd, 0x5401, bytes(64)) == errno.ENOTTY
    assert error_of(fcntl.ioctl, fd, 0x5401, bytearray(64)) == errno.ENOTTY
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    os.close(fd)


def test_poll_hears_of_changes_from_another_thread(mount, machine):
    """state is notified when the device is enabled; a pipe is watched along with it."""
    ours, theirs = os.pipe()
    fd = os.open(f"{DSA0}/state", os.O_RDONLY)
    os.read(fd, 100)
    poll = select.poll()
    poll.register(fd, select.POLLPRI)
    poll.register(ours, select.POLLIN)
    assert poll.poll(0) == []
    timer = threading.Timer(0.05, os.write, [theirs, b"x"])
    timer.start()
    assert poll.poll(5000) == [(ours, select.POLLIN)]
    timer.join()
    assert select.select([ours], [], [fd], 0) == ([ours], [], [])
    for end in (ours, theirs, fd):
        os.close(end)


@pytest.fixture
def state(mount):
    """The state of dsa0, read: it has no news."""
    fd = os.open(f"{DSA0}/state", os.O_RDONLY)
    os.read(fd, 100)
    yield fd
    os.close(fd)


NEWS = select.EPOLLPRI | select.EPOLLERR


def test_epoll_hears_of_both_kinds(mount, machine, state):
    ours, theirs = os.pipe()
    with select.epoll() as epoll:
        assert isinstance(epoll, select.epoll)
        epoll.register(state, select.EPOLLPRI)
        epoll.register(ours, select.EPOLLIN)
        assert error_of(epoll.register, state) == errno.EEXIST
        assert epoll.poll(0) == []
        os.write(theirs, b"x")
        assert epoll.poll() == [(ours, select.EPOLLIN)]
        epoll.modify(state, select.EPOLLIN | select.EPOLLPRI)
        both = [(state, select.EPOLLIN), (ours, select.EPOLLIN)]
        assert sorted(epoll.poll()) == sorted(both)
        assert len(epoll.poll(-1, 1)) == 1
        epoll.modify(state, select.EPOLLPRI)
        epoll.unregister(ours)
        assert epoll.poll(0.001) == []
        timer = threading.Timer(0.05, machine.unplug, ["0000:6a:01.0"])
        timer.start()
        assert epoll.poll(5) == [(state, NEWS)]
        timer.join()
        assert epoll.poll(0) == [(state, NEWS)], "level-triggered"
    assert epoll.closed
    with pytest.raises(ValueError, match="closed"):
        epoll.register(state)
    for end in (ours, theirs):
        os.close(end)


def test_epoll_of_files_of_the_machine(mount, state):
    with select.epoll() as epoll:
        epoll.register(state, select.EPOLLIN | select.EPOLLONESHOT)
        assert epoll.poll() == [(state, select.EPOLLIN)]
        assert epoll.poll(0) == []
        epoll.modify(state, select.EPOLLIN)
        assert epoll.poll(0) == [(state, select.EPOLLIN)]
        with pytest.raises(UnmodelledError):
            epoll.modify(state, select.EPOLLIN | select.EPOLLET)
        epoll.unregister(state)
        assert error_of(epoll.unregister, state) == errno.ENOENT
        assert error_of(epoll.modify, state, 0) == errno.ENOENT
        other = os.dup(state)
        epoll.register(other, select.EPOLLIN)
        os.close(other)
        assert epoll.poll(0) == [], "what was closed leaves by itself"


def test_epoll_refuses_what_cannot_be_polled(mount):
    fd = os.open("/sys/devices", os.O_RDONLY)
    with select.epoll() as epoll:
        assert error_of(epoll.register, fd) == errno.EPERM
    os.close(fd)


@pytest.mark.parametrize("name", ["DefaultSelector", "PollSelector", "SelectSelector"])
def test_selectors_wait_for_files_of_the_machine(mount, state, name):
    with getattr(selectors, name)() as selector:
        key = selector.register(state, selectors.EVENT_READ, "state")
        assert selector.select(5) == [(key, selectors.EVENT_READ)]
        selector.unregister(state)
        assert selector.select(0) == []


def test_an_event_loop_reads_files_of_the_machine(mount, state):
    async def read_once():
        done = asyncio.get_running_loop().create_future()

        def readable():
            asyncio.get_running_loop().remove_reader(state)
            done.set_result(os.pread(state, 100, 0))

        asyncio.get_running_loop().add_reader(state, readable)
        return await asyncio.wait_for(done, 5)

    assert asyncio.run(read_once()) == b"disabled\n"


# --- who we are


def test_the_user_is_the_machines(mount):
    assert (os.getuid(), os.geteuid()) == (0, 0)
    os.setuid(1000)
    assert os.getuid() == 1000
    assert error_of(write, f"{DSA0}/wq0.0/size", "8") == errno.EACCES
    assert error_of(os.setuid, 0) == errno.EPERM
    assert read(f"{DSA0}/wq0.0/size") == "0\n"


# --- programs and other processes


@needs_programs
def test_programs_are_in_the_machine(mount, tmp_path):
    write(f"{DSA0}/wq0.0/size", "16")
    assert subprocess.check_output(["cat", f"{DSA0}/wq0.0/size"]) == b"16\n"
    subprocess.run(f"echo 8 >{DSA0}/wq0.0/size", shell=True, check=True)
    assert read(f"{DSA0}/wq0.0/size") == "8\n"
    done = subprocess.run(
        ["sh", "-c", "pwd; cat; exit 3"], cwd=tmp_path, input="in", capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (3, f"{tmp_path}\nin")
    assert done.args == ["sh", "-c", "pwd; cat; exit 3"]
    with os.popen(f"cat {DSA0}/state") as pipe:
        assert pipe.read() == "disabled\n"
    assert os.waitstatus_to_exitcode(os.system("exit 5")) == 5
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        subprocess.run(["no-such-program"])


@needs_programs
def test_programs_know_where_they_are(mount):
    before = os.getcwd()
    os.chdir(DSA0)
    try:
        assert subprocess.check_output(["cat", "state"]) == b"disabled\n"
    finally:
        os.chdir(before)
    assert subprocess.check_output(["cat", "state"], cwd=DSA0) == b"disabled\n"


@needs_programs
def test_a_forked_child_executes_in_the_machine_and_does_nothing_else(mount):
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.stat(DSA0)
        except UnmodelledError:
            os.dup2(theirs, 1)
            os.execv("/bin/cat", ["cat", f"{DSA0}/state"])
        finally:
            os._exit(99)
    os.close(theirs)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert os.read(ours, 100) == b"disabled\n"
    os.close(ours)


def test_exec_would_end_the_machine(mount):
    with pytest.raises(UnmodelledError, match="fork first"):
        os.execv("/bin/true", ["true"])


@needs_programs
def test_what_still_runs_is_killed_and_named(machine):
    with InProcessMount(machine) as mount:
        sleeper = subprocess.Popen(["sleep", "1000"])
    assert mount.killed == ["sleep 1000"]
    assert sleeper.returncode == -signal.SIGKILL


@needs_programs
def test_what_a_program_leaves_behind_is_killed_and_named(machine, caplog):
    with InProcessMount(machine) as mount:
        subprocess.run(["sh", "-c", "sleep 1000 & setsid sleep 1001 & exit 0"])
    assert len(mount.killed) == 2  # they may be sh and setsid yet
    assert caplog.text == ""


def test_where_programs_cannot_run_the_reason_is_told(machine, monkeypatch):
    def refuse(mount):
        raise MountError("no /dev/fuse")

    monkeypatch.setattr(ProcessMount, "__enter__", refuse)
    told = []
    with InProcessMount(machine, cannot=told.append), pytest.raises(ChildrenError, match="no /dev"):
        subprocess.run(["true"])
    assert told == ["programs cannot run in the machine here: no /dev/fuse"]


# --- coming and going


def test_everything_is_as_it_was(machine):
    before = (os, open, io, fcntl, select, os.path, subprocess.Popen.__init__, sys.modules["os"])
    with InProcessMount(machine):
        assert os is not before[0]
    after = (os, open, io, fcntl, select, os.path, subprocess.Popen.__init__, sys.modules["os"])
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_what_is_left_open_is_closed(machine):
    with InProcessMount(machine) as mount:
        fd = os.open(f"{DSA0}/state", os.O_RDONLY)
        assert [*mount.open_paths()] == [f"{os.path.realpath(DSA0)}/state"]
    assert machine.leaks() == []
    assert error_of(os.fstat, fd) == errno.EBADF


def test_one_at_a_time(mount, machine):
    with pytest.raises(MountError, match="only one"), InProcessMount(machine):
        pass


def test_not_over_pyfakefs(machine, fs):
    with pytest.raises(MountError, match="pyfakefs"), InProcessMount(machine):
        pass


def test_modules_imported_in_the_mount_see_it(mount, tmp_path):
    source = tmp_path / "late.py"
    source.write_text("import os\nfrom os.path import exists\nfrom os import stat\n")
    loader = SourceFileLoader("late", str(source))
    late = module_from_spec(spec_from_loader("late", loader))
    loader.exec_module(late)
    assert late.exists(DSA0)
    assert late.os.listdir(DSA0)
    assert late.stat(DSA0).st_nlink


def test_plug_and_unplug_are_seen_at_once(mount, machine):
    address = "0000:6a:01.0"
    machine.unplug(address)
    assert not os.path.exists(f"/sys/bus/pci/devices/{address}")
    machine.plug(address)
    assert os.path.exists(f"/sys/bus/pci/devices/{address}")
