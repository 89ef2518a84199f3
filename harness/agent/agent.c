// SPDX-License-Identifier: Apache-2.0
/*
 * The agent in C: makes a case's system calls inside a target (docs/agent-protocol.md).
 *
 * The process that is started is the router: it makes no calls, and passes each request on to the
 * task it is for. A task is a process or a thread with a socket to the router of its own, so that
 * it may block, fork, exec, change its user or die without taking the others along. What the kernel
 * answers passes through untouched; nothing is asked twice.
 *
 * Build: cc -std=c11 -O2 -static -pthread -o agent agent.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/epoll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || !defined(__LP64__)
#error "messages are the structs below, and numbers go into system calls as they come"
#endif

/* --- the protocol */

enum {
    VERSION = 2,
    MAX_MESSAGE = 1 << 20,
    MAX_DATA = MAX_MESSAGE - 64,
    MAX_FIELDS = UINT16_MAX,
    FIRST_TASK = 1,
};

/* In the order of their numbers, from 0. */
enum operation {
    HELLO, OPEN, CLOSE, READ, WRITE, PREAD, PWRITE, LSEEK, IOCTL, POLL, MMAP, MUNMAP, LOAD, STORE,
    PEEK, POKE, STAT, LSTAT, FSTAT, ACCESS, READLINK, GETDENTS, MKDIR, RMDIR, UNLINK, RENAME,
    SYMLINK, LINK, MKNOD, TRUNCATE, FTRUNCATE, CHMOD, CHOWN, DUP, EVENTFD, FORK, EXEC, EXIT, WAIT,
    KILL, INTERRUPT, SETUID, DROP_CAPABILITIES, SETRLIMIT, THREAD, MEMFD, EPOLL,
    OPERATIONS,
};

enum status { DONE, MALFORMED, UNKNOWN, UNABLE, NO_TASK, BUSY, GONE };

struct header {
    uint32_t length;
    uint16_t operation;
    uint16_t fields;
    uint32_t request;
    uint32_t task;
    int64_t result;
    uint32_t error;
    uint16_t status;
    uint16_t zero;
};

_Static_assert(sizeof(struct header) == 32, "the header has no holes");

enum field_kind { NUMBER = 1, BYTES = 2 };

struct field_head {
    uint32_t kind;
    uint32_t length;
};

/* A whole message, and room for the NUL that is put after the last path. */
union message {
    struct header header;
    unsigned char bytes[MAX_MESSAGE + 1];
};

/* A field of a request; its bytes stay in the message. */
struct argument {
    uint32_t kind;
    uint32_t length;
    int64_t number;
    unsigned char *bytes;
};

struct arguments {
    size_t count;
    struct argument items[MAX_FIELDS];
};

static bool length_is_possible(const struct header *header) {
    return header->length >= sizeof(*header) && header->length <= MAX_MESSAGE;
}

/* How many bytes the field that begins here takes; 0 if it is none or is longer than `left`. */
static size_t decode_field(unsigned char *start, size_t left, struct argument *argument) {
    struct field_head head;
    if (left < sizeof(head))
        return 0;
    memcpy(&head, start, sizeof(head));
    size_t padded = ((size_t)head.length + 7) & ~(size_t)7;
    if (padded > left - sizeof(head))
        return 0;
    if (head.kind != BYTES && (head.kind != NUMBER || head.length != sizeof(argument->number)))
        return 0;
    argument->kind = head.kind;
    argument->length = head.length;
    argument->bytes = start + sizeof(head);
    if (head.kind == NUMBER)
        memcpy(&argument->number, argument->bytes, sizeof(argument->number));
    return sizeof(head) + padded;
}

/* Why the message is none, or NULL. Its length is possible and all of it is there. */
static const char *decode(union message *message, struct arguments *arguments) {
    size_t position = sizeof(message->header);
    arguments->count = 0;
    if (message->header.zero)
        return "the header's last two bytes are not zero";
    while (position < message->header.length) {
        if (arguments->count == message->header.fields)
            return "more fields than the header says";
        size_t taken = decode_field(message->bytes + position, message->header.length - position,
                                    &arguments->items[arguments->count]);
        if (!taken)
            return "a field that is none";
        arguments->count++;
        position += taken;
    }
    return arguments->count == message->header.fields ? NULL : "fewer fields than the header says";
}

/* The header of an answer to `request`, as yet without fields. */
static struct header reply_to(const struct header *request, enum status status) {
    return (struct header){
        .length = sizeof(struct header),
        .operation = request->operation,
        .request = request->request,
        .task = request->task,
        .status = status,
    };
}

/* Where the content of the next field goes. */
static unsigned char *field_room(union message *message) {
    return message->bytes + message->header.length + sizeof(struct field_head);
}

/* Add a field whose `length` bytes are at field_room() already. */
static void commit_field(union message *message, enum field_kind kind, uint32_t length) {
    struct field_head head = {kind, length};
    unsigned char *room = field_room(message);
    uint32_t padding = -length & 7;
    memcpy(room - sizeof(head), &head, sizeof(head));
    memset(room + length, 0, padding);
    message->header.length += sizeof(head) + length + padding;
    message->header.fields++;
}

