/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's /etc/passwd and /etc/group. The input is the user as docker
 * writes it, a further group, and the two files, with NUL bytes between.
 */
#include "guest/user.h"

#include "base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = { (const char *)data, size };
	_cleanup_free_ char *spec = str_dup(str_split(rest, '\0', &rest));
	_cleanup_free_ char *name = str_dup(str_split(rest, '\0', &rest));
	struct str passwd = str_split(rest, '\0', &rest);
	const struct strv additional = { &name, name[0] ? 1 : 0 };
	_cleanup_user_ struct user user = { 0 };
	struct cay_error err = { 0 };

	if (user_resolve(spec, &additional, passwd, rest, &user, &err) >= 0) {
		_cleanup_free_ char *home = user_home(user.uid, passwd);

		if (!user.home || user.group_count == 0 || home[0] == '\0')
			abort();
	}
	return 0;
}
