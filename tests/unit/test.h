/* SPDX-License-Identifier: Apache-2.0 */
/* What cmocka's header needs to be included first, and the few helpers every unit test shares. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"

/* Fails the test with the error's text when a call that must succeed did not. */
#define assert_ok(call) \
	do { \
		int result_ = (call); \
		if (result_ < 0) \
			fail_msg("%s: %d: %s", #call, result_, err.message); \
	} while (0)

/* Fails the test where the error's text lacks this part. */
static inline cay_unused void assert_says(const struct cay_error *err, const char *part)
{
	if (!strstr(err->message, part))
		fail_msg("\"%s\" is not in: %s", part, err->message);
}

/* Appends a text with the first `from` in it replaced. */
static inline cay_unused void put_replaced(struct buf *out, const char *text, const char *from,
					   const char *to)
{
	const char *at = strstr(text, from);

	assert_non_null(at);
	buf_append(out, text, (size_t)(at - text));
	buf_puts(out, to);
	buf_puts(out, at + strlen(from));
}

/* A new directory under TMPDIR; remove it with remove_tree(). */
static inline cay_unused void make_test_directory(char path[64])
{
	(void)snprintf(path, 64, "%s/cay-test-XXXXXX",
		       getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(path));
}
