# SPDX-License-Identifier: Apache-2.0
"""Pages of devices in programs: memory that both sides see, and refusals."""

import signal

import pytest

MAP = """
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]

def words(offset=MEMORY, length=8192, prot=3, flags=mmap.MAP_SHARED, fd=toy):
    address = libc.mmap(None, length, prot, flags, fd, offset)
    if address == 2**64 - 1:
        return errno.errorcode[ctypes.get_errno()]
    return (ctypes.c_uint32 * (length // 4)).from_address(address)
"""


@pytest.fixture
def run_mapped(run):
    return lambda code, **options: run(MAP + code, **options)


def test_both_sides_see_what_the_other_stored(run_mapped, driver):
    driver.memory[4096:4100] = b"\7\0\0\0"
    assert run_mapped("""
memory = words()
print(memory[1024])
memory[0] = 5
print(call(toy, LOOK, 0), call(toy, ADD, 0), memory[0])
memory[0] = 9
print(call(toy, ADD, 0), memory[0], call(toy, LOOK, 4096))
memory[1025] = 3
print(call(toy, ADD, 4096), memory[1024], memory[1025], call(toy, LOOK, 4100))
""") == ["7", "5", "6", "6", "10", "10", "7", "8", "8", "3", "3"]


def test_a_store_is_seen_by_reads_of_another_process(run_mapped, driver):
    assert run_mapped("""
memory = words()
memory[2] = 1234
print(os.popen("exec 3<>/dev/toy; echo").read().strip() or "done")
""") == ["done"]
    assert driver.memory[8:12] == (1234).to_bytes(4, "little")


def test_two_processes_share_pages(run_mapped):
    assert run_mapped("""
memory = words()
there, back = os.eventfd(0), os.eventfd(0)
if os.fork() == 0:
    os.close(toy)
    own = words(fd=os.open("/dev/toy", os.O_RDWR))
    os.eventfd_read(there)
    own[1] = own[0] + 1
    os.eventfd_write(back, 1)
    os._exit(0)
memory[0] = 41
os.eventfd_write(there, 1)
os.eventfd_read(back)
print(memory[1])
os.wait()
""") == ["42"]


def test_files_without_a_name_share_pages(run_mapped):
    assert run_mapped("""
one, other = words(fd=call(toy, NEW)), words(fd=call(toy, NEW))
one[0] = 5
print(other[0])
other[1] = 6
print(one[1], call(toy, LOOK, 4))
""") == ["5", "6", "6"]


def test_registers(run_mapped, driver):
    """A register reads as one more than what was stored there."""
    assert run_mapped("""
registers = words(REGISTERS, 4096)
print(registers[0], registers[5])
registers[5] = 10
call(toy, LOOK, 0)
print(registers[0], registers[5])
""") == ["1", "1", "1", "11"]
    assert driver.registers == {20: 10}


def test_a_doorbell_is_nothing_to_touch(run_mapped):
    assert run_mapped("print(words(DOORBELL, 4096)[0])", status=128 + signal.SIGBUS) == []


def test_refusals(run_mapped):
    assert run_mapped("""
print(words(length=12288), words(3 << 40), words(REGISTERS, flags=mmap.MAP_PRIVATE))
reader, writer = os.open("/dev/toy", os.O_RDONLY), os.open("/dev/toy", os.O_WRONLY)
print(words(fd=reader), words(fd=writer), words(fd=writer, prot=1))
print(words(3 << 40, prot=1, fd=reader))
print(words(offset=1), words(length=0), words(fd=100))
""") == [
        *("ENXIO", "ENXIO", "EINVAL"),
        *("EACCES", "EACCES", "EACCES"),
        "ENXIO",
        *("EINVAL", "EINVAL", "EBADF"),
    ]


def test_files_that_cannot_be_mapped(run_mapped):
    assert run_mapped("""
print(words(fd=os.open("/sys/bus/dsa/drivers_autoprobe", os.O_RDONLY), prot=1))
print(words(fd=os.eventfd(0)), words(fd=os.open("/dev", 0), prot=1))
""") == ["ENODEV", "ENODEV", "ENODEV"]


