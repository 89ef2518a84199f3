# SPDX-License-Identifier: Apache-2.0
"""Numbers of the file system ABI on x86-64: open flags, access masks, poll bits, capabilities.

Sources: include/uapi/asm-generic/{fcntl,poll}.h, include/uapi/linux/capability.h,
include/linux/fs.h (MAY_*), include/linux/errno.h, include/uapi/linux/eventfd.h.
"""

O_ACCMODE = 0o3
O_RDONLY = 0o0
O_WRONLY = 0o1
O_RDWR = 0o2
O_CREAT = 0o100
O_EXCL = 0o200
O_TRUNC = 0o1000
O_APPEND = 0o2000
O_NONBLOCK = 0o4000
O_DIRECTORY = 0o200000
O_NOFOLLOW = 0o400000
O_CLOEXEC = 0o2000000
O_PATH = 0o10000000

#: The largest file of a file system that says nothing, and of one that has large files.
MAX_NON_LFS = (1 << 31) - 1
MAX_LFS_FILESIZE = (1 << 63) - 1
SEEK_SET = 0
SEEK_CUR = 1
SEEK_END = 2
SEEK_DATA = 3
SEEK_HOLE = 4

MAY_EXEC = 1
MAY_WRITE = 2
MAY_READ = 4

POLLIN = 0x001
POLLPRI = 0x002
POLLOUT = 0x004
POLLERR = 0x008
POLLHUP = 0x010
POLLNVAL = 0x020
POLLRDNORM = 0x040
POLLWRNORM = 0x100
#: What a file without a poll method answers (include/linux/poll.h).
DEFAULT_POLLMASK = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
EPOLL_CTL_ADD = 1

PROT_READ = 1
PROT_WRITE = 2
PROT_EXEC = 4
MAP_SHARED = 0x01
MAP_PRIVATE = 0x02
MAP_SHARED_VALIDATE = 0x03
MAP_TYPE = 0x0F
MAP_ANONYMOUS = 0x20

EFD_SEMAPHORE = 1
#: Of eventfd2(2), all flags there are.
EFD_FLAGS_SET = EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_SETUID = 7
CAP_IPC_LOCK = 14
CAP_SYS_MODULE = 16
CAP_SYS_RAWIO = 17
CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24
#: Every capability of a 6.1 kernel (CAP_LAST_CAP is 40, CAP_CHECKPOINT_RESTORE).
CAP_FULL_SET = (1 << 41) - 1

RLIMIT_NOFILE = 7
RLIMIT_MEMLOCK = 8

PATH_MAX = 4096
NAME_MAX = 255
PAGE_SIZE = 4096
INT_MAX = 2**31 - 1

#: Kernel-internal error numbers that leak to programs from some sysfs stores.
EPROBE_DEFER = 517
ENOTSUPP = 524

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE = 1, 2
