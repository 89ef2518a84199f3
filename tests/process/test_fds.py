# SPDX-License-Identifier: Apache-2.0
"""What drivers do with fds of programs, and programs with fds of drivers."""

import os
from pathlib import Path

import pytest


def test_signals_arrive(run):
    assert run("""
        fd = os.eventfd(0)
        print(call(toy, HOLD, fd))
        for _ in range(3):
            call(toy, SIGNAL)
        print(os.eventfd_read(fd))
        call(toy, LET_GO)
        call(toy, SIGNAL)
        print(select.select([fd], [], [], 0)[0])
    """) == ["1", "3", "[]"]


def test_what_is_no_eventfd(run):
    assert run("""
        print(call(toy, HOLD, 100), call(toy, HOLD, toy), call(toy, HOLD, 1))
        print(call(toy, HOLD, os.open("/", os.O_PATH)), call(toy, HOLD, os.open("/dev", 0)))
    """) == ["EBADF", "EINVAL", "EINVAL", "EBADF", "EINVAL"]


def test_two_fds_of_one_eventfd(run):
    assert run("""
        one, other = os.eventfd(0), os.eventfd(0)
        print(call(toy, HOLD, one), call(toy, HOLD, os.dup(one)), call(toy, HOLD, other))
    """) == ["1", "1", "2"]


def test_which_file(run):
    assert run("""
        other = os.open("/dev/toy", os.O_RDONLY)
        writer = os.open("/dev/toy", os.O_WRONLY)
        print(*(call(toy, WHICH, fd) for fd in (toy, other, os.dup(other), writer)))
        print(*(call(other, WHICH, fd) for fd in (toy, 1, os.eventfd(0), 100)))
    """) == ["1", "2", "2", "3", "1", "EINVAL", "EINVAL", "EBADF"]


def test_what_cannot_be_polled(run):
    assert run("""
        epoll, event = select.epoll(), os.eventfd(0)
        def add(fd):
            try:
                epoll.register(fd)
            except OSError as error:
                return errno.errorcode[error.errno]
        print(add(toy), add(call(toy, NEW)), add(event), add(event), add(100))
        print(select.select([toy], [toy], [], 0) == ([toy], [toy], []))
    """) == ["EPERM", "EPERM", "None", "EEXIST", "EBADF", "True"]


def test_a_new_fd(run, driver):
    assert run("""
        fd = call(toy, NEW)
        print(fd == toy + 1, os.pread(fd, 10, 0).decode(), os.get_inheritable(fd))
        print(call(fd, WHICH, toy), call(toy, WHICH, fd))
        os.close(fd)
        print(call(toy, WHICH, fd))
    """) == ["True", "2", "False", "1", "2", "EBADF"]
    assert driver.released == [2, 1]


def test_a_new_fd_in_memory(run, driver):
    assert run("""
        buffer = array.array("i", [7])
        print(call(toy, NEW_AT, buffer), os.read(buffer[0], 10).decode(), buffer[0] == toy + 1)
        print(call(toy, NEW_AT, 0))
    """) == ["0", "2", "True", "EFAULT"]


def test_other_drivers_keep_their_commands(run):
    assert run("print(call(0, NEW), call(100, NEW))") == ["ENOTTY", "EBADF"]


def test_a_watch(run):
    assert run("""
        fd = os.eventfd(0)
        print(call(toy, WATCH, fd))
        os.eventfd_write(fd, 1)
        print(call(toy, WOKEN, select.POLLIN), call(toy, WOKEN, select.POLLHUP))
        os.close(fd)
        print(call(toy, WOKEN, select.POLLIN), call(toy, WOKEN, select.POLLHUP))
    """) == ["0", "1", "0", "1", "1"]


def test_closed_before_a_notified_call(run):
    """What was closed before is released before."""
    assert (
        run("""
        for _ in range(200):
            one, other = call(toy, NEW), call(toy, NEW)
            print(one, other)
            os.close(one)
            os.close(other)
    """)
        == ["4", "5"] * 200
    )


