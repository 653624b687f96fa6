/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as text. */
#include "cli/lexical.h"

#include "base/alloc.h"
#include "base/buf.h"

char *lexical_clean(const char *path)
{
	struct buf clean = { 0 };
	struct str rest = str_from(path);
	bool rooted = *path == '/';
	size_t root = rooted, fixed; /* what no ".." takes away */

	buf_append(&clean, "/", rooted);
	fixed = root;
	while (rest.length > 0) {
		struct str part = str_split(rest, '/', &rest);
		bool up = str_equals(part, "..");

		if (part.length == 0 || str_equals(part, ".") ||
		    (up && rooted && clean.length == root))
			continue;
		if (up && clean.length > fixed) {
			while (clean.length > fixed && clean.data[clean.length - 1] != '/')
				clean.length--;
			if (clean.length > fixed)
				clean.length--;
			continue;
		}
		if (clean.length > root)
			buf_putc(&clean, '/');
		buf_append(&clean, part.data, part.length);
		if (up)
			fixed = clean.length;
	}
	if (clean.length == 0)
		buf_putc(&clean, '.');
	buf_reserve(&clean, 0)[0] = '\0';
	return buf_steal(&clean);
}

char *lexical_join(const char *directory, const char *name)
{
	_cleanup_free_ char *whole = xasprintf("%s/%s", directory, name);

	return lexical_clean(*directory ? whole : name);
}

char *lexical_absolute(const char *path)
{
	_cleanup_free_ char *directory = NULL;

	if (*path == '/' || !(directory = getcwd(NULL, 0)))
		return lexical_clean(path);
	return lexical_join(directory, path);
}

char *lexical_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory =
		slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup("");

	return lexical_clean(directory);
}

char *lexical_base(const char *path)
{
	size_t end = strlen(path), start;

	if (end == 0)
		return xstrdup(".");
	while (end > 0 && path[end - 1] == '/')
		end--;
	if (end == 0)
		return xstrdup("/");
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		;
	return xstrndup(path + start, end - start);
}

bool lexical_ends_with_slash(const char *path)
{
	return ends_with(path, "/");
}
