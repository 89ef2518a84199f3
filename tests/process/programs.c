/* SPDX-License-Identifier: Apache-2.0 */
/* programs MODE PATH COUNT: small jobs for the tests of the process mount.
 *
 * read: open, read and close PATH so often; threads, forks: four of them do, each so often;
 * turns: two processes open PATH in turns, so often together; wait: read PATH once, and print the
 * error after a signal; poll: wait for PATH to become ready, then print what happened; eventfds: 64
 * threads open PATH, and COUNT times have it signal their eventfd (tests/process/toy.py).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARALLEL 4

static const char *path;
static long count;

static void *read_often(void *unused)
{
	char buffer[4096];

	for (long i = 0; i < count; i++) {
		int fd = open(path, O_RDONLY);
		if (fd < 0 || read(fd, buffer, sizeof(buffer)) <= 0 || close(fd) < 0)
			_exit(1);
	}
	return unused;
}

static int threads(void)
{
	pthread_t ids[PARALLEL];

	for (int i = 0; i < PARALLEL; i++)
		if (pthread_create(&ids[i], NULL, read_often, NULL))
			return 1;
	for (int i = 0; i < PARALLEL; i++)
		pthread_join(ids[i], NULL);
	return 0;
}

static int forks(void)
{
	int status, bad = 0;

	for (int i = 0; i < PARALLEL; i++)
		if (fork() == 0) {
			read_often(NULL);
			_exit(0);
		}
	for (int i = 0; i < PARALLEL; i++)
		bad |= wait(&status) < 0 || status;
	return bad;
}

/* Open and close when it is this process's turn, then give the turn to the other. */
static int take_turns(int turn, int other)
{
	char token;

	for (long i = 0; i < count / 2; i++) {
		if (read(turn, &token, 1) != 1)
			return 1;
		int fd = open(path, O_RDWR);
		if (fd < 0) {
			printf("round %ld: %s\n", i, strerror(errno));
			return 1;
		}
		close(fd);
		if (write(other, "t", 1) != 1)
			return 1;
	}
	return 0;
}

static int turns(void)
{
	int a[2], b[2], status;

	/* The last token has no reader left. */
	signal(SIGPIPE, SIG_IGN);
	if (pipe(a) || pipe(b))
		return 1;
	pid_t child = fork();
	if (child == 0) {
		close(a[1]);
		close(b[0]);
		exit(take_turns(a[0], b[1]));
	}
	if (write(a[1], "t", 1) != 1)
		return 1;
	close(a[0]);
	close(b[1]);
	int bad = 0;
	for (long i = 0; i < count / 2 && !bad; i++) {
		char token;
		if (read(b[0], &token, 1) != 1)
			return 1;
		int fd = open(path, O_RDWR);
		if (fd < 0) {
			printf("round %ld: %s\n", i, strerror(errno));
			bad = 1;
			break;
		}
		close(fd);
		if (write(a[1], "t", 1) != 1 && i + 1 < count / 2)
			bad = 1;
	}
	close(a[1]);
	return waitpid(child, &status, 0) < 0 || status || bad;
}

static void caught(int number)
{
	(void)number;
}

static int wait_for_it(void)
{
	char buffer[64];
	struct sigaction action = { .sa_handler = caught };
	int fd = open(path, O_RDONLY);
	ssize_t got;

	sigaction(SIGUSR1, &action, NULL);
	puts("waiting");
	fflush(stdout);
	got = read(fd, buffer, sizeof(buffer));
	printf("%zd %s\n", got, got < 0 ? strerror(errno) : "");
	return 0;
}

static int poll_it(void)
{
	char buffer[64];
	struct pollfd ready = { .fd = open(path, O_RDONLY), .events = POLLPRI };

	if (read(ready.fd, buffer, sizeof(buffer)) < 0)
		return 1;
	printf("before %d\n", poll(&ready, 1, 0));
	fflush(stdout);
	printf("after %d", poll(&ready, 1, 20000));
	printf(" %s\n", ready.revents & POLLPRI ? "POLLPRI" : "");
	return 0;
}

#define HOLD 0x3b00
#define SIGNAL 0x3b01
#define LET_GO 0x3b02

static void *be_signalled(void *unused)
{
	uint64_t number;
	int event = eventfd(0, EFD_NONBLOCK), fd = open(path, O_RDWR);

	if (event < 0 || fd < 0 || ioctl(fd, HOLD, event) != 1)
		_exit(1);
	for (long i = 0; i < count; i++)
		if (ioctl(fd, SIGNAL, 0) || read(event, &number, 8) != 8 || number != 1)
			_exit(2);
	if (ioctl(fd, LET_GO, 0) || read(event, &number, 8) != -1 || errno != EAGAIN)
		_exit(3);
	close(event);
	close(fd);
	return unused;
}

static int eventfds(void)
{
	pthread_t ids[64];

	for (int i = 0; i < 64; i++)
		if (pthread_create(&ids[i], NULL, be_signalled, NULL))
			return 1;
	for (int i = 0; i < 64; i++)
		pthread_join(ids[i], NULL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	path = argv[2];
	count = atol(argv[3]);
	if (!strcmp(argv[1], "read"))
		return read_often(NULL) != NULL;
	if (!strcmp(argv[1], "threads"))
		return threads();
	if (!strcmp(argv[1], "forks"))
		return forks();
	if (!strcmp(argv[1], "turns"))
		return turns();
	if (!strcmp(argv[1], "wait"))
		return wait_for_it();
	if (!strcmp(argv[1], "eventfds"))
		return eventfds();
	return poll_it();
}
