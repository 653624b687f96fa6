/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that aborts when memory has run out, for sizes that cay itself decides. */
#include "base/alloc.h"

#include <string.h>

static void *must(void *pointer)
{
	static const char text[] = "cay: out of memory\n";

	if (pointer)
		return pointer;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

void *xmalloc(size_t size)
{
	return must(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return must(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *pointer, size_t size)
{
	return must(realloc(pointer, size ? size : 1));
}

void *xreallocarray(void *pointer, size_t count, size_t size)
{
	return must(reallocarray(pointer, count ? count : 1, size ? size : 1));
}

char *xstrdup(const char *text)
{
	return text ? must(strdup(text)) : NULL;
}

char *xstrndup(const char *text, size_t length)
{
	return must(strndup(text, length));
}

void *xmemdup(const void *data, size_t size)
{
	void *copy = xmalloc(size);

	if (size)
		memcpy(copy, data, size);
	return copy;
}

char *xvasprintf(const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		must(NULL);
	return text;
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	return text;
}

void replace_string(char **target, const char *text)
{
	char *copy = xstrdup(text);

	free(*target);
	*target = copy;
}
