/* SPDX-License-Identifier: Apache-2.0 */
/* The names in an archive: made relative and clean, or refused. */
#include "tar/path.h"

#include "tar/entry.h"

#include <errno.h>

const char *path_shown(struct str name, char shown[PATH_SHOWN_MAX + 4])
{
	size_t n = MIN(name.length, (size_t)PATH_SHOWN_MAX);

	for (size_t i = 0; i < n; i++)
		shown[i] = (char)(name.data[i] >= ' ' && name.data[i] <= '~' ? name.data[i] : '?');
	(void)snprintf(shown + n, 4, "%s", name.length > n ? "..." : "");
	return shown;
}

static int refuse(struct str name, const char *why, struct cay_error *err)
{
	char shown[PATH_SHOWN_MAX + 4];

	return cay_error_set(err, CAY_INVALID, EINVAL, "the name \"%s\" is refused: %s",
			     path_shown(name, shown), why);
}

int path_clean(struct str name, char *ret_path, struct cay_error *err)
{
	struct str left = name;
	size_t length = 0;

	if (memchr(name.data, '\0', name.length))
		return refuse(name, "it contains a NUL", err);
	while (left.length > 0) {
		struct str rest, part = str_split(left, '/', &rest);

		left = rest;
		if (part.length == 0 || str_equals(part, "."))
			continue;
		if (str_equals(part, ".."))
			return refuse(name, "\"..\" would lead out of its directory", err);
		if (part.length > TAR_NAME_MAX)
			return refuse(name, "a part of it is longer than 255 bytes", err);
		if (length + 1 + part.length > TAR_PATH_MAX)
			return refuse(name, "it is longer than 4095 bytes", err);
		if (length > 0)
			ret_path[length++] = '/';
		memcpy(ret_path + length, part.data, part.length);
		length += part.length;
	}
	ret_path[length] = '\0';
	return (int)length;
}
