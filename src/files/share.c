/* SPDX-License-Identifier: Apache-2.0 */
/* The shares' part of the command line. */
#include "files/share.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <errno.h>

static int set_flag(struct share *share, struct str word)
{
	const struct {
		const char *word;
		bool *flag;
		bool value;
	} words[] = {
		{ "ro", &share->read_only, true },  { "rw", &share->read_only, false },
		{ "rec", &share->recursive, true }, { "slave", &share->slave, true },
		{ "cached", &share->cached, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (str_equals(word, words[i].word)) {
			*words[i].flag = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

int share_list_add(struct share_list *list, const char *flags, const char *path,
		   struct cay_error *err)
{
	struct share share = { .root_fd = -1 };
	struct str rest = str_from(flags);

	if (list->count == SHARES_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d shares", SHARES_MAX);
	if (path[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "share \"%s\": the path must be absolute", path);
	do {
		struct str word = str_split(rest, ',', &rest);

		if (set_flag(&share, word) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "share \"%s\": unknown flag \"%.*s\"", path,
					     (int)word.length, word.data);
	} while (rest.length > 0);
	share.path = xstrdup(path);
	list->shares = xreallocarray(list->shares, list->count + 1, sizeof(*list->shares));
	list->shares[list->count++] = share;
	return 0;
}

void share_list_done(struct share_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->shares[i].path);
		cay_close_p(&list->shares[i].root_fd);
	}
	free(list->shares);
	*list = (struct share_list){ 0 };
}
