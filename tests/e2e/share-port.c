// SPDX-License-Identifier: Apache-2.0
/*
 * Root in a guest who ends the relay of shared files, takes its port and
 * speaks to the host himself. Needs a container that has the guest's processes
 * and all its devices (--privileged --pid host).
 *
 *   speak
 *	lines of hexadecimal digits are bytes for the host; the frames that come
 *	from it are printed so; "closed" when it has closed the port
 *   flood COUNT
 *	has the host open the first share's "file" so often, and prints how often
 *	it did and how often it refused
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FRAME_MAX (2 * 1024 * 1024)
#define BATCH     256

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long number(const char *text)
{
	return strtol(text, NULL, 10);
}

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

static bool read_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "r");
	bool ok = file && fgets(text, (int)size, file);

	if (file)
		fclose(file);
	if (ok)
		text[strcspn(text, "\n")] = '\0';
	return ok;
}

/* Kills the relay; true while there was one. */
static bool kill_relay(void)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (directory && (entry = readdir(directory))) {
		char path[300], name[64];

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
		    !read_line(path, name, sizeof(name)) || strcmp(name, "cay-relay") != 0)
			continue;
		found = true;
		kill((pid_t)number(entry->d_name), SIGKILL);
	}
	if (directory)
		closedir(directory);
	return found;
}

static int open_port(void)
{
	DIR *directory = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	int fd = -1;

	while (directory && fd < 0 && (entry = readdir(directory))) {
		char path[300], text[64];
		unsigned int major_number, minor_number;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		if (!read_line(path, text, sizeof(text)) || strcmp(text, "cay.files") != 0)
			continue;
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/dev", entry->d_name);
		if (!read_line(path, text, sizeof(text)) ||
		    sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
			continue;
		(void)unlink("/tmp/port");
		if (mknod("/tmp/port", S_IFCHR | 0600, makedev(major_number, minor_number)) < 0)
			fail("mknod");
		while ((fd = open("/tmp/port", O_RDWR)) < 0 && errno == EBUSY)
			usleep(10000);
	}
	if (fd < 0)
		fail("opening the port");
	return fd;
}

static int take_port(void)
{
	while (kill_relay())
		usleep(10000);
	return open_port();
}

static void write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n <= 0)
			fail("writing to the port");
		data += n;
		size -= (size_t)n;
	}
}

/* Prints the whole frames; how many bytes they were. */
static size_t print_frames(const uint8_t *data, size_t size)
{
	size_t at = 0;

	for (;;) {
		uint32_t length;

		if (size - at < 8)
			break;
		memcpy(&length, data + at, sizeof(length));
		if (length > FRAME_MAX - 8 || size - at < 8 + (size_t)length)
			break;
		for (size_t i = 0; i < 8 + (size_t)length; i++)
			printf("%02x", data[at + i]);
		say("");
		at += 8 + (size_t)length;
	}
	return at;
}

static void *allocate(size_t size)
{
	void *data = calloc(1, size);

	if (!data)
		fail("memory");
	return data;
}

static void send_line(int port, const char *line)
{
	size_t length = strspn(line, "0123456789abcdef") / 2;
	uint8_t *data = allocate(length + 1);

	for (size_t i = 0; i < length; i++) {
		char digits[3] = { line[2 * i], line[2 * i + 1], '\0' };

		data[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	write_all(port, data, length);
	free(data);
}

static int speak(void)
{
	int fd = take_port();
	uint8_t *data = allocate(FRAME_MAX);
	size_t size = 0;
	char *line = NULL;
	size_t room = 0;

	say("ready");
	for (;;) {
		struct pollfd fds[2] = { { .fd = 0, .events = POLLIN },
					 { .fd = fd, .events = POLLIN } };

		if (poll(fds, 2, -1) < 0)
			fail("poll");
		if (fds[1].revents) {
			ssize_t n = read(fd, data + size, FRAME_MAX - size);
			size_t done;

			if (n <= 0) {
				say("closed");
				return 0;
			}
			size += (size_t)n;
			done = print_frames(data, size);
			memmove(data, data + done, size - done);
			size -= done;
		}
		if (fds[0].revents) {
			if (getline(&line, &room, stdin) <= 0)
				return 0;
			send_line(fd, line);
		}
	}
}

/* ---- opening without end ---- */

struct request {
	uint32_t size, share;
	struct fuse_in_header header;
	char body[64];
} __attribute__((packed));

static size_t fill(struct request *request, uint32_t opcode, uint64_t node, const void *body,
		   size_t size)
{
	static uint64_t unique;

	memset(request, 0, sizeof(*request));
	request->size = (uint32_t)(sizeof(request->header) + size);
	request->header.len = request->size;
	request->header.opcode = opcode;
	request->header.nodeid = node;
	request->header.unique = unique += 2;
	memcpy(request->body, body, size);
	return 8 + (size_t)request->size;
}

static void read_all(int fd, void *data, size_t size)
{
	uint8_t *at = data;

	while (size > 0) {
		ssize_t n = read(fd, at, size);

		if (n <= 0)
			fail("reading from the port");
		at += n;
		size -= (size_t)n;
	}
}

/* The body's size, or the error. */
static int take_answer(int port, void *body, size_t room)
{
	uint8_t data[4096];
	struct fuse_out_header header;
	uint32_t frame[2];

	read_all(port, frame, sizeof(frame));
	if (frame[0] > sizeof(data))
		fail("a large answer");
	read_all(port, data, frame[0]);
	memcpy(&header, data, sizeof(header));
	if (header.error == 0 && frame[0] - sizeof(header) <= room)
		memcpy(body, data + sizeof(header), frame[0] - sizeof(header));
	return header.error ? header.error : (int)(frame[0] - sizeof(header));
}

static int ask(int port, uint32_t opcode, uint64_t node, const void *body, size_t size,
	       void *answer, size_t room)
{
	struct request request;

	write_all(port, (const uint8_t *)&request, fill(&request, opcode, node, body, size));
	return take_answer(port, answer, room);
}

static int flood(long count)
{
	const struct fuse_init_in init = { .major = 7, .minor = 31, .max_readahead = 65536 };
	const struct fuse_open_in open_in = { .flags = O_RDONLY };
	struct fuse_entry_out entry = { 0 };
	long opened = 0, refused = 0;
	uint8_t answer[256];
	int port = take_port();

	if (ask(port, FUSE_INIT, 0, &init, sizeof(init), answer, sizeof(answer)) < 0)
		fail("init");
	if (ask(port, FUSE_LOOKUP, FUSE_ROOT_ID, "file", 5, &entry, sizeof(entry)) < 0)
		fail("lookup");
	for (long sent = 0; sent < count;) {
		static uint8_t batch[BATCH * sizeof(struct request)];
		size_t size = 0;
		long number_sent = 0;

		for (; number_sent < BATCH && sent < count; number_sent++, sent++) {
			struct request request;
			size_t length =
				fill(&request, FUSE_OPEN, entry.nodeid, &open_in, sizeof(open_in));

			memcpy(batch + size, &request, length);
			size += length;
		}
		write_all(port, batch, size);
		for (; number_sent > 0; number_sent--) {
			if (take_answer(port, answer, sizeof(answer)) < 0)
				refused++;
			else
				opened++;
		}
	}
	printf("%ld %ld\n", opened, refused);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "speak") == 0)
		return speak();
	if (argc == 3 && strcmp(argv[1], "flood") == 0)
		return flood(number(argv[2]));
	fprintf(stderr, "usage: share-port speak | flood COUNT\n");
	return 2;
}
