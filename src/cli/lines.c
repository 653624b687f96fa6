/* SPDX-License-Identifier: Apache-2.0 */
/* Environment and label files. */
#include "cli/lines.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <errno.h>

int lines_add_environment(const char *text, struct strv *list, struct cay_error *err)
{
	const char *value;

	if (*text == '\0' || *text == '=')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%s\" is not an environment variable", text);
	if (strchr(text, '=')) {
		strv_add(list, text);
		return 0;
	}
	value = getenv(text);
	if (value)
		strv_addf(list, "%s=%s", text, value);
	return 0;
}

static int add_line(struct str line, bool labels, struct strv *list, struct cay_error *err)
{
	_cleanup_free_ char *text = NULL;
	struct str value, key;

	while (line.length > 0 && strchr(" \t", line.data[0])) {
		line.data++;
		line.length--;
	}
	if (line.length > 0 && line.data[line.length - 1] == '\r')
		line.length--;
	if (line.length == 0 || line.data[0] == '#')
		return 0;
	text = str_dup(line);
	if (strlen(text) != line.length)
		return cay_error_set(err, CAY_INVALID, EINVAL, "a line holds a NUL");
	key = str_split(line, '=', &value);
	if (key.length == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" has no name", text);
	for (size_t i = 0; i < key.length; i++)
		if (strchr(" \t", key.data[i]))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "the name in \"%s\" holds blanks", text);
	if (!labels)
		return lines_add_environment(text, list, err);
	strv_add(list, text);
	return 0;
}

int lines_read(const char *path, bool labels, struct strv *list, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct str rest;
	int r = file_read(path, LINES_FILE_MAX, &text, err);

	if (r < 0)
		return r;
	rest = (struct str){ buf_text(&text), text.length };
	if (str_starts(rest, "\xef\xbb\xbf")) { /* a byte order mark */
		rest.data += 3;
		rest.length -= 3;
	}
	for (unsigned int number = 1; rest.length > 0; number++) {
		r = add_line(str_split(rest, '\n', &rest), labels, list, err);
		if (r < 0)
			return cay_error_prefix(err, "%s: line %u", path, number);
	}
	return 0;
}
