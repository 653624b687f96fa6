/* SPDX-License-Identifier: Apache-2.0 */
/* Files of KEY=VALUE lines, as --env-file and --label-file name them. */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>

enum {
	LINES_FILE_MAX = 1024 * 1024,
};

/*
 * Appends the file's assignments to `list`. Lines that start with '#' and empty ones are skipped. A
 * KEY alone takes its value from cay's own environment, or is left out where that has none; with
 * `labels` it stands for an empty value.
 */
int lines_read(const char *path, bool labels, struct strv *list, struct cay_error *err);
/* One assignment of an -e option, by the same rules. */
int lines_add_environment(const char *text, struct strv *list, struct cay_error *err);
