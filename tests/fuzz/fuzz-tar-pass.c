/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign archives passed on. What comes out is judged by rules of its own
 * here: no name twice, each below a directory that stands before it, hard links
 * to files before them; and it passes once more as it is. The first byte says
 * what was asked for, and whether the headers' checksums are to be made right
 * first.
 */
#include "tar-common.h"

#include "base/alloc.h"
#include "base/strv.h"
#include "tar/pass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIX = 1, AS = 6, ENTRIES_MAX = 200 };

static int put(void *user, const void *data, size_t size, struct cay_error *err)
{
	(void)err;
	buf_append(user, data, size);
	return 0;
}

static ssize_t take(void *user, void *data, size_t size, struct cay_error *err)
{
	struct str *rest = user;

	(void)err;
	size = MIN(size, rest->length);
	memcpy(data, rest->data, size);
	rest->data += size;
	rest->length -= size;
	return (ssize_t)size;
}

static int pass(const struct buf *archive, const char *as, struct buf *passed)
{
	struct str rest = { buf_text(archive), archive->length };
	_cleanup_(tar_reader_free_p) struct tar_reader *reader = tar_reader_new(take, &rest);
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(put, passed);
	struct cay_error err;

	return tar_pass(reader, writer, as, &err);
}

static void require(bool right)
{
	if (!right)
		abort();
}

static void check_entry(const struct tar_entry *entry, const char *as, struct strv *directories,
			struct strv *files, struct strv *links)
{
	_cleanup_free_ char *path = str_dup(entry->path), *link = str_dup(entry->link);
	char *slash;

	if (entry->type == TAR_DIRECTORY && strcmp(path, "/") != 0 && ends_with(path, "/"))
		path[strlen(path) - 1] = '\0';
	require(!strv_contains(directories, path) && !strv_contains(files, path) &&
		!strv_contains(links, path));
	require(!strstr(path, "//") && !strstr(path, "/../") && !ends_with(path, "/.."));
	require(entry->type != TAR_HARDLINK || strv_contains(files, link));
	strv_add(entry->type == TAR_DIRECTORY                                        ? directories
			 : entry->type == TAR_SYMLINK || entry->type == TAR_HARDLINK ? links
										     : files,
		 path);
	if (strcmp(path, as) == 0)
		return;
	require(starts_with(path, as));
	slash = strrchr(path, '/');
	if (slash == path)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	require(slash ? strv_contains(directories, path) : *as == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "x", ".", "/", "" };
	_cleanup_buf_ struct buf archive = { 0 }, passed = { 0 }, again = { 0 };
	_cleanup_strv_ struct strv directories = { 0 }, files = { 0 }, links = { 0 };
	const struct tar_entry *entry;
	const char *as;
	struct str rest;

	if (size == 0)
		return 0;
	as = names[(data[0] & AS) >> 1];
	buf_append(&archive, data + 1, size - 1);
	if (data[0] & FIX)
		fix_checksums((uint8_t *)archive.data, archive.length);
	if (pass(&archive, as, &passed) < 0)
		return 0;
	require(pass(&passed, as, &again) == 0 && passed.length == again.length &&
		memcmp(passed.data, again.data, again.length) == 0);
	rest = (struct str){ passed.data, passed.length };
	_cleanup_(tar_reader_free_p) struct tar_reader *reader = tar_reader_new(take, &rest);

	for (size_t i = 0; i < ENTRIES_MAX && tar_reader_next(reader, &entry, NULL) > 0; i++)
		check_entry(entry, as, &directories, &files, &links);
	return 0;
}
