/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of command lines with the request's body or the refusal that each comes to. */
#pragma once

#include "test.h"

#include "base/json.h"

struct cli_row {
	const char *line, *expected;
};

/* Words separated by blanks as a command's options; the body, or NULL with err. */
typedef json_t *cli_build(const char *line, struct cay_error *err);

static inline cay_unused void check_bodies(cli_build *build, const struct cli_row *rows,
					   size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct cay_error err;
		_cleanup_json_ json_t *body = build(rows[i].line, &err);
		_cleanup_free_ char *text = NULL;

		if (!body)
			fail_msg("%s: %s", rows[i].line, err.message);
		text = json_print(body);
		assert_string_equal(text, rows[i].expected);
	}
}

static inline cay_unused void check_refusals(cli_build *build, const struct cli_row *rows,
					     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct cay_error err;
		_cleanup_json_ json_t *body = build(rows[i].line, &err);

		assert_null(body);
		assert_string_equal(err.message, rows[i].expected);
		assert_int_equal(err.code, CAY_INVALID);
	}
}
