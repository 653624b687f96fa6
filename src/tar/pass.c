/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for an archive that is passed on, which its entries are held against one by one. */
#include "tar/pass.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "tar/path.h"

#include <errno.h>

/* Files that a hard link may name, 64 MiB of memory; further ones can't be linked to. */
enum { FILES_MAX = 1 << 22, FILES_ROOM_MIN = 256 };

struct pass {
	struct tar_writer *writer;
	const char *as;
	bool begun;                  /* the top was there, or has no entry */
	char last[TAR_PATH_MAX + 1]; /* the last entry below the top; "" is the top */
	bool last_is_directory;
	/* Hashes of the names of files, in an open table of which at most half is used. */
	struct hash_key key;
	uint64_t *files;
	size_t file_count, file_room;
};

static int refuse(struct str name, const char *why, struct cay_error *err)
{
	char shown[PATH_SHOWN_MAX + 4];

	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the archive has \"%s\": %s",
			     path_shown(name, shown), why);
}

/* ---- the files there were ---- */

static size_t find_slot(const struct pass *pass, uint64_t hash)
{
	size_t at = hash & (pass->file_room - 1);

	while (pass->files[at] != 0 && pass->files[at] != hash)
		at = (at + 1) & (pass->file_room - 1);
	return at;
}

static uint64_t hash_name(const struct pass *pass, struct str name)
{
	return MAX(hash_bytes(&pass->key, name.data, name.length), UINT64_C(1));
}

/* False where there is no room for more. */
static bool make_room(struct pass *pass)
{
	const size_t old_room = pass->file_room;
	uint64_t *old = pass->files, *grown;

	if (pass->file_count < old_room / 2)
		return true;
	if (pass->file_count >= FILES_MAX)
		return false;
	grown = calloc(MAX(old_room * 2, (size_t)FILES_ROOM_MIN), sizeof(*grown));
	if (!grown)
		return false;
	pass->files = grown;
	pass->file_room = MAX(old_room * 2, (size_t)FILES_ROOM_MIN);
	for (size_t i = 0; i < old_room; i++)
		if (old[i] != 0)
			grown[find_slot(pass, old[i])] = old[i];
	free(old);
	return true;
}

static void remember(struct pass *pass, struct str name)
{
	const uint64_t hash = hash_name(pass, name);

	if (!make_room(pass))
		return;
	pass->files[find_slot(pass, hash)] = hash;
	pass->file_count++;
}

static bool is_remembered(const struct pass *pass, struct str name)
{
	return pass->file_room > 0 && pass->files[find_slot(pass, hash_name(pass, name))] != 0;
}

/* ---- names ---- */

/* What a name is below the top, "" for the top itself; false where it is beside it. */
static bool find_below(const struct pass *pass, const struct tar_entry *entry, struct str *ret_rest)
{
	const size_t top = strlen(pass->as);
	const bool slash = top > 0 && !ends_with(pass->as, "/");
	struct str rest = entry->path;

	if (str_equals(rest, pass->as)) {
		*ret_rest = (struct str){ "", 0 };
		return top > 0;
	}
	if (!str_starts(rest, pass->as) || (slash && rest.data[top] != '/'))
		return false;
	rest.data += top + slash;
	rest.length -= top + slash;
	/* The mark of directories. */
	if (entry->type == TAR_DIRECTORY && rest.length > 0 && rest.data[rest.length - 1] == '/')
		rest.length--;
	*ret_rest = rest;
	return true;
}

/*
 * Whether a walk that gives what is in a directory behind it and in the order of names comes to
 * this path after the last one. It is then in a directory that the walk has met.
 */
