/* SPDX-License-Identifier: Apache-2.0 */
/* struct strv: a growable list of strings it owns, always followed by NULL, so that it is an argv.
 */
#pragma once

#include "base/macros.h"

#include <stdbool.h>

struct strv {
	char **items; /* NULL while empty */
	size_t count;
};

void strv_done(struct strv *list);
#define _cleanup_strv_ _cleanup_(strv_done)

void strv_add(struct strv *list, const char *text); /* copies */
void strv_take(struct strv *list, char *text);      /* takes over; NULL aborts */
void strv_addf(struct strv *list, const char *format, ...) cay_printf(2, 3);
void strv_copy(struct strv *to, const struct strv *from); /* `to` is replaced */
bool strv_contains(const struct strv *list, const char *text);
/* Every one that is equal. */
void strv_remove(struct strv *list, const char *text);
