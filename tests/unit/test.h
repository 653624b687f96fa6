/* SPDX-License-Identifier: Apache-2.0 */
/* What cmocka's header needs to be included first, and the few helpers every unit test shares. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/file.h"

/* Fails the test with the error's text when a call that must succeed did not. */
#define assert_ok(call) \
	do { \
		int result_ = (call); \
		if (result_ < 0) \
			fail_msg("%s: %d: %s", #call, result_, err.message); \
	} while (0)

/* A new directory under TMPDIR; remove it with remove_tree(). */
static inline cay_unused void make_test_directory(char path[64])
{
	(void)snprintf(path, 64, "%s/cay-test-XXXXXX",
		       getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(path));
}