static bool is_next(const struct pass *pass, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *passed;
	const size_t above = slash ? (size_t)(slash - path) : 0;
	size_t length;

	if (!pass->begun || *path == '\0')
		return !pass->begun && *path == '\0';
	if (strncmp(path, pass->last, above) != 0)
		return false;
	if (pass->last[above] == '\0')
		return pass->last_is_directory;
	if (above > 0 && pass->last[above] != '/')
		return false;
	passed = pass->last + (name - path);
	length = strcspn(passed, "/");
	return strncmp(name, passed, length) > 0 ||
		(strncmp(name, passed, length) == 0 && name[length] != '\0');
}

static int check_name(struct pass *pass, const struct tar_entry *entry, struct cay_error *err)
{
	struct cay_error ignored;
	char path[TAR_PATH_MAX + 1];
	struct str rest;

	if (!find_below(pass, entry, &rest))
		return refuse(entry->path, "it was not asked for", err);
	if (path_clean(rest, path, &ignored) != (int)rest.length)
		return refuse(entry->path, "it is no plain name", err);
	if (!is_next(pass, path))
		return refuse(entry->path, "it is not where it belongs", err);
	memcpy(pass->last, path, rest.length + 1);
	pass->last_is_directory = entry->type == TAR_DIRECTORY;
	pass->begun = true;
	return 0;
}

/* ---- entries ---- */

static int check_kind(struct pass *pass, const struct tar_entry *entry, struct cay_error *err)
{
	if (entry->uid >= UINT32_MAX || entry->gid >= UINT32_MAX)
		return refuse(entry->path, "its owner has an impossible number", err);
	if (entry->sparse)
		return refuse(entry->path, "it has holes", err);
	switch (entry->type) {
	case TAR_DIRECTORY:
		return 0;
	case TAR_SYMLINK:
		/* Nor is it remembered: a mode that is set on a name of it is set on its target. */
		return entry->link.length > 0 ? 0
					      : refuse(entry->path, "a link without a target", err);
	case TAR_HARDLINK:
		return is_remembered(pass, entry->link)
			? 0
			: refuse(entry->path, "a hard link to no file of the archive", err);
	case TAR_FILE:
	case TAR_CHARACTER:
	case TAR_BLOCK_DEVICE:
	case TAR_FIFO:
		break;
	}
	remember(pass, entry->path);
	return 0;
}

static void keep_attributes(const struct buf *all, struct buf *kept)
{
	struct str name, value;
	size_t at = 0;

	while (tar_xattr_next(all, &at, &name, &value))
		if (str_starts(name, "user.") || str_equals(name, "security.capability"))
			tar_xattr_add(kept, name, value);
}

static int pass_entry(struct pass *pass, struct tar_reader *reader, const struct tar_entry *entry,
		      struct cay_error *err)
{
	_cleanup_buf_ struct buf kept = { 0 };
	struct tar_entry copy = *entry;
	struct str piece;
	uint64_t offset;
	int r = check_name(pass, entry, err);

	if (r == 0)
		r = check_kind(pass, entry, err);
	if (r < 0)
		return r;
	keep_attributes(&entry->xattrs, &kept);
	copy.xattrs = kept;
	r = tar_writer_add(pass->writer, &copy, err);
	while (r >= 0 && (r = tar_reader_read(reader, &offset, &piece, err)) > 0)
		r = tar_writer_put(pass->writer, piece.data, piece.length, err);
	return r;
}

int tar_pass(struct tar_reader *reader, struct tar_writer *writer, const char *as,
	     struct cay_error *err)
{
	struct pass pass = {
		.writer = writer,
		.as = as,
		.begun = *as == '\0',
		.last_is_directory = true,
		.key = hash_key_make(),
	};
	const struct tar_entry *entry;
	int r;

	while ((r = tar_reader_next(reader, &entry, err)) > 0) {
		r = pass_entry(&pass, reader, entry, err);
		if (r < 0)
			break;
	}
	free(pass.files);
	if (r == 0 && !pass.begun)
		r = cay_error_set(err, CAY_CORRUPT, EBADMSG, "the archive is empty");
	return r < 0 ? r : tar_writer_finish(writer, err);
}
