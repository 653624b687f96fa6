/* SPDX-License-Identifier: Apache-2.0 */
/* A growable list of strings that is always followed by NULL. */
#include "base/strv.h"

#include "base/alloc.h"

#include <string.h>

void strv_done(struct strv *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct strv){ 0 };
}

void strv_take(struct strv *list, char *text)
{
	if (!text)
		abort();
	list->items = xreallocarray(list->items, list->count + 2, sizeof(*list->items));
	list->items[list->count++] = text;
	list->items[list->count] = NULL;
}

void strv_add(struct strv *list, const char *text)
{
	strv_take(list, xstrdup(text));
}

void strv_addf(struct strv *list, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	strv_take(list, xvasprintf(format, args));
	va_end(args);
}

void strv_copy(struct strv *to, const struct strv *from)
{
	struct strv copy = { 0 };

	for (size_t i = 0; i < from->count; i++)
		strv_add(&copy, from->items[i]);
	strv_done(to);
	*to = copy;
}

bool strv_contains(const struct strv *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

void strv_remove(struct strv *list, const char *text)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			free(list->items[i]);
		else
			list->items[kept++] = list->items[i];
	}
	if (list->items)
		list->items[kept] = NULL;
	list->count = kept;
}
