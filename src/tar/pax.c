/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a pax extended header: "<length> <key>=<value>\n". */
#include "tar/reader-internal.h"

#include "base/alloc.h"
#include "tar/path.h"

#include <errno.h>

enum {
	TAR_RUNS_MAX = 1 << 18, /* 4 MiB of memory: a file that alternates every other block */
	XATTRS_COUNT_MAX = 256,
};

void tar_extra_done(struct tar_extra *extra)
{
	free(extra->path);
	free(extra->link);
	free(extra->sparse_name);
	free(extra->runs);
	buf_done(&extra->xattrs);
	*extra = (struct tar_extra){ 0 };
}

static int bad(struct str key, struct cay_error *err)
{
	char shown[PATH_SHOWN_MAX + 4];

	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "bad value of \"%s\" in a pax header",
			     path_shown(key, shown));
}

int tar_add_run(struct tar_run **runs, size_t *count, size_t *room, uint64_t offset, uint64_t size,
		struct cay_error *err)
{
	const struct tar_run *last = *runs && *count > 0 ? &(*runs)[*count - 1] : NULL;

	if (offset > INT64_MAX || size > INT64_MAX - offset ||
	    (last && offset < last->offset + last->size))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the map of a sparse file is out of order");
	if (*count == *room) {
		if (*count >= TAR_RUNS_MAX)
			return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
					     "a sparse file has more than %d pieces", TAR_RUNS_MAX);
		*room = *room ? *room * 2 : 16;
		*runs = xreallocarray(*runs, *room, sizeof(**runs));
	}
	assert(*runs);
	(*runs)[(*count)++] = (struct tar_run){ offset, size };
	return 0;
}

static int read_text(struct str key, struct str value, char **target, struct cay_error *err)
{
	if (memchr(value.data, '\0', value.length))
		return bad(key, err);
	free(*target);
	*target = str_dup(value);
	return 0;
}

static int read_number(struct str key, struct str value, bool *has, uint64_t *target,
		       struct cay_error *err)
{
	if (str_to_u64(value, INT64_MAX, target) < 0)
		return bad(key, err);
	if (has)
		*has = true;
	return 0;
}

/* "[-]seconds[.fraction]"; digits beyond the ninth are dropped. */
static int read_time(struct str key, struct str value, struct tar_extra *extra,
		     struct cay_error *err)
{
	struct str fraction, whole;
	bool negative = str_starts(value, "-");
	uint64_t seconds, ns = 0;

	if (negative)
		value = (struct str){ value.data + 1, value.length - 1 };
	whole = str_split(value, '.', &fraction);
	if (str_to_u64(whole, (uint64_t)1 << 40, &seconds) < 0)
		return bad(key, err);
	for (size_t i = 0; i < 9; i++) {
		char c = i < fraction.length ? fraction.data[i] : '0';

		if (c < '0' || c > '9')
			return bad(key, err);
		ns = ns * 10 + (uint64_t)(c - '0');
	}
	extra->has_mtime = true;
	extra->mtime = negative ? -(int64_t)seconds : (int64_t)seconds;
	if (negative && ns > 0) {
		extra->mtime--;
		ns = 1000000000 - ns;
	}
	extra->mtime_ns = (uint32_t)ns;
	return 0;
}

/* A later value of the same name would be a second attribute: the first must go. */
static void drop_xattr(struct tar_extra *extra, struct str name)
{
	struct buf *xattrs = &extra->xattrs;
	struct str other, value;
	size_t start = 0, at = 0;

	for (; tar_xattr_next(xattrs, &at, &other, &value); start = at) {
		if (!str_equal(name, other))
			continue;
		memmove(xattrs->data + start, xattrs->data + at, xattrs->length - at);
		xattrs->length -= at - start;
		extra->xattr_count--;
		return;
	}
}

static int read_xattr(struct str name, struct str value, struct tar_extra *extra,
		      struct cay_error *err)
{
	char shown[PATH_SHOWN_MAX + 4];

	if (name.length == 0 || name.length > TAR_NAME_MAX ||
	    memchr(name.data, '\0', name.length) || value.length > UINT16_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "the extended attribute \"%s\" is not one Linux could hold",
				     path_shown(name, shown));
	drop_xattr(extra, name);
	if (extra->xattr_count >= XATTRS_COUNT_MAX ||
	    extra->xattrs.length + name.length + value.length > TAR_XATTRS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "a file has more than %d bytes of extended attributes",
				     TAR_XATTRS_MAX);
	tar_xattr_add(&extra->xattrs, name, value);
	extra->xattr_count++;
	return 0;
}

