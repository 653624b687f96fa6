/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints all that a program can learn about a tree, one line a file, sorted:
 * run on the host and in a guest, the two must say the same. Static, so that
 * it runs in any image.
 *
 * usage: tree-list DIRECTORY
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Of larger files only one block in each stretch is read: the rest are holes in these tests. */
enum { BLOCK = 4096, STRETCH = 16 << 20, NAMES_MAX = 65536 };

/* Inodes with several names, by the first name that was seen. */
struct known {
	ino_t inode;
	char *path;
};
static struct known known[4096];
static size_t known_count;

static void fail(const char *path, const char *what)
{
	(void)fprintf(stderr, "%s: %s: error %d\n", path, what, errno);
	exit(1);
}

static void print_text(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] > ' ' && text[i] <= '~' && text[i] != '\\')
			(void)putchar(text[i]);
		else
			(void)printf("\\%02x", (unsigned char)text[i]);
}

static uint64_t hash_more(uint64_t hash, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* Behind the end of a mapped file there must be zeros up to the page's end. */
static bool tail_is_zero(int fd, off_t size)
{
	const off_t start = size / BLOCK * BLOCK;
	bool zero = true;
	char *page;

	if (size == start)
		return true;
	page = mmap(NULL, BLOCK, PROT_READ, MAP_PRIVATE, fd, start);
	if (page == MAP_FAILED)
		return false;
	for (off_t i = size - start; i < BLOCK; i++)
		zero &= page[i] == '\0';
	(void)munmap(page, BLOCK);
	return zero;
}

static void print_contents(const char *path, off_t size)
{
	static char block[BLOCK];
	const off_t step = size > 4 * (off_t)STRETCH ? STRETCH : BLOCK;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail(path, "open");
	for (off_t at = 0; at < size; at += step) {
		ssize_t n = pread(fd, block, BLOCK, at);

		if (n < 0)
			fail(path, "read");
		hash = hash_more(hash, block, (size_t)n);
	}
	if (size > BLOCK && pread(fd, block, BLOCK, size - BLOCK) == BLOCK)
		hash = hash_more(hash, block, BLOCK);
	(void)printf(" contents=%016" PRIx64, hash);
	if (!tail_is_zero(fd, size))
		(void)printf(" NO-ZEROS-BEHIND");
	(void)close(fd);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_xattrs(const char *path)
{
	static char list[NAMES_MAX], value[NAMES_MAX];
	char *names[512];
	size_t count = 0;
	ssize_t size = llistxattr(path, list, sizeof(list));

	for (ssize_t at = 0; at < size && count < 512; at += (ssize_t)strlen(list + at) + 1)
		names[count++] = list + at;
	qsort(names, count, sizeof(*names), compare);
	for (size_t i = 0; i < count; i++) {
		ssize_t n;

		/* A container without CAP_SYS_ADMIN sees no "trusted." names. */
		if (strncmp(names[i], "trusted.", 8) == 0)
			continue;
		n = lgetxattr(path, names[i], value, sizeof(value));
		(void)printf(" %s=", names[i]);
		print_text(value, n > 0 ? (size_t)n : 0);
	}
}

static void print_links(const char *path, const struct stat *st)
{
	(void)printf(" links=%lu", (unsigned long)st->st_nlink);
	for (size_t i = 0; i < known_count; i++)
		if (known[i].inode == st->st_ino) {
			(void)printf(" same-as=");
			print_text(known[i].path, strlen(known[i].path));
			return;
		}
	if (known_count < sizeof(known) / sizeof(known[0]))
		known[known_count++] = (struct known){ st->st_ino, strdup(path) };
}

static void print_file(const char *path)
{
	char target[PATH_MAX];
	struct stat st;

	if (lstat(path, &st) < 0)
		fail(path, "lstat");
	print_text(path, strlen(path));
	(void)printf(" %o %u:%u %" PRId64 ".%09ld", (unsigned int)st.st_mode, st.st_uid, st.st_gid,
		     (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		print_links(path, &st);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		(void)printf(" device=%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlink(path, target, sizeof(target));

		(void)printf(" target=");
		print_text(target, n > 0 ? (size_t)n : 0);
	}
	if (S_ISREG(st.st_mode)) {
		(void)printf(" size=%" PRId64, (int64_t)st.st_size);
		print_contents(path, st.st_size);
	}
	print_xattrs(path);
	(void)putchar('\n');
}

static void walk(const char *path)
{
	struct dirent **list;
	struct stat st;
	int count;

	print_file(path);
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	count = scandir(path, &list, NULL, alphasort);
	if (count < 0)
		fail(path, "scandir");
	for (int i = 0; i < count; i++) {
		const char *name = list[i]->d_name;
		char below[PATH_MAX];

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			if (snprintf(below, sizeof(below), "%s/%s", path, name) >=
			    (int)sizeof(below))
				fail(path, "path too long");
			walk(below);
		}
		free(list[i]);
	}
	free(list);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	if (chdir(argv[1]) < 0)
		fail(argv[1], "chdir");
	walk(".");
	return fflush(stdout) == 0 ? 0 : 1;
}
