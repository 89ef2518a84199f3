/* SPDX-License-Identifier: Apache-2.0 */
/* What a program does with /dev/ring of ring.py. Prints what it found; exits with 1 if not. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING_GET_COUNT _IOR('R', 0, int)

static int fail(const char *what)
{
    perror(what);
    return 1;
}

int main(void)
{
    int fd = open("/dev/ring", O_RDWR);
    if (fd < 0)
        return fail("open");
    struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};
    poll(&ready, 1, 0);
    printf("empty: can be %s\n", ready.revents == POLLOUT ? "written" : "?");
    char text[8];
    if (read(fd, text, sizeof text) >= 0 || errno != EAGAIN)
        return fail("read of nothing");
    if (write(fd, "hello", 5) != 5)
        return fail("write");
    int count = 0;
    if (ioctl(fd, RING_GET_COUNT, &count) < 0)
        return fail("ioctl");
    poll(&ready, 1, -1);
    printf("count: %d, can be read: %s\n", count, ready.revents & POLLIN ? "yes" : "no");
    if (ioctl(fd, RING_GET_COUNT + 1, &count) >= 0 || errno != ENOTTY)
        return fail("unknown ioctl");
    unsigned char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return fail("mmap");
    printf("page: %d\n", page[0]);
    if (mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED || errno != EINVAL)
        return fail("mmap of too much");
    ssize_t got = read(fd, text, sizeof text);
    printf("read: %.*s\n", (int)got, text);
    return 0;
}
