/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation. The x-forms are for small sizes that cay itself decides: they
 * abort the program with a message when memory has run out, so callers need
 * not test. Sizes that foreign data controls are checked against a named limit
 * and then allocated with plain malloc(), whose failure is an error like any other.
 */
#pragma once

#include "base/macros.h"

#include <stdarg.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *pointer, size_t size);
/* An array grown or shrunk to count elements; a product beyond SIZE_MAX aborts. */
void *xreallocarray(void *pointer, size_t count, size_t size);
/* NULL gives NULL. */
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t length);
void *xmemdup(const void *data, size_t size);
char *xasprintf(const char *format, ...) cay_printf(1, 2);
char *xvasprintf(const char *format, va_list args) cay_printf(1, 0);

/* Replaces *target, which is freed, by a copy of text (NULL allowed). */
void replace_string(char **target, const char *text);
