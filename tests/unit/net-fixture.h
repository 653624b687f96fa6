/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace for a test to do as it likes in, and iproute2 to look at it from outside. */
#pragma once

#include "test.h"

#include "base/process.h"
#include "base/strv.h"

#include <sched.h>
#include <stdbool.h>
#include <string.h>

/* Puts the whole test program into a fresh namespace; false, said aloud, without root. */
static inline cay_unused bool enter_network(void)
{
	if (geteuid() != 0) {
		print_message("SKIPPED: this test makes network links, which needs root\n");
		return false;
	}
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	return true;
}

/* Runs a shell's command; its output replaces what is in `output` (NULL: dropped). */
static inline cay_unused int try_shell(const char *command, struct buf *output)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };

	strv_add(&argv, "/bin/sh");
	strv_add(&argv, "-c");
	strv_add(&argv, command);
	if (output)
		buf_clear(output);
	return process_run(&argv, 1 << 20, output, &err);
}

static inline cay_unused void shell(const char *command)
{
	struct buf output = { 0 };
	const int status = try_shell(command, &output);

	if (status != 0)
		fail_msg("%s: exit code %d: %s", command, status, buf_text(&output));
	buf_done(&output);
}

/* Whether the output of a command that succeeds holds the text. */
static inline cay_unused bool shell_says(const char *command, const char *text)
{
	struct buf output = { 0 };
	const bool found = try_shell(command, &output) == 0 && strstr(buf_text(&output), text);

	buf_done(&output);
	return found;
}
