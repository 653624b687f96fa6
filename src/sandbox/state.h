/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of one container, in a file that the shim replaces at each
 * step, so that a daemon that was away finds it. The last write, with status
 * "exited", comes after the last byte of the log.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum sandbox_status { SANDBOX_CREATED, SANDBOX_RUNNING, SANDBOX_PAUSED, SANDBOX_EXITED };

struct sandbox_state {
	enum sandbox_status status;
	pid_t shim_pid;
	pid_t vm_pid;
	int64_t started_ns;  /* 0: never */
	int64_t finished_ns; /* 0: not yet */
	int exit_code;       /* meaningful when exited */
	bool oom_killed;
	char error[CAY_ERROR_MESSAGE_MAX]; /* why it could not start or was lost; "" otherwise */
};

/* Written atomically and durably. */
int sandbox_state_save(const char *path, const struct sandbox_state *state, struct cay_error *err);
/* The same without waiting for the disk: after a power cut the older state may be there. */
int sandbox_state_note(const char *path, const struct sandbox_state *state, struct cay_error *err);
/* An absent file is CAY_NOT_FOUND, a damaged one CAY_CORRUPT. */
int sandbox_state_load(const char *path, struct sandbox_state *ret_state, struct cay_error *err);