/* The map of version 0.1: "offset,size,offset,size,…". */
static int read_sparse_map(struct str key, struct str value, struct tar_extra *extra,
			   struct cay_error *err)
{
	extra->run_count = 0;
	while (value.length > 0) {
		struct str rest, offset_text = str_split(value, ',', &rest);
		struct str size_text = str_split(rest, ',', &value);
		uint64_t offset, size;
		int r;

		if (str_to_u64(offset_text, INT64_MAX, &offset) < 0 ||
		    str_to_u64(size_text, INT64_MAX, &size) < 0)
			return bad(key, err);
		r = tar_add_run(&extra->runs, &extra->run_count, &extra->run_room, offset, size,
				err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_sparse(struct str key, struct str value, struct tar_extra *extra,
		       struct cay_error *err)
{
	const struct str name = { key.data + strlen("GNU.sparse."),
				  key.length - strlen("GNU.sparse.") };
	uint64_t number;
	int r;

	if (str_equals(name, "name"))
		return read_text(key, value, &extra->sparse_name, err);
	if (str_equals(name, "map"))
		return read_sparse_map(key, value, extra, err);
	r = read_number(key, value, NULL, &number, err);
	if (r < 0)
		return r;
	if (str_equals(name, "major")) {
		extra->sparse_major = number;
		extra->has_sparse_version = true;
	} else if (str_equals(name, "minor")) {
		extra->sparse_minor = number;
	} else if (str_equals(name, "size") || str_equals(name, "realsize")) {
		extra->sparse_size = number;
		extra->has_sparse_size = true;
	} else if (str_equals(name, "offset")) {
		if (extra->run_open)
			return bad(key, err);
		extra->run_open = true;
		return tar_add_run(&extra->runs, &extra->run_count, &extra->run_room, number, 0,
				   err);
	} else if (str_equals(name, "numbytes")) {
		if (!extra->run_open ||
		    number > INT64_MAX - extra->runs[extra->run_count - 1].offset)
			return bad(key, err);
		extra->run_open = false;
		extra->runs[extra->run_count - 1].size = number;
	}
	return 0;
}

static int read_record(struct str key, struct str value, struct tar_extra *extra,
		       struct cay_error *err)
{
	static const char xattr[] = "SCHILY.xattr.";

	if (str_equals(key, "path"))
		return read_text(key, value, &extra->path, err);
	if (str_equals(key, "linkpath"))
		return read_text(key, value, &extra->link, err);
	if (str_equals(key, "size"))
		return read_number(key, value, &extra->has_size, &extra->size, err);
	if (str_equals(key, "uid"))
		return read_number(key, value, &extra->has_uid, &extra->uid, err);
	if (str_equals(key, "gid"))
		return read_number(key, value, &extra->has_gid, &extra->gid, err);
	if (str_equals(key, "mtime"))
		return read_time(key, value, extra, err);
	if (str_starts(key, xattr))
		return read_xattr(
			(struct str){ key.data + strlen(xattr), key.length - strlen(xattr) }, value,
			extra, err);
	if (str_starts(key, "GNU.sparse."))
		return read_sparse(key, value, extra, err);
	return 0; /* names of owners, other times, comments: nothing of an image's file */
}

int tar_pax_parse(struct str records, struct tar_extra *extra, struct cay_error *err)
{
	while (records.length > 0) {
		struct str rest, length_text = str_split(records, ' ', &rest), key, value;
		size_t head = length_text.length + 1;
		uint64_t length;
		int r;

		if (str_to_u64(length_text, records.length, &length) < 0 || length <= head ||
		    records.data[length - 1] != '\n')
			return cay_error_set(err, CAY_CORRUPT, EBADMSG, "a pax header is broken");
		key = str_split((struct str){ rest.data, length - head - 1 }, '=', &value);
		if (key.length == 0 || key.length == length - head - 1)
			return cay_error_set(err, CAY_CORRUPT, EBADMSG, "a pax header is broken");
		r = read_record(key, value, extra, err);
		if (r < 0)
			return r;
		records = (struct str){ records.data + length, records.length - length };
	}
	return 0;
}
