/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI runtime configuration of a container, made from its request with
 * docker's defaults. No system call filter is set: the wall around a container
 * is its VM, and docker's default list would only narrow what root in the
 * guest may do to its own kernel.
 */
#pragma once

#include "daemon/request.h"
#include "sandbox/config.h"

/* Where a container's files are in its guest; the caller frees. */
char *spec_guest_path(const char *id, const char *name);

/* One more file that the guest gets there; `data` is taken over. */
void spec_add_file(struct sandbox_container *target, const char *id, const char *name, char *data);

/* The host name inside: the request's, or the beginning of the id. */
char *spec_hostname(const struct request *request, const char *id);

/* The container's own mounts: its binds and volumes, as the guest has them. */
struct spec_mount {
	char *source; /* a path of the guest's */
	char *target;
	bool read_only;
};
struct spec_mounts {
	struct spec_mount *items;
	size_t count;
};
/* Takes `guest_source` over. */
void spec_mounts_add_bind(struct spec_mounts *mounts, char *guest_source, const char *target,
			  bool read_only);
void spec_mounts_done(struct spec_mounts *mounts);
#define _cleanup_spec_mounts_ _cleanup_(spec_mounts_done)

/* The document, JSON; the caller frees. */
char *spec_make(const struct request *request, const char *id, const struct spec_mounts *mounts);

/* spec-mounts.c: all mounts in the order in which they are made, docker's default ones first. */
json_t *spec_mounts_to_json(const struct request *request, const char *id,
			    const struct spec_mounts *mounts);

/* What an exec changes against the container's own process. */
struct spec_exec {
	const struct strv *arguments;
	const struct strv *env;        /* added to the container's */
	const char *working_directory; /* NULL or "": the container's */
	bool tty, privileged;
	unsigned int columns, rows; /* of the terminal; 0: not known */
};
/* The "process" object for an exec, JSON; the caller frees. */
char *spec_make_exec(const struct request *request, const char *id, const struct spec_exec *exec);
