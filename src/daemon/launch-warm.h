/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandboxes that are no container's yet: one that becomes a template, and
 * those that wait in the pool.
 */
#pragma once

#include "daemon/daemon.h"
#include "image/store.h"
#include "sandbox/config.h"

/* What the machine of a container is to be; all zeros are a container's that asks for nothing. */
struct launch_size {
	unsigned int cpus;
	uint64_t memory;      /* the container's limit, of which its VM has more */
	size_t disks;         /* its root and its scratch are the first two */
	bool without_network; /* else the cards are those of one on the default network */
};

/*
 * The machine of such a container, with placeholders for its disks. Blocks until the host's
 * acceleration is known.
 */
int launch_empty_machine(struct daemon *daemon, const struct launch_size *size,
			 struct sandbox_config **ret_config, struct cay_error *err);

/* The same machine as another's, with nothing of what it is for: placeholders, cards. */
struct sandbox_config *launch_copy_machine(const struct sandbox_config *like);

/*
 * Whether the disk of this directory has room for what is made ahead. CAY_NO_SPACE: it is almost
 * full.
 */
int launch_check_space(const char *directory, struct cay_error *err);

/* What those of both kinds have of their own. */
struct launch_warm {
	const char *id;
	const char *run_directory;
	uid_t uid;
	const char *directory; /* a template's: where it is written; a member's: its files */
};

/* Turns a copied machine into a sandbox that is frozen into warm->directory. */
void launch_as_template(struct sandbox_config *config, const struct launch_warm *warm);

/*
 * Turns it into a member of the pool, which warms itself up with the program in `image`, on the
 * scratch "scratch.ext4" in warm->directory. `template`: a template's directory, or NULL.
 */
int launch_as_member(struct daemon *daemon, struct sandbox_config *config,
		     const struct launch_warm *warm, const struct image_disk *image,
		     const char *template, struct cay_error *err);