static void add_bytes(union message *message, const void *data, uint32_t length) {
    memcpy(field_room(message), data, length);
    commit_field(message, BYTES, length);
}

static void add_number(union message *message, int64_t number) {
    memcpy(field_room(message), &number, sizeof(number));
    commit_field(message, NUMBER, sizeof(number));
}

/* The reply becomes one that has this status and a text that says why. */
static void refuse(union message *reply, enum status status, const char *why) {
    reply->header = reply_to(&reply->header, status);
    add_bytes(reply, why, strlen(why));
}

/* Only within a call may the interrupting signal arrive: everywhere else it waits. */
static void allow_interrupts(bool allowed) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(allowed ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

/* --- sockets between router and tasks */

static bool receive(int channel, unsigned char *place, size_t count) {
    while (count) {
        ssize_t got = recv(channel, place, count, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        place += got;
        count -= got;
    }
    return true;
}

static bool send_all(int channel, const union message *message) {
    const unsigned char *place = message->bytes;
    size_t count = message->header.length;
    while (count) {
        ssize_t sent = send(channel, place, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        place += sent;
        count -= sent;
    }
    return true;
}

/* Room for one fd that goes along with bytes. */
union fd_control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr head;
};

/* Receive a message, and into *fd what comes along, or -1. */
static bool receive_message(int channel, union message *message, int *fd) {
    union fd_control control;
    struct iovec part = {message, sizeof(message->header)};
    struct msghdr wanted = {.msg_iov = &part, .msg_iovlen = 1};
    wanted.msg_control = control.bytes;
    wanted.msg_controllen = sizeof(control);
    ssize_t got;
    while ((got = recvmsg(channel, &wanted, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (got <= 0)
        return false;
    struct cmsghdr *came = CMSG_FIRSTHDR(&wanted);
    *fd = -1;
    if (came && came->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(came), sizeof(*fd));
    return receive(channel, message->bytes + got, sizeof(message->header) - got) &&
           length_is_possible(&message->header) &&
           receive(channel, message->bytes + sizeof(message->header),
                   message->header.length - sizeof(message->header));
}

/* Send a message without fields, and `fd` along with it. */
static bool send_with_fd(int channel, struct header *header, int fd) {
    union fd_control control = {.head = {CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {header, sizeof(*header)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control);
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    return sendmsg(channel, &message, MSG_NOSIGNAL) == sizeof(*header);
}

/* --- a task */

enum {
    MAX_MAPPINGS = 65536, /* as vm.max_map_count */
    MAX_THREADS = 256,
    CHANNEL_FD = 500, /* the fds below are the task's own, from 3 on as in any program */
    MAX_ENTRIES_BYTES = MAX_MESSAGE / 8,
    THREAD_STACK = 256 * 1024,
};

struct task {
    int channel;
    bool is_thread;
    bool ended;
    int newborn; /* the router's end of the channel of a task that was just made, or -1 */
    struct arguments arguments;
    union message request;
    union message reply;
    union {
        struct pollfd polled[MAX_FIELDS / 2];
        char *strings[MAX_FIELDS];
        gid_t groups[MAX_FIELDS];
        unsigned char entries[MAX_ENTRIES_BYTES];
    } scratch;
};

/* What all threads of this process share. */
static struct {
    pthread_mutex_t lock;
    size_t mapping_count;
    struct {
        uintptr_t address;
        size_t length;
    } mappings[MAX_MAPPINGS];
    size_t channel_count;
    int channels[MAX_THREADS];
} process = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock_process(void) { pthread_mutex_lock(&process.lock); }

static void unlock_process(void) { pthread_mutex_unlock(&process.lock); }

static struct task *new_task(int channel) {
    struct task *task = mmap(NULL, sizeof(*task), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (task == MAP_FAILED)
        return NULL;
    task->channel = channel;
    task->newborn = -1;
    return task;
}

static int64_t number(const struct task *task, size_t index) {
    return task->arguments.items[index].number;
}

/* The NUL at its end is there: see check_value(). */
static char *path(const struct task *task, size_t index) {
    return (char *)task->arguments.items[index].bytes;
}

static int64_t malformed(struct task *task, const char *why) {
    refuse(&task->reply, MALFORMED, why);
    return 0;
}

static int64_t unable(struct task *task, const char *why) {
    refuse(&task->reply, UNABLE, why);
    return 0;
}

static int64_t fail(int error) {
    errno = error;
    return -1;
}

/* --- files. Calls return as system calls do: -1 and errno, or the result; fields are added. */

/* The answer of a call that has put `count` bytes at the reply's field_room(), or failed. */
static int64_t data_answer(struct task *task, int64_t count) {
    if (count >= 0)
        commit_field(&task->reply, BYTES, count);
    return count;
}

/* READ and PREAD. */
static int64_t call_read(struct task *task) {
    int fd = number(task, 0);
    int64_t count = number(task, 1);
    unsigned char *room = field_room(&task->reply);
    if (count > MAX_DATA)
        return malformed(task, "more bytes than fit into a message");
    if (count < 0)
        return fail(EINVAL);
    if (task->reply.header.operation == READ)
        return data_answer(task, read(fd, room, count));
    return data_answer(task, pread(fd, room, count, number(task, 2)));
}

static int64_t call_poll(struct task *task) {
    size_t count = task->arguments.count / 2;
    struct pollfd *polled = task->scratch.polled;
    if (task->arguments.count % 2 == 0)
        return malformed(task, "poll takes pairs of fd and events");
    for (size_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){number(task, 1 + 2 * i), number(task, 2 + 2 * i), 0};
    int ready = poll(polled, count, number(task, 0));
    for (size_t i = 0; ready >= 0 && i < count; i++)
        add_number(&task->reply, (unsigned short)polled[i].revents);
    return ready;
}

static int64_t call_epoll(struct task *task) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = number(task, 1)};
    if (epoll < 0)
        return -1;
    int ready = epoll_ctl(epoll, EPOLL_CTL_ADD, number(task, 0), &event);
    if (ready == 0)
        event.events = 0, ready = epoll_wait(epoll, &event, 1, number(task, 2));
    int error = errno;
    close(epoll);
    errno = error;
    if (ready >= 0)
        add_number(&task->reply, event.events);
    return ready;
}

/* Add an entry as getdents64 gives it: inode, offset, size, type, name. Returns the size. */
static size_t add_entry(union message *reply, const unsigned char *entry) {
    enum { SIZE_AT = 16, TYPE_AT = 18, NAME_AT = 19 };
    int64_t inode;
    uint16_t size;
    memcpy(&inode, entry, sizeof(inode));
    memcpy(&size, entry + SIZE_AT, sizeof(size));
    add_number(reply, inode);
    add_number(reply, entry[TYPE_AT]);
    add_bytes(reply, entry + NAME_AT, strnlen((const char *)entry + NAME_AT, size - NAME_AT));
    return size;
}

static int64_t call_getdents(struct task *task) {
    int64_t count = number(task, 1) < 0 ? 0 : number(task, 1);
    if (count > MAX_ENTRIES_BYTES)
        count = MAX_ENTRIES_BYTES;
    int64_t used = syscall(SYS_getdents64, number(task, 0), task->scratch.entries, count);
    for (int64_t position = 0; position < used;)
        position += add_entry(&task->reply, task->scratch.entries + position);
    return used;
}

/* STAT, LSTAT and FSTAT. */
static int64_t call_stat(struct task *task) {
    union message *reply = &task->reply;
    struct stat status;
    int answer;
    if (reply->header.operation == FSTAT)
        answer = fstat(number(task, 0), &status);
    else if (reply->header.operation == LSTAT)
        answer = lstat(path(task, 0), &status);
    else
        answer = stat(path(task, 0), &status);
    if (answer != 0)
        return answer;
    add_number(reply, status.st_ino);
    add_number(reply, status.st_mode);
    add_number(reply, status.st_nlink);
    add_number(reply, status.st_uid);
    add_number(reply, status.st_gid);
    add_number(reply, status.st_size);
    add_number(reply, status.st_rdev);
    return 0;
}

/* By the C library, since kernels before 5.8 have no call that takes flags. */
static int64_t call_access(struct task *task) {
    return faccessat(AT_FDCWD, path(task, 0), number(task, 1), AT_EACCESS);
}

static int64_t call_readlink(struct task *task) {
    return data_answer(task, readlink(path(task, 0), (char *)field_room(&task->reply), MAX_DATA));
}

/* --- memory */

static int64_t call_mmap(struct task *task) {
    size_t length = number(task, 0);
    void *address = mmap(NULL, length, number(task, 1), number(task, 2), number(task, 3),
                         number(task, 4));
    if (address == MAP_FAILED)
        return -1;
    lock_process();
    bool full = process.mapping_count == MAX_MAPPINGS;
    if (!full) {
        process.mappings[process.mapping_count].address = (uintptr_t)address;
        process.mappings[process.mapping_count++].length = length;
    }
    unlock_process();
    if (full) {
        munmap(address, length);
        return fail(ENOMEM);
    }
    return (intptr_t)address;
}

/* Only a whole mapping of MMAP, so that the agent's own memory stays. */
static int64_t call_munmap(struct task *task) {
    uintptr_t address = number(task, 0);
    size_t length = number(task, 1);
    size_t i = 0;
    lock_process();
    while (i < process.mapping_count &&
           (process.mappings[i].address != address || process.mappings[i].length != length))
        i++;
    bool known = i < process.mapping_count;
    if (known)
        process.mappings[i] = process.mappings[--process.mapping_count];
    unlock_process();
    return known ? munmap((void *)address, length) : fail(EINVAL);
}

/* Whether the client may touch `size` bytes at `address`: they are in one mapping of MMAP. */
static bool is_known(uintptr_t address, int64_t size) {
    bool known = false;
    lock_process();
    for (size_t i = 0; !known && i < process.mapping_count; i++) {
        uintptr_t offset = address - process.mappings[i].address;
        size_t length = process.mappings[i].length;
        known = size >= 0 && offset <= length && (size_t)size <= length - offset;
    }
    unlock_process();
    return known;
}

/* One access of `size` bytes, at any address; false if there is none of this size. */
static bool copy_at_once(volatile void *to, const volatile void *from, int64_t size) {
    typedef uint16_t __attribute__((aligned(1), may_alias)) u16;
    typedef uint32_t __attribute__((aligned(1), may_alias)) u32;
    typedef uint64_t __attribute__((aligned(1), may_alias)) u64;
    if (size == 1)
        *(volatile uint8_t *)to = *(const volatile uint8_t *)from;
    else if (size == 2)
        *(volatile u16 *)to = *(const volatile u16 *)from;
    else if (size == 4)
        *(volatile u32 *)to = *(const volatile u32 *)from;
    else if (size == 8)
        *(volatile u64 *)to = *(const volatile u64 *)from;
    else
        return false;
    return true;
}

/* LOAD and STORE. */
static int64_t call_load_or_store(struct task *task) {
    bool loads = task->reply.header.operation == LOAD;
    void *address = (void *)number(task, 0);
    int64_t size = number(task, 1);
    int64_t value = loads ? 0 : number(task, 2);
    if (!is_known((uintptr_t)address, size))
        return fail(EFAULT);
    if (!copy_at_once(loads ? &value : address, loads ? address : &value, size))
        return malformed(task, "an access is of 1, 2, 4 or 8 bytes");
    if (loads)
        add_number(&task->reply, value);
    return 0;
}

static int64_t call_peek(struct task *task) {
    uintptr_t address = number(task, 0);
    int64_t count = number(task, 1);
    if (!is_known(address, count))
        return fail(EFAULT);
    if (count > MAX_DATA)
        return malformed(task, "more bytes than fit into a message");
    add_bytes(&task->reply, (void *)address, count);
    return count;
}

static int64_t call_poke(struct task *task) {
    uintptr_t address = number(task, 0);
    const struct argument *data = &task->arguments.items[1];
    if (!is_known(address, data->length))
        return fail(EFAULT);
    memcpy((void *)address, data->bytes, data->length);
    return 0;
}

/* --- tasks */

static void serve(struct task *task);

/* A pair of connected sockets: the router's, and a task's, out of the way of its fds. */
static bool open_channel(int ends[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    int moved = fcntl(ends[1], F_DUPFD_CLOEXEC, CHANNEL_FD);
    if (moved >= 0) {
        close(ends[1]);
        ends[1] = moved;
    }
    return true;
}

static void close_both(const int ends[2]) {
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
}

static void add_channel(int channel) { process.channels[process.channel_count++] = channel; }

static bool is_channel(int fd) {
    bool found = false;
    lock_process();
    for (size_t i = 0; !found && i < process.channel_count; i++)
        found = process.channels[i] == fd;
    unlock_process();
    return found;
}

/* At the end of a thread, whose fds outlive it. */
static void close_channel(int channel) {
    size_t i = 0;
    lock_process();
    while (process.channels[i] != channel)
        i++;
    process.channels[i] = process.channels[--process.channel_count];
    close(channel);
    unlock_process();
}

/* In a forked process, whose only thread this is. */
static void become_child(struct task *task, const int ends[2]) {
    close(ends[0]);
    for (size_t i = 0; i < process.channel_count; i++)
        close(process.channels[i]);
    process.channel_count = 0;
    add_channel(ends[1]);
    task->channel = ends[1];
    task->is_thread = false;
}

/* FORK and THREAD return the new task's id; the router puts its number in the id's place. */
static int64_t call_fork(struct task *task) {
    int ends[2];
    lock_process(); /* or a child of another thread could get a copy of both ends */
    pid_t pid = -1;
    if (open_channel(ends)) {
        pid = fork();
        if (pid == 0) {
            become_child(task, ends);
        } else if (pid > 0) {
            close(ends[1]);
            task->newborn = ends[0];
        } else {
            close_both(ends);
        }
    }
    unlock_process();
    return pid;
}

struct thread_start {
    struct task *task;
    pid_t id;
    sem_t started;
};

static void *run_thread(void *argument) {
    struct thread_start *start = argument;
    struct task *task = start->task;
    start->id = gettid();
    sem_post(&start->started);
    serve(task);
    close_channel(task->channel);
    munmap(task, sizeof(*task));
    return NULL;
}

/* Start a thread that serves `channel`; its id, or -1 and errno. */
static pid_t start_thread(int channel) {
    struct thread_start start = {.task = new_task(channel)};
    pthread_attr_t attributes;
    pthread_t thread;
    if (!start.task)
        return -1;
    start.task->is_thread = true;
    sem_init(&start.started, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK);
    int error = pthread_create(&thread, &attributes, run_thread, &start);
    if (error) {
        munmap(start.task, sizeof(*start.task));
        return fail(error);
    }
    while (sem_wait(&start.started) != 0)
        ; /* interrupted */
    return start.id;
}

static int64_t call_thread(struct task *task) {
    int ends[2];
    pid_t id = -1;
    lock_process();
    if (process.channel_count == MAX_THREADS) {
        errno = EAGAIN;
    } else if (open_channel(ends)) {
        allow_interrupts(false); /* which a thread inherits */
        id = start_thread(ends[1]);
        if (id > 0) {
            add_channel(ends[1]);
            task->newborn = ends[0];
        } else {
            close_both(ends);
        }
    }
    unlock_process();
    return id;
}

/* Signals that would end a task where an errno is wanted. */
static void set_fatal_signals(void (*handler)(int)) {
    signal(SIGPIPE, handler);
    signal(SIGXFSZ, handler);
}

static int64_t call_exec(struct task *task) {
    size_t count = task->arguments.count - 1;
    for (size_t i = 0; i < count; i++)
        task->scratch.strings[i] = path(task, 1 + i);
    task->scratch.strings[count] = NULL;
    set_fatal_signals(SIG_DFL);
    execv(path(task, 0), task->scratch.strings);
    int error = errno;
    set_fatal_signals(SIG_IGN);
    return fail(error);
}

/* A thread ends alone, any other task with all threads of its process. */
static int64_t call_exit(struct task *task) {
    if (!task->is_thread)
        _exit(number(task, 0));
    task->ended = true;
    return 0;
}

static int64_t call_wait(struct task *task) {
    int status;
    return waitpid(number(task, 0), &status, 0) < 0 ? -1 : status;
}

static int64_t call_setrlimit(struct task *task) {
    struct rlimit limit;
    if (getrlimit(number(task, 0), &limit) != 0)
        return -1;
    limit.rlim_cur = number(task, 1);
    return setrlimit(number(task, 0), &limit);
}

/* --- users and capabilities. Raw calls: the C library's change all threads of a process. */

/* Drop `lost` (a bit mask) from all sets. */
static int drop_capabilities(uint64_t lost) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        uint32_t kept = ~(uint32_t)(lost >> 32 * i);
        data[i].effective &= kept;
        data[i].permitted &= kept;
        data[i].inheritable &= kept;
    }
    return syscall(SYS_capset, &header, data);
}

static int64_t call_drop_capabilities(struct task *task) {
    uint64_t lost = task->arguments.count ? 0 : UINT64_MAX;
    for (size_t i = 0; i < task->arguments.count; i++) {
        if (number(task, i) < 0 || number(task, i) > 63)
            return fail(EINVAL);
        lost |= UINT64_C(1) << number(task, i);
    }
    return drop_capabilities(lost);
}

/* Whether `uid` exists in our user namespace. */
static bool is_mapped(int64_t uid) {
    FILE *file = fopen("/proc/thread-self/uid_map", "re");
    int64_t first, outside, count;
    bool found = false;
    if (!file)
        return true; /* Without /proc the kernel must say. */
    while (!found && fscanf(file, "%ld %ld %ld", &first, &outside, &count) == 3)
        found = first <= uid && uid < first + count;
    fclose(file);
    return found;
}

static bool write_file(const char *name, const char *text) {
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, text, strlen(text)) >= 0;
    int error = errno;
    close(fd);
    errno = error;
    return written;
}

/* Where only one user is mapped: be that one by another number, and without capabilities. */
static int64_t enter_user_namespace(struct task *task, uint32_t uid, uint32_t gid) {
    char uid_map[64], gid_map[64], why[128];
    snprintf(uid_map, sizeof(uid_map), "%u %u 1", uid, geteuid());
    snprintf(gid_map, sizeof(gid_map), "%u %u 1", gid, getegid());
    if (task->arguments.count > 2)
        return unable(task, "supplementary groups need a user namespace with more than one group");
    if (unshare(CLONE_NEWUSER) != 0) {
        snprintf(why, sizeof(why), "another user needs unshare: %s", strerror(errno));
        return unable(task, why);
    }
    if (!write_file("/proc/self/setgroups", "deny") || !write_file("/proc/self/uid_map", uid_map) ||
        !write_file("/proc/self/gid_map", gid_map))
        return -1;
    return drop_capabilities(UINT64_MAX);
}

static int64_t call_setuid(struct task *task) {
    size_t count = task->arguments.count - 2;
    if (!is_mapped(number(task, 0)))
        return enter_user_namespace(task, number(task, 0), number(task, 1));
    for (size_t i = 0; i < count; i++)
        task->scratch.groups[i] = number(task, 2 + i);
    if (syscall(SYS_setgroups, count, task->scratch.groups) != 0 ||
        syscall(SYS_setgid, (gid_t)number(task, 1)) != 0)
        return -1;
    return syscall(SYS_setuid, (uid_t)number(task, 0));
}

/* --- requests of a task */

/*
 * The arguments of an operation, a letter each; a star means any number of the last, or none.
 *   n  a number of 64 bits       i  a number that fits into an int, else EINVAL
 *   f  an int, the number of an fd that is not the agent's own, else EBADF
 *   u  a user, group or other unsigned int, or -1, else EINVAL
 *   b  bytes                     p  bytes without a NUL, else EINVAL
 * Where there is no function, the operation is a system call with these arguments, bytes as address
 * and length. What it takes besides is here too: `.` AT_FDCWD, `0` no flags, `d` AT_REMOVEDIR.
 */
static const struct {
    const char *arguments;
    int64_t (*function)(struct task *);
    long system_call;
} operations[OPERATIONS] = {
    [OPEN] = {".pii", NULL, SYS_openat},
    [CLOSE] = {"f", NULL, SYS_close},
    [READ] = {"fn", call_read, 0},
    [WRITE] = {"fb", NULL, SYS_write},
    [PREAD] = {"fnn", call_read, 0},
    [PWRITE] = {"fbn", NULL, SYS_pwrite64},
    [LSEEK] = {"fni", NULL, SYS_lseek},
    [IOCTL] = {"fnn", NULL, SYS_ioctl},
    [POLL] = {"ii*", call_poll, 0},
    [MMAP] = {"niiin", call_mmap, 0},
    [MUNMAP] = {"nn", call_munmap, 0},
    [LOAD] = {"nn", call_load_or_store, 0},
    [STORE] = {"nnn", call_load_or_store, 0},
    [PEEK] = {"nn", call_peek, 0},
    [POKE] = {"nb", call_poke, 0},
    [STAT] = {"p", call_stat, 0},
    [LSTAT] = {"p", call_stat, 0},
    [FSTAT] = {"f", call_stat, 0},
    [ACCESS] = {"pi", call_access, 0},
    [READLINK] = {"p", call_readlink, 0},
    [GETDENTS] = {"fn", call_getdents, 0},
    [MKDIR] = {".pi", NULL, SYS_mkdirat},
    [RMDIR] = {".pd", NULL, SYS_unlinkat},
    [UNLINK] = {".p0", NULL, SYS_unlinkat},
    [RENAME] = {".p.p0", NULL, SYS_renameat2},
    [SYMLINK] = {"p.p", NULL, SYS_symlinkat},
    [LINK] = {".p.p0", NULL, SYS_linkat},
    [MKNOD] = {".piu", NULL, SYS_mknodat},
    [TRUNCATE] = {"pn", NULL, SYS_truncate},
    [FTRUNCATE] = {"fn", NULL, SYS_ftruncate},
    [CHMOD] = {".pi", NULL, SYS_fchmodat},
    [CHOWN] = {".puu0", NULL, SYS_fchownat},
    [DUP] = {"f", NULL, SYS_dup},
    [EVENTFD] = {"ui", NULL, SYS_eventfd2},
    [FORK] = {"", call_fork, 0},
    [EXEC] = {"pp*", call_exec, 0},
    [EXIT] = {"i", call_exit, 0},
    [WAIT] = {"i", call_wait, 0},
    [SETUID] = {"uuu*", call_setuid, 0},
    [DROP_CAPABILITIES] = {"n*", call_drop_capabilities, 0},
    [SETRLIMIT] = {"in", call_setrlimit, 0},
    [THREAD] = {"", call_thread, 0},
    [MEMFD] = {"pu", NULL, SYS_memfd_create},
    [EPOLL] = {"fii", call_epoll, 0},
};

static bool is_constant(char letter) { return letter && strchr(".0d", letter); }

/* The letter of the next argument, or 0 if there is none; *letters moves on. */
static char next_letter(const char **letters) {
    while (is_constant(**letters))
        ++*letters;
    char letter = **letters;
    if (letter && (*letters)[1] != '*')
        ++*letters;
    return letter;
}

/* Whether there are as many arguments as `letters` say, of the right kinds. */
static bool kinds_are_right(const struct arguments *arguments, const char *letters) {
    for (size_t i = 0; i < arguments->count; i++) {
        char letter = next_letter(&letters);
        bool is_bytes = letter == 'p' || letter == 'b';
        if (!letter || is_bytes != (arguments->items[i].kind == BYTES))
            return false;
    }
    while (is_constant(*letters))
        letters++;
    return !*letters || letters[1] == '*';
}

/* 0, or the errno of a value that no system call can be given. Puts the NUL behind a path. */
static int check_value(struct argument *argument, char letter) {
    int64_t number = argument->number;
    if (letter == 'p') {
        if (memchr(argument->bytes, 0, argument->length))
            return EINVAL;
        /* Over padding, or over the head of the next field, which has been read. */
        argument->bytes[argument->length] = 0;
    }
    if (letter == 'u' && (number < -1 || number > UINT32_MAX))
        return EINVAL;
    if ((letter == 'i' || letter == 'f') && number != (int)number)
        return EINVAL;
    return letter == 'f' && is_channel(number) ? EBADF : 0;
}

static int check_values(struct arguments *arguments, const char *letters) {
    int error = 0;
    for (size_t i = 0; i < arguments->count && !error; i++)
        error = check_value(&arguments->items[i], next_letter(&letters));
    return error;
}

/* The system call that has these arguments and needs nothing done before or after. */
static int64_t call_plainly(const struct arguments *arguments, const char *letters, long call) {
    int64_t values[6] = {0};
    const struct argument *next = arguments->items;
    for (int64_t *value = values; *letters; letters++, value++) {
        if (*letters == '.')
            *value = AT_FDCWD;
        else if (*letters == 'd')
            *value = AT_REMOVEDIR;
        else if (*letters == 'p')
            *value = (intptr_t)next++->bytes;
        else if (*letters == 'b')
            *value++ = (intptr_t)next->bytes, *value = next++->length;
        else if (*letters != '0')
            *value = next++->number;
    }
    return syscall(call, values[0], values[1], values[2], values[3], values[4], values[5]);
}

/* Make the call, and the reply out of its answer. */
static void make_call(struct task *task, unsigned operation) {
    struct header *reply = &task->reply.header;
    const char *letters = operations[operation].arguments;
    int64_t answer = fail(check_values(&task->arguments, letters));
    if (!errno) {
        /* One that came too late for the last call arrives here, unheard. */
        allow_interrupts(true);
        answer = operations[operation].function
                     ? operations[operation].function(task)
                     : call_plainly(&task->arguments, letters, operations[operation].system_call);
    }
    int error = errno;
    allow_interrupts(false);
    if (reply->status != DONE)
        return;
    reply->result = answer;
    reply->error = answer == -1 ? error : 0;
}

/* Fill the reply to the request. */
static void perform(struct task *task) {
    unsigned operation = task->request.header.operation;
    const char *problem = decode(&task->request, &task->arguments);
    task->reply.header = reply_to(&task->request.header, DONE);
    if (problem)
        malformed(task, problem);
    else if (operation >= OPERATIONS || !operations[operation].arguments)
        task->reply.header.status = UNKNOWN;
    else if (!kinds_are_right(&task->arguments, operations[operation].arguments))
        malformed(task, "other arguments than the operation has");
    else
        make_call(task, operation);
}

static bool send_reply(struct task *task) {
    if (task->newborn < 0)
        return send_all(task->channel, &task->reply);
    bool sent = send_with_fd(task->channel, &task->reply.header, task->newborn);
    close(task->newborn);
    task->newborn = -1;
    return sent;
}

/* A child that was just forked has nothing to answer: its parent does. */
static bool is_answered_by_parent(const struct header *reply) {
    return reply->operation == FORK && reply->status == DONE && reply->result == 0;
}

/* Answer requests until the task ends. */
static void serve(struct task *task) {
    int none;
    while (receive_message(task->channel, &task->request, &none)) {
        perform(task);
        if (task->ended)
            return;
        if (!is_answered_by_parent(&task->reply.header) && !send_reply(task))
            break;
    }
    _exit(0); /* The router is gone. */
}

/* --- the router */

enum {
    INTERRUPT_AGAIN_MS = 10,
    DEATH_MS = 1000,
};

/* What the router knows of a task. */
struct child {
    uint32_t number;
    pid_t id;
    int channel;
    bool busy;
    bool interrupted;
    struct header request; /* the last one */
};

static struct {
    uint32_t last_number;
    size_t count;
    struct child *children;
    struct pollfd *polled; /* room for all children and the client */
    pid_t guard;
    union message message;
    struct arguments arguments;
} router;

/* Take leave of all children that are dead. Whether any is left. */
static bool reap(void) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        ;
    return pid == 0;
}

/* The end of all tasks, and of the agent when they are dead: who waits for it finds none. */
static _Noreturn void end(int status) {
    if (router.guard > 0)
        kill(-router.guard, SIGKILL);
    /* But a task in a call that cannot be interrupted may take any time. */
    for (int i = 0; reap() && i < DEATH_MS * 10; i++)
        usleep(100);
    _exit(status);
}

static _Noreturn void die(const char *what) {
    perror(what);
    end(1);
}

static struct child *add_child(pid_t id, int channel) {
    size_t count = router.count + 1;
    router.children = realloc(router.children, count * sizeof(*router.children));
    router.polled = realloc(router.polled, (count + 1) * sizeof(*router.polled));
    if (!router.children || !router.polled)
        die("agent: realloc");
    struct child *child = &router.children[router.count++];
    *child = (struct child){.number = ++router.last_number, .id = id, .channel = channel};
    return child;
}

static struct child *find_child(uint32_t number) {
    for (size_t i = 0; i < router.count; i++)
        if (router.children[i].number == number)
            return &router.children[i];
    return NULL;
}

/* Wait until the client's stream is ready for `events`; ends the agent if the client is gone. */
static void wait_for_client(int fd, short events) {
    struct pollfd polled = {fd, events, 0};
    while (poll(&polled, 1, -1) < 0 && errno == EINTR)
        ;
    if (!(polled.revents & events))
        end(0);
}

/* How far reading or writing came; ends the agent if the client is gone. */
static size_t progress(ssize_t count) {
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (count <= 0)
        end(0);
    return count;
}

static void read_client(unsigned char *place, size_t count) {
    for (size_t done = 0; done < count;) {
        wait_for_client(STDIN_FILENO, POLLIN);
        done += progress(read(STDIN_FILENO, place + done, count - done));
    }
}

static void write_client(const void *message) {
    size_t count = ((const struct header *)message)->length;
    for (size_t done = 0; done < count;) {
        wait_for_client(STDOUT_FILENO, POLLOUT);
        done += progress(write(STDOUT_FILENO, (const char *)message + done, count - done));
    }
}

static void answer(const struct header *request, enum status status, int64_t result) {
    struct header reply = reply_to(request, status);
    reply.result = result;
    write_client(&reply);
}

static void remove_child(struct child *child) {
    struct child gone = *child;
    reap();
    close(gone.channel);
    *child = router.children[--router.count];
    if (gone.busy)
        answer(&gone.request, GONE, 0);
}

/* KILL and INTERRUPT, which the router makes itself; the message is the request, then the reply. */
static void signal_child(struct child *child) {
    union message *message = &router.message;
    struct arguments *arguments = &router.arguments;
    const char *problem = decode(message, arguments);
    bool kills = message->header.operation == KILL;
    int64_t number = arguments->items[0].number;
    if (!problem && kills && !kinds_are_right(arguments, "i"))
        problem = "KILL has one number";
    message->header = reply_to(&message->header, DONE);
    if (problem) {
        refuse(message, MALFORMED, problem);
    } else if (!kills) {
        /* Not in an exec, where it might kill the new program. */
        child->interrupted = child->busy && child->request.operation != EXEC;
    } else if (number != (int)number || (kill(child->id, number) != 0 && errno != ESRCH)) {
        message->header.result = -1;
        message->header.error = number != (int)number ? EINVAL : errno;
    }
    write_client(message);
}

static void pass_on(struct child *child) {
    child->busy = true;
    child->request = router.message.header;
    if (!send_all(child->channel, &router.message))
        remove_child(child);
}

static _Noreturn void lose_place(void) {
    router.message.header = (struct header){0};
    refuse(&router.message, MALFORMED, "a length that no message has");
    write_client(&router.message);
    end(2);
}

static void from_client(void) {
    struct header *header = &router.message.header;
    read_client(router.message.bytes, sizeof(*header));
    if (!length_is_possible(header))
        lose_place();
    read_client(router.message.bytes + sizeof(*header), header->length - sizeof(*header));
    struct child *child = find_child(header->task);
    if (header->operation == HELLO)
        answer(header, DONE, VERSION);
    else if (!child)
        answer(header, NO_TASK, 0);
    else if (header->operation == KILL || header->operation == INTERRUPT)
        signal_child(child);
    else if (child->busy)
        answer(header, BUSY, 0);
    else
        pass_on(child);
}

static void from_child(struct child *child) {
    union message *message = &router.message;
    int channel;
    if (!receive_message(child->channel, message, &channel)) {
        remove_child(child);
        return;
    }
    child->busy = child->interrupted = false;
    if (channel >= 0) {
        pid_t id = message->header.result;
        message->header.result = add_child(id, channel)->number;
        add_number(message, id);
    }
    write_client(message);
}

/*
 * Signal the tasks that shall be interrupted. What arrives just before the system call is lost, so
 * it is done again until the call is over. Returns how many ms to wait for that, or -1.
 */
static int interrupt_children(void) {
    int timeout = -1;
    for (size_t i = 0; i < router.count; i++) {
        if (!router.children[i].interrupted)
            continue;
        syscall(SYS_tkill, router.children[i].id, SIGUSR1);
        timeout = INTERRUPT_AGAIN_MS;
    }
    return timeout;
}

/* Wait for the client or a task, and handle one message of each that is ready. */
static void turn(void) {
    size_t count = router.count;
    for (size_t i = 0; i < count; i++)
        router.polled[i] = (struct pollfd){router.children[i].channel, POLLIN, 0};
    router.polled[count] = (struct pollfd){STDIN_FILENO, POLLIN, 0};
    if (poll(router.polled, count + 1, interrupt_children()) <= 0)
        return;
    bool from_it = router.polled[count].revents;
    /* From the last, since the last takes the place of one that goes. */
    for (size_t i = count; i-- > 0;)
        if (router.polled[i].revents)
            from_child(&router.children[i]);
    if (from_it)
        from_client();
}

/* --- start */

/* A program that a task executes must not read or write the client's stream. */
static void leave_client(void) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null >= 0 ? null : STDERR_FILENO, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (null > STDERR_FILENO)
        close(null);
}

/*
 * All tasks are in the process group of a guard, which kills them all when the router is gone,
 * whatever way: PR_SET_PDEATHSIG would tell a task that the task is gone which it was forked from.
 * Returns the end of a pipe that nobody but the router may hold.
 */
static int start_guard(void) {
    int ends[2];
    char nothing;
    if (pipe2(ends, O_CLOEXEC) != 0 || (router.guard = fork()) < 0)
        die("agent: guard");
    setpgid(router.guard, router.guard);
    if (router.guard > 0) {
        close(ends[0]);
        return ends[1];
    }
    close(ends[1]);
    leave_client();
    while (read(ends[0], &nothing, 1) < 0 && errno == EINTR)
        ;
    kill(0, SIGKILL);
    _exit(1);
}

static void start_first_task(int lifeline) {
    int ends[2];
    struct task *task;
    pid_t pid;
    if (!open_channel(ends) || !(task = new_task(ends[1])) || (pid = fork()) < 0)
        die("agent: first task");
    if (pid == 0) {
        setpgid(0, router.guard);
        close(lifeline);
        close(ends[0]);
        leave_client();
        add_channel(ends[1]);
        serve(task);
    }
    munmap(task, sizeof(*task));
    close(ends[1]);
    add_child(pid, ends[0]);
}

static void on_interrupt(int number) { (void)number; }

int main(void) {
    struct sigaction interrupt = {.sa_handler = on_interrupt};
    set_fatal_signals(SIG_IGN);
    sigaction(SIGUSR1, &interrupt, NULL);
    allow_interrupts(false);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that end() can wait for those whose parent is gone */
    router.last_number = FIRST_TASK - 1;
    start_first_task(start_guard());
    for (;;)
        turn();
}
