/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's end of the socket tests, and, being static, the host's too.
 *
 *   socket-tool echo PATH                serves: gives back what comes, as a process a connection
 *   socket-tool cat PATH                 stdin to the socket, the socket to stdout, half-closes
 * kept socket-tool verify PATH COUNT BYTES  COUNT connections at once, each of which sends BYTES
 * bytes of a pattern of its own and checks that they come back socket-tool churn PATH COUNT opens
 * and drops COUNT connections, one after the other socket-tool flood PATH COUNT         opens
 * connections, up to COUNT, writes until none takes more, reads nothing, says so and waits for ever
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, BACKLOG = 64 };

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		errx(2, "%s is too long", path);
	memcpy(address.sun_path, path, strlen(path));
	return address;
}

static int try_open(const char *path)
{
	const struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(2, "socket");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static int open_socket(const char *path)
{
	int fd = try_open(path);

	if (fd < 0)
		err(1, "connecting to %s", path);
	return fd;
}

static void write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0)
			err(1, "writing");
		data += n;
		size -= (size_t)n;
	}
}

static int echo(const char *path)
{
	const struct sockaddr_un address = address_of(path);
	static char data[CHUNK];
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)unlink(path);
	if (listener < 0 ||
	    bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, BACKLOG) < 0)
		err(1, "listening on %s", path);
	(void)signal(SIGCHLD, SIG_IGN);
	puts("listening");
	(void)fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		ssize_t n;

		if (fd < 0)
			err(1, "accepting");
		if (fork() == 0) {
			while ((n = read(fd, data, sizeof(data))) > 0)
				write_all(fd, data, (size_t)n);
			_exit(0);
		}
		(void)close(fd);
	}
}

static int cat(const char *path)
{
	static char data[CHUNK];
	int fd = open_socket(path);
	struct pollfd polls[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				  { .fd = fd, .events = POLLIN } };

	while (polls[1].fd >= 0) {
		ssize_t n;

		if (poll(polls, 2, -1) < 0)
			err(1, "poll");
		if (polls[0].fd >= 0 && polls[0].revents) {
			n = read(STDIN_FILENO, data, sizeof(data));
			if (n > 0) {
				write_all(fd, data, (size_t)n);
			} else {
				polls[0].fd = -1;
				(void)shutdown(fd, SHUT_WR);
			}
		}
		if (polls[1].revents) {
			n = read(fd, data, sizeof(data));
			if (n <= 0)
				polls[1].fd = -1;
			else
				write_all(STDOUT_FILENO, data, (size_t)n);
		}
	}
	return 0;
}

static char pattern(uint64_t seed, uint64_t at)
{
	return (char)((at * 31 + at / 251 + seed * 97) & 0xff);
}

/* In a process of its own: 0 where all has come back. */
static int verify_one(const char *path, uint64_t seed, uint64_t bytes)
{
	static char out[CHUNK], in[CHUNK];
	uint64_t sent = 0, received = 0;
	int fd = open_socket(path);

	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pollfd one = { .fd = fd, .events = POLLIN | (sent < bytes ? POLLOUT : 0) };
		ssize_t n;

		if (poll(&one, 1, -1) < 0)
			err(1, "poll");
		if (sent < bytes && (one.revents & POLLOUT)) {
			uint64_t size = bytes - sent < CHUNK ? bytes - sent : CHUNK;

			for (uint64_t i = 0; i < size; i++)
				out[i] = pattern(seed, sent + i);
			n = write(fd, out, size);
			if (n < 0 && errno != EAGAIN)
				err(1, "writing");
			sent += n > 0 ? (uint64_t)n : 0;
			if (sent == bytes)
				(void)shutdown(fd, SHUT_WR);
		}
		if (one.revents & (POLLIN | POLLHUP)) {
			n = read(fd, in, sizeof(in));
			if (n < 0 && errno == EAGAIN)
				continue;
			if (n <= 0)
				break;
			for (ssize_t i = 0; i < n; i++)
				if (in[i] != pattern(seed, received + (uint64_t)i))
					errx(1, "connection %llu: byte %llu is wrong",
					     (unsigned long long)seed,
					     (unsigned long long)received + (unsigned long long)i);
			received += (uint64_t)n;
		}
	}
	if (received != bytes)
		errx(1, "connection %llu: %llu of %llu bytes came back", (unsigned long long)seed,
		     (unsigned long long)received, (unsigned long long)bytes);
	return 0;
}

static int verify(const char *path, uint64_t count, uint64_t bytes)
{
	int status, bad = 0;

	for (uint64_t i = 0; i < count; i++)
		if (fork() == 0)
			_exit(verify_one(path, i, bytes));
	for (uint64_t i = 0; i < count; i++) {
		(void)wait(&status);
		bad += status != 0;
	}
	printf("%llu of %llu\n", (unsigned long long)(count - (uint64_t)bad),
	       (unsigned long long)count);
	return bad > 0;
}

static int churn(const char *path, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		(void)close(open_socket(path));
	printf("%llu\n", (unsigned long long)count);
	return 0;
}

static _Noreturn void flood(const char *path, uint64_t count)
{
	static char data[CHUNK];
	const struct sockaddr_un address = address_of(path);
	uint64_t made = 0, bytes = 0;
	int *fds = calloc(count, sizeof(*fds)), idle = 0;

	while (fds && made < count) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
			if (fd >= 0)
				(void)close(fd);
			break;
		}
		fds[made++] = fd;
	}
	while (idle < 100) { /* until a second has passed in which nothing was taken */
		idle++;
		for (uint64_t i = 0; i < made; i++) {
			ssize_t n = write(fds[i], data, sizeof(data));

			if (n > 0) {
				bytes += (uint64_t)n;
				idle = 0;
			}
		}
		if (idle)
			(void)usleep(10000);
	}
	printf("%llu connections, %llu bytes\n", (unsigned long long)made,
	       (unsigned long long)bytes);
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	const uint64_t count = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

	(void)signal(SIGPIPE, SIG_IGN);
	if (strcmp(verb, "echo") == 0)
		return echo(argv[2]);
	if (strcmp(verb, "cat") == 0)
		return cat(argv[2]);
	if (strcmp(verb, "verify") == 0 && argc == 5)
		return verify(argv[2], count, strtoull(argv[4], NULL, 10));
	if (strcmp(verb, "churn") == 0 && argc == 4)
		return churn(argv[2], count);
	if (strcmp(verb, "flood") == 0 && argc == 4)
		flood(argv[2], count);
	errx(2, "see the head of its source");
}
