/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load of bench/files.py, run where a share is mounted: files-load
 * DIRECTORY COUNT [NAME COMMAND]… does the measurements below it and prints a
 * line "NAME VALUE" for each: MB/s for contents, else microseconds a file or
 * an access, milliseconds for a command of /bin/sh. With a COUNT of 0 it is
 * only the commands.
 *
 * Static, as it runs in any image. What the guest has cached of the file is
 * dropped before a "cold" reading; the host's own cache is warm for all.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
	FILE_MIB = 64,
	BLOCK = 1 << 20,
	SMALL = 4096,
	ACCESSES = 10000,
	PASSES = 7, /* over the contents; their median counts */
	PER_DIRECTORY = 500
};

enum { WRITE, READ, READ_AGAIN, READ_SMALL, WRITE_SMALL, MEASURED };

static const char *const names[MEASURED] = { "write", "read", "read-again", "read-4k", "write-4k" };

static const char *directory;

static char *path_of(unsigned int number)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "d%u/f%u", number / PER_DIRECTORY, number);
	return path_join(directory, name);
}

static void check(bool good, const char *what)
{
	if (!good)
		die("%s: %s", what, errno_text(errno));
}

static void print(const char *name, double value)
{
	(void)printf("%s %.1f\n", name, value);
	(void)fflush(stdout);
}

static void print_each(const char *name, int64_t began_us, unsigned int count)
{
	print(name, (double)(clock_monotonic_us() - began_us) / count);
}

/* In MB/s. */
static double rate_since(int64_t began_us)
{
	return (double)FILE_MIB * BLOCK / (double)(clock_monotonic_us() - began_us);
}

static double write_all(int fd, const char *block)
{
	const int64_t began_us = clock_monotonic_us();

	for (off_t at = 0; at < (off_t)FILE_MIB * BLOCK; at += BLOCK)
		check(pwrite_full(fd, block, BLOCK, at) == 0, "writing");
	check(fsync(fd) == 0, "syncing");
	return rate_since(began_us);
}

static double read_all(int fd, char *block)
{
	const int64_t began_us = clock_monotonic_us();

	for (off_t at = 0; at < (off_t)FILE_MIB * BLOCK; at += BLOCK)
		check(pread_full(fd, block, BLOCK, at) == BLOCK, "reading");
	return rate_since(began_us);
}

static void forget(int fd)
{
	check(fdatasync(fd) == 0, "syncing");
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* The same places in every run. */
static off_t next_place(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return (off_t)((*state >> 8) % (FILE_MIB * (BLOCK / SMALL))) * SMALL;
}

/* Not zeros, of which a disk of cay's makes holes. */
static void fill(char *block)
{
	for (unsigned int i = 0; i < BLOCK; i++)
		block[i] = (char)(i * 2654435761U >> 24 | 1);
}

/* How long one takes, in microseconds. */
static double read_at_random(int fd, char *block, uint32_t *state)
{
	const int64_t began_us = clock_monotonic_us();

	for (unsigned int i = 0; i < ACCESSES; i++)
		check(pread_full(fd, block, SMALL, next_place(state)) == SMALL, "reading");
	return (double)(clock_monotonic_us() - began_us) / ACCESSES;
}

static double write_at_random(int fd, const char *block, uint32_t *state)
{
	const int64_t began_us = clock_monotonic_us();

	for (unsigned int i = 0; i < ACCESSES; i++)
		check(pwrite_full(fd, block, SMALL, next_place(state)) == 0, "writing");
	check(fdatasync(fd) == 0, "syncing");
	return (double)(clock_monotonic_us() - began_us) / ACCESSES;
}

static void measure_contents(double *measured)
{
	_cleanup_free_ char *path = path_join(directory, "contents"), *block = xcalloc(1, BLOCK);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	uint32_t state = 1;

	check(fd >= 0, path);
	fill(block);
	measured[WRITE] = write_all(fd, block);
	forget(fd);
	measured[READ] = read_all(fd, block);
	measured[READ_AGAIN] = read_all(fd, block);
	forget(fd);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	measured[READ_SMALL] = read_at_random(fd, block, &state);
	measured[WRITE_SMALL] = write_at_random(fd, block, &state);
	(void)unlink(path);
}

static int by_size(const void *a, const void *b)
{
	const double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

/*
 * One pass takes a second or two, in which the host's disk and its other work show; and the first
 * is a guest's first: translated meanwhile, in memory that the host gives it only then.
 */
static void contents(void)
{
	double measured[PASSES][MEASURED], sorted[PASSES];

	for (unsigned int pass = 0; pass < PASSES; pass++)
		measure_contents(measured[pass]);
	for (unsigned int what = 0; what < MEASURED; what++) {
		for (unsigned int pass = 0; pass < PASSES; pass++)
			sorted[pass] = measured[pass][what];
		qsort(sorted, PASSES, sizeof(sorted[0]), by_size);
		print(names[what], sorted[PASSES / 2]);
	}
}

static void small_files(unsigned int count)
{
	static const char text[100] = "a small file";
	int64_t began_us = clock_monotonic_us();

	for (unsigned int i = 0; i < count; i++) {
		_cleanup_free_ char *path = path_of(i);
		_cleanup_close_ int fd = -1;

		if (i % PER_DIRECTORY == 0) {
			_cleanup_free_ char *parent =
				xstrndup(path, (size_t)(path_last(path) - path));

			check(mkdir(parent, 0755) == 0, parent);
		}
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		check(fd >= 0 && write_full(fd, text, sizeof(text)) == 0, path);
	}
	print_each("create", began_us, count);
	began_us = clock_monotonic_us();
	for (unsigned int i = 0; i < count; i++) {
		_cleanup_free_ char *path = path_of(i);
		struct stat st;

		check(stat(path, &st) == 0 && st.st_size == sizeof(text), path);
	}
	print_each("stat", began_us, count);
	began_us = clock_monotonic_us();
	for (unsigned int i = 0; i < count; i++) {
		_cleanup_free_ char *path = path_of(i);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		char found[sizeof(text)];

		check(read_full(fd, found, sizeof(found)) == sizeof(found), path);
	}
	print_each("open-read", began_us, count);
}

static void command(const char *name, char *text)
{
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_buf_ struct buf output = { 0 };
	struct cay_error err = { 0 };
	int64_t began_us = clock_monotonic_us();
	int r;

	strv_add(&argv, "/bin/sh");
	strv_add(&argv, "-c");
	strv_add(&argv, text);
	r = process_run(&argv, MIB, &output, &err);
	if (r != 0)
		/* The others are measured all the same. */
		(void)printf("%s failed: %s%s\n", name, err.message, buf_text(&output));
	else
		print(name, (double)(clock_monotonic_us() - began_us) / 1000);
}

int main(int argc, char **argv)
{
	uint64_t count;

	log_init("files-load", LOG_LEVEL_INFO);
	if (argc < 3 || argc % 2 == 0 || parse_u64(argv[2], 1000000, &count) < 0)
		die("usage: files-load DIRECTORY COUNT [NAME COMMAND]…");
	directory = argv[1];
	if (count > 0) {
		contents();
		small_files((unsigned int)count);
	}
	for (int i = 3; i < argc; i += 2)
		command(argv[i], argv[i + 1]);
	return 0;
}
