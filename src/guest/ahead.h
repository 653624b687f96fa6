/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the first container will need, whichever it is, made before the machine
 * is frozen as a template: a copy of the machine finds it made. It is state of
 * the kernel's that knows nothing of any container.
 */
#pragma once

#include "guest/cgroup.h"

struct guest;

struct ahead {
	struct cgroup cgroup; /* a group of its own; fd -1: none, or taken */
	int device_filter_fd; /* a program for no rules (guest/device-filter.h), or -1 */
};

void ahead_init(struct ahead *ahead);
/* Makes it. Without what fails a container is created as ever; the log tells. */
void ahead_prepare(struct guest *guest);
/*
 * A container's group: the one at `path`, or, where that is NULL, one that the guest names. Errors
 * as of cgroup_create().
 */
int ahead_make_cgroup(struct ahead *ahead, const char *path, const char *container_id,
		      struct cgroup *ret_cgroup, struct cay_error *err);
