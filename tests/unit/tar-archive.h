/* SPDX-License-Identifier: Apache-2.0 */
/* Archives in memory, made of a few words an entry. */
#pragma once

#include "test.h"

#include "base/buf.h"
#include "tar/reader.h"
#include "tar/writer.h"

struct item {
	enum tar_type type;
	const char *path, *link, *text;
};

static int sink_to_buf(void *user, const void *data, size_t size, struct cay_error *err)
{
	buf_append(user, data, size);
	return 0;
}

static ssize_t source_from_str(void *user, void *data, size_t size, struct cay_error *err)
{
	struct str *rest = user;
	size_t n = MIN(size, rest->length);

	memcpy(data, rest->data, n);
	rest->data += n;
	rest->length -= n;
	return (ssize_t)n;
}

/* The items up to one without a path. */
static inline void build(const struct item *items, struct buf *archive)
{
	_cleanup_(tar_writer_free_p) struct tar_writer *writer =
		tar_writer_new(sink_to_buf, archive);

	for (; items->path; items++) {
		const struct tar_entry entry = {
			.type = items->type,
			.path = str_from(items->path),
			.link = str_from(items->link),
			.mode = 0755,
			.size = items->text ? strlen(items->text) : 0,
		};

		assert_int_equal(tar_writer_add(writer, &entry, NULL), 0);
		if (items->text)
			assert_int_equal(
				tar_writer_put(writer, items->text, strlen(items->text), NULL), 0);
	}
	assert_int_equal(tar_writer_finish(writer, NULL), 0);
}