class TestLastClose:
    """A file is released once, when nobody has it any more."""

    def test_duplicates(self, run, driver):
        assert run("""
            fd = call(toy, NEW)
            other = os.dup(fd)
            os.close(fd)
            print(os.pread(other, 10, 0).decode())
            os.close(other)
            os.close(call(toy, NEW))
        """) == ["2"]
        assert driver.released == [2, 3, 1]

    def test_fork(self, run, driver):
        assert run("""
            reading, writing = os.pipe()
            fd = call(toy, NEW)
            child = os.fork()
            if child == 0:
                os.read(reading, 1)
                print(os.pread(fd, 10, 0).decode())
                sys.stdout.flush()
                os._exit(0)
            os.close(fd)
            os.write(writing, b"x")
            os.waitpid(child, 0)
            os.close(call(toy, NEW))
        """) == ["2"]
        assert driver.released == [2, 3, 1]

    def test_passed_to_another_process(self, run, driver):
        """On the way, nobody has it open but the socket."""
        assert run("""
            here, there = socket.socketpair()
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.read(reading, 1)
                _, (fd,), _, _ = socket.recv_fds(there, 1, 1)
                print(os.pread(fd, 10, 0).decode(), call(toy, WHICH, fd))
                sys.stdout.flush()
                os._exit(0)
            fd = call(toy, NEW)
            socket.send_fds(here, [b"x"], [fd])
            os.close(fd)
            there.close()
            other = call(toy, NEW)
            os.close(other)
            os.write(writing, b"x")
            os.waitpid(child, 0)
            os.close(call(toy, NEW))
        """) == ["2", "2"]
        assert driver.released == [3, 2, 4, 1]

    def test_exec(self, run, driver):
        """exec closes what is marked for it, and keeps the rest."""
        assert run(
            """
            marked, kept = call(toy, NEW), call(toy, NEW)
            os.set_inheritable(kept, True)
            script = f"import os, fcntl; print(os.pread({kept}, 10, 0).decode(), flush=True)"
            script += f"; os.close(os.open('/dev/toy', os.O_RDWR)); os.fstat({marked})"
            os.dup2(1, 2)
            os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", script])
        """,
            status=1,
        )[:1] == ["3"]
        assert sorted(driver.released[:2]) == [1, 2]
        assert sorted(driver.released) == [1, 2, 3, 4]
        assert driver.released[-2:] in ([3, 4], [4, 3])

    def test_kill(self, run, driver):
        """Eventfds too are let go of."""
        assert run(
            """
            print(call(toy, HOLD, os.eventfd(0)))
            call(call(toy, NEW), HOLD, os.eventfd(0))
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        """,
            status=137,
        ) == ["1"]
        assert sorted(driver.released) == [1, 2]

    def test_mapped(self, run, driver):
        """A mapping keeps its file."""
        assert (
            run("""
            fd = call(toy, NEW)
            memory = mmap.mmap(-1, 1)
            libc = ctypes.CDLL(None)
            libc.mmap.restype = ctypes.c_void_p
            address = libc.mmap(None, 4096, 3, 1, fd, ctypes.c_int64(0))
            os.close(fd)
            os.close(call(toy, NEW))
            libc.munmap(ctypes.c_void_p(address), 4096)
            os.close(call(toy, NEW))
        """)
            == []
        )
        assert driver.released == [3, 2, 4, 1]


def test_memory_of_before_an_exec_is_gone(run):
    """What a file holds of its opener's memory is not the next program's."""
    assert run("""
        script = '''
        import ctypes, sys
        libc = ctypes.CDLL(None, use_errno=True)
        text = ctypes.create_string_buffer(b"ab")
        toy, command = map(int, sys.argv[1:])
        print(libc.ioctl(toy, command, text), ctypes.get_errno(), flush=True)
        '''
        exec(script.replace("sys.argv[1:]", "(toy, OPENERS)").replace("        ", ""))
        os.set_inheritable(toy, True)
        words = ["-I", "-S", "-c", script.replace("        ", ""), str(toy), str(OPENERS)]
        os.execv(sys.executable, [sys.executable, *words])
    """) == ["97", "0", "-1", "14"]


def open_eventfds():
    links = [Path("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if link.is_symlink()].count("anon_inode:[eventfd]")


@pytest.mark.parametrize("flags", [(), ("-static",)])
def test_no_signal_is_lost_among_threads(driver, mounted, machine, program, flags):
    """64 threads, each with an eventfd of its own."""
    mount = mounted()
    before = open_eventfds()
    child = mount.popen([program(*flags), "eventfds", "/dev/toy", "200"])
    assert child.wait(120) == 0
    machine.wait_for(lambda: not driver.open)
    assert len(driver.released) == 64
    assert machine.leaks() == []
    assert open_eventfds() == before


def test_commands_that_the_hosts_kernel_makes_by_itself(run):
    """FS_IOC_GETFLAGS and the like, of lsattr and chattr, which no file here has."""
    assert run("""
        commands = 0x80086601, 0x40086602, 0x801C581F, 0x401C5820
        for path in ("/dev/toy", "/sys/bus/dsa/devices/dsa0/state", "/sys/bus/dsa"):
            fd = os.open(path, os.O_RDONLY)
            print(*{call(fd, command, bytearray(64)) for command in commands})
        print(call(toy, WHICH, toy))
    """) == ["ENOTTY"] * 3 + ["1"]
