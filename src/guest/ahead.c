/* SPDX-License-Identifier: Apache-2.0 */
/* What the first container will need, whichever it is. */
#include "guest/ahead.h"

#include "guest/device-filter.h"
#include "guest/guest.h"

#include "base/alloc.h"
#include "base/log.h"

/* Begins as no container's id does; no container sees it, being in a namespace of its own. */
#define CGROUP_NAME "/cay/.first"

void ahead_init(struct ahead *ahead)
{
	*ahead = (struct ahead){ .cgroup = { .fd = -1, .filter_fd = -1 }, .device_filter_fd = -1 };
}

void ahead_prepare(struct guest *guest)
{
	struct ahead *ahead = &guest->ahead;
	struct cay_error err = { 0 };

	if (ahead->cgroup.fd < 0 && cgroup_create(CGROUP_NAME, &ahead->cgroup, &err) < 0)
		log_warning("%s", err.message);
	if (ahead->device_filter_fd < 0) {
		ahead->device_filter_fd = device_filter_load(NULL, 0);
		if (ahead->device_filter_fd < 0)
			log_warning("loading the rules about devices: %s",
				    errno_text(ahead->device_filter_fd));
	}
}

int ahead_make_cgroup(struct ahead *ahead, const char *path, const char *container_id,
		      struct cgroup *ret_cgroup, struct cay_error *err)
{
	_cleanup_free_ char *own = NULL;

	if (path)
		return cgroup_create(path, ret_cgroup, err);
	if (ahead->cgroup.fd >= 0) {
		*ret_cgroup = ahead->cgroup;
		ahead->cgroup = (struct cgroup){ .fd = -1, .filter_fd = -1 };
		return 0;
	}
	own = xasprintf("/cay/%s", container_id);
	return cgroup_create(own, ret_cgroup, err);
}
