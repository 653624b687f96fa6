// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of shared files do in a guest, or on the host, that a shell
 * can't; static, so that it runs in any image.
 *
 *   lock flock|posix|ofd FILE
 *	"locked" or "busy"; a lock is held until the input ends
 *   close-locked FILE
 *	what an open file that is locked, closed once and closed twice means to
 *	another: "locked", "busy", "locked"
 *   await flock|posix FILE SECONDS
 *	"waiting", then "locked", or what else ended the waiting; a signal does
 *	after so many seconds
 *   map FILE TEXT
 *	writes TEXT at the file's start through a shared mapping, and ends
 *   see FILE COUNT
 *	maps so many bytes and prints them for each line of input
 *   unlinked FILE
 *	makes, unlinks, writes and reads a file: "LINKS TEXT"
 *   attribute get|set|list|remove PATH [NAME [VALUE]]
 *   watch PATH SECONDS
 *	"watching", then the names of inotify's events and of what they are about
 *   swap DIRECTORY SECONDS
 *	exchanges DIRECTORY/a and DIRECTORY/b all the time; prints how often
 *   open FILE|DIRECTORY COUNT
 *	opens the file so often, or so many files f0, f1, … of the directory,
 *	prints how often it went and the error then
 *   who
 *	the user, real and effective
 *   round PATH COUNT
 *	the median time of a stat() in microseconds
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 100000

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long number(const char *text)
{
	return strtol(text, NULL, 10);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

/* Without waiting. */
static int take_lock(int fd, const char *kind)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int r;

	if (strcmp(kind, "flock") == 0)
		r = flock(fd, LOCK_EX | LOCK_NB);
	else
		r = fcntl(fd, strcmp(kind, "ofd") == 0 ? F_OFD_SETLK : F_SETLK, &whole);
	if (r < 0 && errno != EAGAIN && errno != EACCES)
		fail("locking");
	return r;
}

static int lock(const char *kind, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0666), r;

	if (fd < 0)
		fail(path);
	r = take_lock(fd, kind);
	say(r < 0 ? "busy" : "locked");
	while (r == 0 && getchar() != EOF)
		;
	return 0;
}

/* A lock of an open file's stays until the last of its descriptors is closed. */
static int close_locked(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0666), twin, other = open(path, O_RDWR);

	if (fd < 0 || other < 0)
		fail(path);
	say(take_lock(fd, "ofd") < 0 ? "busy" : "locked");
	twin = dup(fd);
	close(fd);
	say(take_lock(other, "ofd") < 0 ? "busy" : "locked");
	close(twin);
	say(take_lock(other, "ofd") < 0 ? "busy" : "locked");
	return 0;
}

static void on_alarm(int number_of_signal)
{
	(void)number_of_signal;
}

static int await(const char *kind, const char *path, long seconds)
{
	struct sigaction action = { .sa_handler = on_alarm }; /* calls are not begun anew */
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CREAT, 0666), r;

	if (fd < 0)
		fail(path);
	sigaction(SIGALRM, &action, NULL);
	say("waiting");
	alarm((unsigned int)seconds);
	r = strcmp(kind, "flock") == 0 ? flock(fd, LOCK_EX) : fcntl(fd, F_SETLKW, &whole);
	say(r < 0 ? strerrordesc_np(errno) : "locked");
	return 0;
}

static char *map_file(const char *path, size_t size, int protection)
{
	int fd = open(path, O_RDWR);
	char *at;

	if (fd < 0)
		fail(path);
	at = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		fail("mmap");
	close(fd);
	return at;
}

static int see(const char *path, size_t size)
{
	const char *at = map_file(path, size, PROT_READ);
	char line[16];

	while (fgets(line, sizeof(line), stdin)) {
		fwrite(at, 1, size, stdout);
		say("");
	}
	return 0;
}

static int unlinked(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	struct stat st;
	char text[8] = { 0 };

	if (fd < 0 || unlink(path) < 0 || write(fd, "gone", 4) != 4 || pread(fd, text, 4, 0) != 4 ||
	    fstat(fd, &st) < 0)
		fail(path);
	printf("%u %s\n", (unsigned int)st.st_nlink, text);
	return 0;
}

