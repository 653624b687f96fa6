/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is being made, or one made before that is held against what it would be now. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct output {
	int fd; /* the caller's */
	bool check;
};

/* Writes, or compares: what differs is CAY_CORRUPT. `what` names the file for the error. */
int output_put(const struct output *output, const void *data, size_t size, uint64_t offset,
	       const char *what, struct cay_error *err);
/* Gives the file its size, or checks it. */
int output_finish(const struct output *output, uint64_t size, const char *what,
		  struct cay_error *err);
