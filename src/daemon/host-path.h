/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of this host that a client has named once and that are gone each time
 * its container starts. It is the business of who owns them where their links
 * lead; but where a guest can write to a directory on the way, a link that it
 * has put there could name all of this host.
 */
#pragma once

#include "base/error.h"

struct daemon;

/*
 * `now` is where `path` leads, `then` is where it led when it was named (NULL: nowhere that could
 * be told), both as mount_path_resolve() has them. CAY_FORBIDDEN where these differ, or `then` is
 * not known, and the way runs through a directory that a container has writable, or through one of
 * a volume, which any container may have had. A container that is gone has no directories any more.
 * `what` begins the message: "bind source path", `made` ends it: "the container was made".
 */
int host_path_check(const struct daemon *daemon, const char *what, const char *made,
		    const char *path, const char *then, const char *now, struct cay_error *err);
