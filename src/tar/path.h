/* SPDX-License-Identifier: Apache-2.0 */
/* The names in an archive: made relative and clean, or refused. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/*
 * Writes `name` to ret_path (TAR_PATH_MAX + 1 bytes, with a NUL) without leading slashes, empty
 * and
 * "." components; "" is the root. A ".." component, a NUL, a component or path over its limit is
 * CAY_INVALID: no tool that makes honest layers writes such names, and any meaning given to them
 * would be a guess. Returns the length.
 */
int path_clean(struct str name, char *ret_path, struct cay_error *err);

/* `name` for an error message: cut, with what is not printable ASCII as '?'. */
enum { PATH_SHOWN_MAX = 120 };
const char *path_shown(struct str name, char shown[PATH_SHOWN_MAX + 4]);