def test_mappings_of_the_host_are_let_alone(run_mapped, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    assert run_mapped(f"""
memory = words(fd=os.open({str(path)!r}, os.O_RDWR))
memory[0] = 77
print(words(fd=os.open({str(path)!r}, os.O_RDWR), flags=mmap.MAP_PRIVATE)[0])
""") == ["77"]
    assert path.read_bytes()[0] == 77


def test_mapped_memory_may_be_an_argument(run_mapped, driver):
    """The machine copies from a page that it has to give itself."""
    driver.memory[4096:4100] = b"\1\2\3\4"
    assert run_mapped("""
memory = words()
address = ctypes.c_void_p(ctypes.addressof(memory) + 4096)
print(libc.ioctl(toy, COPY, address), hex(memory[0]))
""") == ["0", "0x4030201"]


def test_mapped_memory_may_be_read_to_and_written_from(run_mapped, driver):
    """By files of the mount, among them the one that is mapped; nothing was touched before."""
    driver.memory[:2] = b"0\n"
    assert run_mapped("""
memory = words()
address = ctypes.addressof(memory)
for offset in (0, 4096):
    autoprobe = os.open("/sys/bus/dsa/drivers_autoprobe", os.O_RDWR)
    print(libc.pwrite(autoprobe, ctypes.c_void_p(address), 2, 0))
    print(libc.pread(autoprobe, ctypes.c_void_p(address + offset), 2, 0))
    print(hex(memory[offset // 4]), call(toy, LOOK, offset) == memory[offset // 4])
print(libc.pread(toy, ctypes.c_void_p(address + 4096), 2, 0), hex(memory[1024]))
""") == [*("2", "2", "0xa30", "True"), *("2", "2", "0xa30", "True"), "2", "0xa31"]


def test_mapped_memory_is_an_argument_while_others_call(run_mapped, driver):
    """Who copies from a page that the mount has to give holds the machine; who could give it wants
    the machine for somebody else."""
    driver.memory = bytearray(64 * 4096)
    for page in range(64):
        driver.memory[page * 4096] = page
    assert run_mapped("""
memory = words(length=64 * 4096)
address = ctypes.addressof(memory)
done = threading.Event()

def ask():
    fd = os.open("/dev/toy", os.O_RDWR)
    while not done.is_set():
        call(fd, LOOK, 0)

threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
print([libc.ioctl(toy, WAIT_COPY, ctypes.c_void_p(address + page * 4096)) for page in range(64)]
    == [0] * 64, call(toy, LOOK, 0))
done.set()
for thread in threads:
    thread.join()
""") == ["True", "63"]


def test_threads_store_and_call(run_mapped, driver):
    """No store is lost, and none comes back."""
    assert (
        run_mapped("""
memory = words()

def work(number):
    fd = os.open("/dev/toy", os.O_RDWR)
    for turn in range(300):
        memory[number] = turn
        if call(fd, LOOK, 4 * number) != turn:
            print("lost", turn)
        if call(fd, ADD, 4096 + 4 * number) != turn + 1 or memory[1024 + number] != turn + 1:
            print("wrong", turn)

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
""")
        == []
    )


def test_an_attribute_cannot_be_mapped(run_mapped):
    assert run_mapped("""
state = os.open("/sys/bus/dsa/devices/dsa0/state", os.O_RDONLY)
for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
    print(words(0, 4096, 1, flags, state), words(0, 1, 1, flags, state))
with open("/etc/passwd") as file:
    print(words(0, 4, 1, mmap.MAP_PRIVATE, file.fileno())[0] > 0)
""") == ["ENODEV"] * 4 + ["True"]


def test_a_resource_of_a_function_is_mapped(run_mapped):
    """VERSION of an accelerator cannot be written to, GENCFG can."""
    assert run_mapped("""
resource = os.open("/sys/bus/pci/devices/0000:00:05.0/resource0", os.O_RDWR)
registers = words(0, 4096, 3, mmap.MAP_SHARED, resource)
print(hex(registers[0]))
registers[0], registers[0x80 // 4] = 1, 2
call(toy, LOOK, 0)
print(hex(registers[0]), registers[0x80 // 4])
""") == ["0x100", "0x100", "2"]
