/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of the child between fork and exec: before and after the word to start. */
#pragma once

#include "guest/launch.h"
#include "guest/user.h"

/* State of the child. Its standard streams are in place, but for a terminal's. */
struct child {
	const struct launch *launch;
	int report, word; /* the child's ends; one socket may be both */
	int proc_fd;      /* the guest's /proc */
	int self_fd;      /* vminitd's own program, with use_init; else -1 */
	int terminal;     /* the slave, or -1 */
	int last_capability;
	struct user user;
	struct strv env;
};

/*
 * Child, as root, in the guest's namespaces but for a new pid namespace: makes or joins namespaces,
 * builds the root, works out the user. *ret_master is a terminal's master, or -1.
 */
int launch_prepare(struct child *child, int *ret_master, struct cay_error *err);

/*
 * The same for a container that is there for its files alone: *ret_namespace is the new mount
 * namespace, whose root is the container's.
 */
int launch_prepare_files(struct child *child, int *ret_namespace, struct cay_error *err);

/* Child, as root, in the container: becomes the user and executes. Returns only with an error. */
int launch_execute(struct child *child, struct cay_error *err);
