/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a container's log in docker's json-file format, one JSON object a
 * line, {"log":"text\n","stream":"stdout","time":"…"}, in "<path>" and its
 * older, rotated parts "<path>.1", "<path>.2", …
 *
 * The text is a guest's, and a crash can leave a torn line: what is no such
 * object, or is longer than LOG_LINE_MAX, is passed over.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { LOG_LINE_MAX = 1024 * 1024, LOG_PARTS_MAX = 1000 };

struct log_selection {
	bool out, err;              /* which streams */
	int64_t since_ns, until_ns; /* 0: no bound; both ends included */
	int64_t tail;               /* the last lines of the log; -1: all of them */
};

struct log_entry {
	bool is_err;
	int64_t time_ns;
	const char *text; /* good until the next call; may hold NUL bytes */
	size_t length;
};

struct log_reader;

/* A log that is not there yet reads as an empty one. */
int log_reader_open(const char *path, const struct log_selection *selection,
		    struct log_reader **ret_reader, struct cay_error *err);
void log_reader_close(struct log_reader *reader);
DEFINE_CLEANUP(struct log_reader *, log_reader_close);

/*
 * The next entry: 1. At the end of what is written: 0; it may be asked again when there is more,
 * and follows the log through its rotations. Past until_ns it stays at 0.
 */
int log_reader_next(struct log_reader *reader, struct log_entry *ret_entry, struct cay_error *err);

/* Docker's "since" and "until": seconds since the epoch with up to nine decimals, or RFC 3339. */
int log_parse_time(const char *text, int64_t *ret_ns);
