/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program in a clone sees that no other clone may see, and its clocks.
 * Static, so that it runs in any image.
 *
 * usage: clone-tool        prints one line of JSON
 *        clone-tool clock  for each line "MS" of input sleeps that long and
 *                          prints real-time and monotonic clock, in ns
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 4242, FROM = 4343, WATCH_MS = 200 };

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t now(clockid_t clock)
{
	struct timespec at;

	if (clock_gettime(clock, &at) < 0)
		fail("clock_gettime");
	return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void print_bytes(const char *name, const unsigned char *bytes, size_t size)
{
	(void)printf("\"%s\": \"", name);
	for (size_t i = 0; i < size; i++)
		(void)printf("%02x", bytes[i]);
	(void)printf("\", ");
}

static void print_file(const char *name, const char *path)
{
	char text[256] = "";
	FILE *file = fopen(path, "r");

	if (!file || !fgets(text, sizeof(text), file))
		fail(path);
	(void)fclose(file);
	text[strcspn(text, "\n")] = '\0';
	(void)printf("\"%s\": \"%s\", ", name, text);
}

static int bound(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("bind");
	return fd;
}

/*
 * The secrets behind TCP's first sequence number and time stamp, as far as they show: the addresses
 * and ports are the same in each clone, and the clocks in them are taken off. Sequence numbers
 * count 64 ns of the real time (secure_seq.c), time stamps milliseconds of the monotonic.
 */
static void print_tcp(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(PORT),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = bound(PORT), fd = bound(FROM), on = 1, queue = TCP_SEND_QUEUE;
	uint32_t sequence = 0, stamp = 0;
	socklen_t size = sizeof(sequence);
	int64_t real;

	if (listen(listener, 1) < 0)
		fail("listen");
	real = now(CLOCK_REALTIME);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0 ||
	    getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, &size) < 0 ||
	    getsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &stamp, &size) < 0)
		fail("looking into the connection");
	(void)printf("\"tcp_sequence\": %" PRIu32 ", \"tcp_stamp\": %" PRIu32 ", ",
		     sequence - (uint32_t)(real >> 6),
		     stamp - (uint32_t)(now(CLOCK_MONOTONIC) / 1000000));
}

/* How often a clock went back while it was watched. */
static void print_steps_back(void)
{
	static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME };
	int64_t last[3] = { 0 }, end = now(CLOCK_MONOTONIC) + WATCH_MS * 1000000LL;
	unsigned int back = 0;

	do {
		for (size_t i = 0; i < 3; i++) {
			int64_t at = now(clocks[i]);

			back += at < last[i];
			last[i] = at;
		}
	} while (last[0] < end);
	(void)printf("\"steps_back\": %u, ", back);
}

static void print_all(void)
{
	unsigned char bytes[16];
	char *heap = malloc(1);

	/* first of all: what is left over from the template would come out first */
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		fail("getrandom");
	(void)printf("{");
	print_bytes("random", bytes, sizeof(bytes));
	print_bytes("at_random", (const unsigned char *)getauxval(AT_RANDOM), sizeof(bytes));
	print_file("boot_id", "/proc/sys/kernel/random/boot_id");
	print_file("uuid", "/proc/sys/kernel/random/uuid");
	print_file("hostname", "/proc/sys/kernel/hostname");
	(void)printf("\"stack\": \"%p\", \"heap\": \"%p\", ", (void *)bytes, (void *)heap);
	free(heap);
	print_tcp();
	print_steps_back();
	(void)printf("\"real\": %" PRId64 "}\n", now(CLOCK_REALTIME));
}

static void serve_clock(void)
{
	char line[32];

	while (fgets(line, sizeof(line), stdin)) {
		long ms = strtol(line, NULL, 10);
		const struct timespec pause = { .tv_sec = ms / 1000,
						.tv_nsec = ms % 1000 * 1000000 };

		if (ms > 0 && nanosleep(&pause, NULL) < 0)
			fail("nanosleep");
		(void)printf("%" PRId64 " %" PRId64 "\n", now(CLOCK_REALTIME),
			     now(CLOCK_MONOTONIC));
		(void)fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "clock") == 0)
		serve_clock();
	else
		print_all();
	return 0;
}
