/* SPDX-License-Identifier: Apache-2.0 */
/* loop MODE PATH: for each number N read from stdin, do the operation N times, then answer a line.
 *
 * Modes: ocr (open, read, close), stat, access, read (pread at 0 of an open file), ioctl (an
 * unknown one on an open file), capabilities (of a USB device, one word), mmap (map and unmap two
 * pages privately, as of a library), page (one page), share (one page, shared), start (fork and exec
 * PATH).
 */
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[4096];
static const char *path;
static int fd = -1;

static int ocr(void)
{
	int n, file = open(path, O_RDONLY);
	if (file < 0)
		return -1;
	n = read(file, buffer, sizeof(buffer));
	close(file);
	return n < 0 ? -1 : 0;
}

static int do_stat(void)
{
	struct stat st;
	return stat(path, &st);
}

static int do_access(void)
{
	return access(path, R_OK);
}

static int do_read(void)
{
	return pread(fd, buffer, sizeof(buffer), 0) < 0 ? -1 : 0;
}

static int do_ioctl(void)
{
	ioctl(fd, 0x7777, 0); /* ENOTTY is what is measured */
	return 0;
}

static int capabilities(void)
{
	unsigned int word;
	return ioctl(fd, USBDEVFS_GET_CAPABILITIES, &word);
}

static int map(int flags, size_t length)
{
	void *pages = mmap(NULL, length, PROT_READ, flags, fd, 0);
	return pages == MAP_FAILED ? -1 : munmap(pages, length);
}

static int do_mmap(void)
{
	return map(MAP_PRIVATE, 8192);
}

static int do_page(void)
{
	return map(MAP_PRIVATE, 4096);
}

static int do_share(void)
{
	return map(MAP_SHARED, 4096);
}

static int start(void)
{
	int status;
	pid_t child = vfork();
	if (child == 0) {
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -1;
	return status ? -1 : 0;
}

static const struct {
	const char *name;
	int (*once)(void);
	int open;
} modes[] = {
	{ "ocr", ocr, 0 },	{ "stat", do_stat, 0 },	  { "access", do_access, 0 }, { "read", do_read, 1 },
	{ "ioctl", do_ioctl, 1 }, { "mmap", do_mmap, 1 }, { "start", start, 0 },
	{ "share", do_share, 1 }, { "page", do_page, 1 }, { "capabilities", capabilities, 1 },
};

int main(int argc, char **argv)
{
	char line[32];
	size_t i;

	if (argc != 3)
		return 2;
	path = argv[2];
	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcmp(modes[i].name, argv[1]))
			break;
	if (i == sizeof(modes) / sizeof(*modes))
		return 2;
	if (modes[i].open && (fd = open(path, O_RDONLY)) < 0)
		return 3;
	while (fgets(line, sizeof(line), stdin)) {
		long n = atol(line);
		while (n-- > 0)
			if (modes[i].once() < 0) {
				perror(path);
				return 4;
			}
		puts("done");
		fflush(stdout);
	}
	return 0;
}
