/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of images share: a tar writer that writes whatever it is
 * told, hostile or not; a store in a directory of its own with the real
 * cay-layer; and erofs-utils as the outside judge of what came of it.
 */
#pragma once

#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/process.h"
#include "base/strv.h"
#include "image/store-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <zlib.h>

/*
 * The program beside the folder of this test. By the name that this was called by: the one under
 * /proc is that of another mount namespace once a test has left its first.
 */
static inline cay_unused char *worker_program(void)
{
	char path[PATH_MAX];

	assert_non_null(realpath(program_invocation_name, path));
	*strrchr(path, '/') = '\0';
	return xasprintf("%s/../cay-layer", path);
}

struct tar_item {
	char type; /* as in the header */
	const char *name, *link, *contents;
	unsigned int mode; /* 0: 0644, directories 0755 */
	uint64_t uid;
	uint64_t lie_size; /* instead of the contents' length, when not 0 */
	unsigned int major, minor;
	const char *pax;   /* records, already with their lengths */
	size_t pax_length; /* 0: strlen() */
};

/* One record of a pax header, with its length in front, which counts itself. */
static inline cay_unused void tar_pax_record(struct buf *out, const char *key, const void *value,
					     size_t size)
{
	const size_t rest = strlen(key) + size + 3;
	size_t total = rest + 1;

	while (total != rest + (size_t)snprintf(NULL, 0, "%zu", total))
		total = rest + (size_t)snprintf(NULL, 0, "%zu", total);
	buf_printf(out, "%zu %s=", total, key);
	buf_append(out, value, size);
	buf_putc(out, '\n');
}

static inline cay_unused void tar_pad(struct buf *out)
{
	while (out->length % 512 != 0)
		buf_putc(out, '\0');
}

/* Octal digits, as many as fit. */
static inline cay_unused void tar_octal(char *field, int digits, uint64_t value)
{
	for (int i = digits - 1; i >= 0; i--, value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

static inline cay_unused void tar_header(struct buf *out, char type, const char *name,
					 const char *link, const struct tar_item *item,
					 uint64_t size)
{
	char block[512] = { 0 };
	unsigned int sum = 0;

	(void)snprintf(block, 100, "%s", name);
	tar_octal(block + 100, 7, item->mode ? item->mode : type == '5' ? 0755U : 0644U);
	if (item->uid > 07777777) {
		block[108] = (char)0x80;
		for (int i = 0; i < 7; i++)
			block[115 - i] = (char)(item->uid >> (8 * i));
	} else {
		tar_octal(block + 108, 7, item->uid);
	}
	tar_octal(block + 116, 7, 0);
	tar_octal(block + 124, 11, size);
	tar_octal(block + 136, 11, 1700000000);
	block[156] = type;
	(void)snprintf(block + 157, 100, "%s", link ? link : "");
	memcpy(block + 257,
	       "ustar\0"
	       "00",
	       8);
	tar_octal(block + 329, 7, item->major);
	tar_octal(block + 337, 7, item->minor);
	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	tar_octal(block + 148, 6, sum);
	buf_append(out, block, sizeof(block));
}

static inline cay_unused void tar_add(struct buf *out, const struct tar_item *item)
{
	const size_t length = item->contents ? strlen(item->contents) : 0;
	const struct tar_item plain = { 0 };

	if (item->pax) {
		const size_t n = item->pax_length ? item->pax_length : strlen(item->pax);

		tar_header(out, 'x', "pax", NULL, &plain, n);
		buf_append(out, item->pax, n);
		tar_pad(out);
	}
	tar_header(out, item->type, item->name, item->link, item,
		   item->lie_size ? item->lie_size : length);
	buf_append(out, item->contents ? item->contents : "", length);
	tar_pad(out);
}

static inline cay_unused void tar_end(struct buf *out)
{
	char zeros[1024] = { 0 };

	buf_append(out, zeros, sizeof(zeros));
}

/*
 * A tar from a few words: "d:a" a directory, "f:a/b=text" a file, "l:a>b" a symbolic link, "h:a>b"
 * a hard link, "p:a" a FIFO, "w:a/b" the whiteout of a/b, "o:a" an opaque marker in a, "o:" in the
 * root.
 */
static inline cay_unused void tar_script(struct buf *out, const char *script)
{
	_cleanup_free_ char *copy = xstrdup(script);
	char *rest = copy;

	for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " ")) {
		struct tar_item item = { .name = word + 2 };
		char *mark = strpbrk(word + 2, word[0] == 'f' ? "=" : ">");
		_cleanup_free_ char *name = NULL;
		char *slash;

		if (word[0] == '\0')
			continue;
		if (mark)
			*mark++ = '\0';
		slash = strrchr(word + 2, '/');
		switch (word[0]) {
		case 'd':
			item.type = '5';
			break;
		case 'f':
			item.type = '0';
			item.contents = mark;
			break;
		case 'l':
		case 'h':
			item.type = word[0] == 'l' ? '2' : '1';
			item.link = mark;
			break;
		case 'p':
			item.type = '6';
			break;
		case 'w':
			item.type = '0';
			name = xasprintf("%.*s.wh.%s", slash ? (int)(slash + 1 - word - 2) : 0,
					 word + 2, slash ? slash + 1 : word + 2);
			item.name = name;
			break;
		default:
			assert_int_equal(word[0], 'o');
			item.type = '0';
			name = xasprintf("%s%s.wh..wh..opq", word + 2, word[2] ? "/" : "");
			item.name = name;
		}
		tar_add(out, &item);
	}
	tar_end(out);
}

