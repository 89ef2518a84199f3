# SPDX-License-Identifier: Apache-2.0
"""Numbers and layouts of the FUSE kernel protocol 7 (include/uapi/linux/fuse.h), as far as used."""

from __future__ import annotations

from struct import Struct

# Operation codes.
LOOKUP = 1
FORGET = 2
GETATTR = 3
SETATTR = 4
READLINK = 5
SYMLINK = 6
MKNOD = 8
MKDIR = 9
UNLINK = 10
RMDIR = 11
RENAME = 12
LINK = 13
OPEN = 14
READ = 15
WRITE = 16
STATFS = 17
RELEASE = 18
FSYNC = 20
FLUSH = 25
INIT = 26
OPENDIR = 27
READDIR = 28
RELEASEDIR = 29
FSYNCDIR = 30
ACCESS = 34
CREATE = 35
INTERRUPT = 36
DESTROY = 38
IOCTL = 39
POLL = 40
NOTIFY_REPLY = 41
BATCH_FORGET = 42
FALLOCATE = 43
READDIRPLUS = 44
RENAME2 = 45
#: One more than the highest operation code of protocol 7.45.
OPCODE_COUNT = 64

# Notifications, sent as the error of a reply to no request.
NOTIFY_POLL = 1
NOTIFY_INVAL_INODE = 2
NOTIFY_INVAL_ENTRY = 3
NOTIFY_STORE = 4
NOTIFY_RETRIEVE = 5

# Flags of INIT; those from bit 32 up travel in a second word.
INIT_BIG_WRITES = 1 << 5
INIT_DO_READDIRPLUS = 1 << 13
INIT_READDIRPLUS_AUTO = 1 << 14
INIT_PARALLEL_DIROPS = 1 << 18
INIT_MAX_PAGES = 1 << 22
INIT_CACHE_SYMLINKS = 1 << 23
INIT_EXT = 1 << 30
INIT_DIRECT_IO_ALLOW_MMAP = 1 << 36

# Flags of OPEN's reply.
FOPEN_DIRECT_IO = 1 << 0
FOPEN_NONSEEKABLE = 1 << 2
FOPEN_STREAM = 1 << 4
FOPEN_NOFLUSH = 1 << 5

# Which fields of SETATTR are set.
FATTR_MODE = 1 << 0
FATTR_UID = 1 << 1
FATTR_GID = 1 << 2
FATTR_SIZE = 1 << 3
FATTR_TIMES = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 10

#: Of a READ: a program reads. Without it, the host's kernel fills a page that is mapped.
READ_LOCKOWNER = 1 << 1
#: Of a WRITE: the host's kernel writes a page back.
WRITE_CACHE = 1 << 0
POLL_SCHEDULE_NOTIFY = 1 << 0

#: The root's node id, as the protocol has it.
ROOT_ID = 1
#: The largest error number that a reply may carry.
MAX_ERRNO = 511
#: The most that the kernel's client puts into one request, so that a write(2) stays one write.
MAX_PAGES = 256
MAX_WRITE = MAX_PAGES * 4096
#: Room for the largest request: a full write with its headers.
BUFFER_SIZE = MAX_WRITE + 4096

IN_HEADER = Struct("<IIQQIIIHH")  # length, opcode, unique, nodeid, uid, gid, pid, -, -
OUT_HEADER = Struct("<IiQ")  # length, -errno, unique
BODY = IN_HEADER.size

ATTR = Struct("<QQQQQQ10I")
ENTRY = Struct("<QQQQII")  # nodeid, generation, entry and attribute lifetimes; ATTR follows
ATTR_OUT = Struct("<QII")  # lifetime; ATTR follows
INIT_IN = Struct("<4I")  # major, minor, readahead, flags
INIT_IN_MORE = Struct("<I")  # flags from bit 32 up, behind it
INIT_OUT = Struct("<IIIIHHIIHHI7I")
OPEN_IN = Struct("<I")
OPEN_OUT = Struct("<QIi")
READ_IN = Struct("<QQII")  # fh, offset, size, read flags
WRITE_IN = Struct("<QQIIQI")  # fh, offset, size, write flags, lock owner, open flags
WRITE_OUT = Struct("<II")
WRITE_DATA = BODY + 40
RELEASE_IN = Struct("<Q")
IOCTL_IN = Struct("<QIIQ")  # fh, flags, command, argument
IOCTL_OUT = Struct("<iIII")
#: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR: the kernel makes these by
#: itself, and takes no reply but an error, or one with all of the data (fuse_priv_ioctl, 5.13).
FILE_ATTRIBUTES = frozenset({0x80086601, 0x40086602, 0x801C581F, 0x401C5820})
POLL_IN = Struct("<QQII")  # fh, kernel handle, flags, events
POLL_OUT = Struct("<II")
SETATTR_IN = Struct("<II6Q8I")  # valid, -, fh, size, ..., mode, -, uid, gid, -
FORGET_IN = Struct("<Q")
BATCH_FORGET_IN = Struct("<II")
FORGET_ONE = Struct("<QQ")  # nodeid, lookups
INTERRUPT_IN = Struct("<Q")
ACCESS_IN = Struct("<I")
MKDIR_IN = Struct("<II")  # mode, umask; name follows
MKNOD_IN = Struct("<IIII")  # mode, rdev, umask, -; name follows
CREATE_IN = Struct("<IIII")  # flags, mode, umask, -; name follows
RENAME_IN = Struct("<Q")  # new directory; two names follow
RENAME2_IN = Struct("<QII")  # new directory, flags, -; two names follow
LINK_IN = Struct("<Q")  # old node; name follows
STATFS_OUT = Struct("<5Q4I24x")
DIRENT = Struct("<QQII")  # inode, next offset, length of name, type; name and padding follow
NOTIFY_STORE_OUT = Struct("<QQII")  # nodeid, offset, size, -; data follow
NOTIFY_RETRIEVE_OUT = Struct("<QQQII")  # our number, nodeid, offset, size, -
NOTIFY_RETRIEVE_IN = Struct("<QQI4xQQ")  # -, offset, size, -, -; data follow
NOTIFY_POLL_OUT = Struct("<Q")
NOTIFY_INVAL_INODE_OUT = Struct("<Qqq")  # nodeid, offset, length
NOTIFY_INVAL_ENTRY_OUT = Struct("<QII")  # directory, length of name, flags; name and NUL follow
