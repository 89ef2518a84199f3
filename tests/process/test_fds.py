# SPDX-License-Identifier: Apache-2.0
"""What drivers do with fds of programs, and programs with fds of drivers."""


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
