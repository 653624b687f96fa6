/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as text, without a look at any file system: what Go's path/filepath
 * makes of them, since docker's rules about paths are written in its terms.
 * The caller frees all results.
 */
#pragma once

#include <stdbool.h>

/* The shortest path that means the same: no "//", no "." but alone, ".." only in front. */
char *lexical_clean(const char *path);
/* Clean, and under the working directory where it was relative. */
char *lexical_absolute(const char *path);
/* `name` below `directory`, clean. */
char *lexical_join(const char *directory, const char *name);
/* All but the last component, clean; "." where there is none. */
char *lexical_directory(const char *path);
/* The last component, slashes behind it left out; "." for "", "/" for the root. */
char *lexical_base(const char *path);
bool lexical_ends_with_slash(const char *path);