static int attribute(int argc, char **argv)
{
	const char *verb = argv[0], *path = argv[1];
	char text[4096];
	ssize_t n;

	if (strcmp(verb, "list") == 0) {
		n = llistxattr(path, text, sizeof(text));
		for (ssize_t at = 0; at < n; at += (ssize_t)strlen(text + at) + 1)
			puts(text + at);
	} else if (strcmp(verb, "get") == 0 && argc == 3) {
		n = lgetxattr(path, argv[2], text, sizeof(text));
		if (n >= 0)
			printf("%.*s\n", (int)n, text);
	} else if (strcmp(verb, "set") == 0 && argc == 4) {
		n = lsetxattr(path, argv[2], argv[3], strlen(argv[3]), 0);
	} else {
		n = lremovexattr(path, argv[2]);
	}
	if (n < 0)
		fail(path);
	return 0;
}

static int watch(const char *path, long seconds)
{
	static const struct {
		uint32_t mask;
		const char *name;
	} names[] = { { IN_CREATE, "create" },
		      { IN_MODIFY, "modify" },
		      { IN_DELETE, "delete" },
		      { IN_MOVED_TO, "moved-to" },
		      { IN_ATTRIB, "attrib" } };
	int fd = inotify_init();
	char data[4096] __attribute__((aligned(8)));
	double end = now() + (double)seconds;

	if (fd < 0 || inotify_add_watch(fd, path, IN_ALL_EVENTS) < 0)
		fail(path);
	say("watching");
	for (;;) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		double left = end - now();
		ssize_t n;

		if (left <= 0 || poll(&poll_fd, 1, (int)(left * 1000)) <= 0)
			return 0;
		n = read(fd, data, sizeof(data));
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(data + at);

			for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
				if (event->mask & names[i].mask)
					printf("%s %s\n", names[i].name,
					       event->len ? event->name : "");
			at += (ssize_t)(sizeof(*event) + event->len);
		}
		fflush(stdout);
	}
}

static int swap(const char *directory, long seconds)
{
	double end = now() + (double)seconds;
	unsigned long count = 0;
	char a[256], b[256];

	snprintf(a, sizeof(a), "%s/a", directory);
	snprintf(b, sizeof(b), "%s/b", directory);
	for (; now() < end; count++)
		if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0)
			fail("exchanging");
	printf("%lu\n", count);
	return 0;
}

static int open_often(const char *path, long count)
{
	struct rlimit most;
	struct stat st;
	char name[256];
	long opened = 0;
	bool many = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

	if (getrlimit(RLIMIT_NOFILE, &most) == 0) {
		most.rlim_cur = most.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &most);
	}
	for (; opened < count; opened++) {
		snprintf(name, sizeof(name), "%s/f%ld", path, opened);
		if (open(many ? name : path, O_RDONLY) < 0)
			break;
	}
	printf("%ld %d\n", opened, opened < count ? errno : 0);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static int measure(const char *path, long count)
{
	static double times[ROUNDS_MAX];
	struct stat st;

	if (count < 1 || count > ROUNDS_MAX)
		return 2;
	for (long i = 0; i < count; i++) {
		double start = now();

		if (stat(path, &st) < 0)
			fail(path);
		times[i] = now() - start;
	}
	qsort(times, (size_t)count, sizeof(times[0]), compare);
	printf("%.1f\n", times[count / 2] * 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "lock") == 0 && argc == 4)
		return lock(argv[2], argv[3]);
	if (strcmp(verb, "close-locked") == 0 && argc == 3)
		return close_locked(argv[2]);
	if (strcmp(verb, "await") == 0 && argc == 5)
		return await(argv[2], argv[3], number(argv[4]));
	if (strcmp(verb, "map") == 0 && argc == 4) {
		memcpy(map_file(argv[2], strlen(argv[3]), PROT_READ | PROT_WRITE), argv[3],
		       strlen(argv[3]));
		return 0;
	}
	if (strcmp(verb, "see") == 0 && argc == 4)
		return see(argv[2], (size_t)number(argv[3]));
	if (strcmp(verb, "unlinked") == 0 && argc == 3)
		return unlinked(argv[2]);
	if (strcmp(verb, "attribute") == 0 && argc >= 4)
		return attribute(argc - 2, argv + 2);
	if (strcmp(verb, "watch") == 0 && argc == 4)
		return watch(argv[2], number(argv[3]));
	if (strcmp(verb, "swap") == 0 && argc == 4)
		return swap(argv[2], number(argv[3]));
	if (strcmp(verb, "open") == 0 && argc == 4)
		return open_often(argv[2], number(argv[3]));
	if (strcmp(verb, "round") == 0 && argc == 4)
		return measure(argv[2], number(argv[3]));
	if (strcmp(verb, "who") == 0) {
		printf("%u %u\n", (unsigned int)getuid(), (unsigned int)geteuid());
		return 0;
	}
	fprintf(stderr, "share-tool: no such verb\n");
	return 2;
}