static inline cay_unused struct image_store *open_test_store(const char *root)
{
	_cleanup_free_ char *worker = worker_program();
	const struct image_store_options options = { .root = root, .worker = worker };
	struct image_store *store = NULL;
	struct cay_error err = { 0 };

	assert_ok(image_store_open(&options, &store, &err));
	store->retry_ms = 5;
	return store;
}

/* Stores and converts one layer; its digest in ret_digest. The pin keeps it for the test's length.
 */
static inline cay_unused int add_layer(struct pins *pins, const struct buf *tar,
				       char ret_digest[DIGEST_SIZE], struct cay_error *err)
{
	struct image_store *store = pins->store;
	int r;

	digest_of(tar->data, tar->length, ret_digest);
	pins_add(pins, ret_digest);
	r = content_write_blob(&store->content, tar->data, tar->length, err);
	return r < 0 ? r : store_convert_layer(store, ret_digest, NULL, NULL, err);
}

/* What stands below `folder`, sorted by readdir's names: "a/ a/b=text l>target p|". */
static inline cay_unused void describe_tree(const char *folder, const char *prefix, struct buf *out)
{
	struct dirent **list;
	int count = scandir(folder, &list, NULL, alphasort);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		_cleanup_free_ char *path = path_join(folder, list[i]->d_name);
		_cleanup_free_ char *name = xasprintf("%s%s", prefix, list[i]->d_name);
		const bool dots =
			strcmp(list[i]->d_name, ".") == 0 || strcmp(list[i]->d_name, "..") == 0;
		char target[256] = "";
		struct stat st;

		free(list[i]);
		if (dots)
			continue;
		assert_int_equal(lstat(path, &st), 0);
		buf_printf(out, "%s%s", out->length ? " " : "", name);
		if (S_ISDIR(st.st_mode)) {
			_cleanup_free_ char *below = xasprintf("%s/", name);

			buf_putc(out, '/');
			describe_tree(path, below, out);
		} else if (S_ISLNK(st.st_mode)) {
			assert_true(readlink(path, target, sizeof(target) - 1) > 0);
			buf_printf(out, ">%s", target);
		} else if (S_ISREG(st.st_mode)) {
			struct cay_error err = { 0 };

			buf_putc(out, '=');
			assert_ok(file_read(path, MIB, out, &err));
		} else {
			buf_putc(out, '|');
		}
	}
	free(list);
}

/* Whether erofs-utils are there to judge; says so where they are not. */
static inline cay_unused bool have_judge(void)
{
	if (access("/usr/bin/fsck.erofs", X_OK) == 0)
		return true;
	print_message("erofs-utils are not installed: NOT JUDGED\n");
	return false;
}

/* Joins the extents of a disk in one file, checks it with fsck.erofs and extracts it to `tree`. */
static inline cay_unused void extract_disk(const char *directory, const struct image_disk *disk,
					   const char *tree)
{
	_cleanup_free_ char *joined = path_join(directory, "joined"), *option = NULL;
	_cleanup_close_ int fd = open(joined, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_buf_ struct buf output = { 0 };
	struct cay_error err = { 0 };

	assert_true(fd >= 0);
	for (size_t i = 0; i < disk->count; i++) {
		_cleanup_buf_ struct buf part = { 0 };

		assert_ok(file_read(disk->extents[i].path, GIB, &part, &err));
		assert_int_equal(part.length, disk->extents[i].size);
		assert_int_equal(part.length % 4096, 0);
		assert_ok(write_full(fd, part.data, part.length));
	}
	option = xasprintf("--extract=%s", tree);
	strv_add(&argv, "fsck.erofs");
	strv_add(&argv, option);
	strv_add(&argv, joined);
	if (process_run(&argv, 65536, &output, &err) != 0)
		fail_msg("fsck.erofs: %s", buf_text(&output));
}

/* Takes away what every image is given to be mounted over, which has no time. */
static inline cay_unused void drop_mount_points(const char *tree)
{
	static const char *const names[] = { "dev",       "proc",         "sys",
					     "etc/hosts", "etc/hostname", "etc/resolv.conf",
					     "etc" };

	bool added[ARRAY_SIZE(names)];

	/* All are looked at first: removing a file gives its folder a time. */
	for (unsigned int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			_cleanup_free_ char *path = path_join(tree, names[i]);
			struct stat st;

			if (pass == 0)
				added[i] = lstat(path, &st) == 0 && st.st_mtime == 0 &&
					(S_ISDIR(st.st_mode) || st.st_size == 0);
			else if (added[i])
				(void)remove(path); /* a folder with something of the image stays */
		}
}

/* The same, and only what the image's layers say is left. */
static inline cay_unused void judge_disk(const char *directory, const struct image_disk *disk,
					 const char *tree)
{
	extract_disk(directory, disk, tree);
	drop_mount_points(tree);
}
