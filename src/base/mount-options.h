/* SPDX-License-Identifier: Apache-2.0 */
/* Mount options as OCI and mount(8) spell them, sorted into what mount(2) takes. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>

struct mount_options {
	unsigned long flags; /* MS_… of the mount, with MS_BIND and MS_REC where asked for */
	unsigned long propagation[4]; /* one more mount() each, in order */
	size_t propagation_count;
	bool recursive_readonly; /* "rro" */
	struct buf data;         /* what is left for the file system, separated by commas */
};

/* Sorts options; -EINVAL for too many of one kind. */
int mount_options_parse(const struct strv *options, struct mount_options *ret,
			struct cay_error *err);
void mount_options_done(struct mount_options *options);
#define _cleanup_mount_options_ _cleanup_(mount_options_done)
