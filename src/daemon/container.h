/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One container as the daemon knows it: what it was asked to be, and where it
 * stands. A struct container is counted: a handler that waits for one may hold
 * it after it was removed.
 *
 * Status changes only through container_set_status(), which checks that the
 * step is legal and wakes whoever watches. The lock guards the members under
 * its heading; it is held for moments, never over a call that blocks.
 */
#pragma once

#include "base/error.h"
#include "base/id.h"
#include "daemon/request.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct daemon;
struct files_vm;

enum container_status {
	CONTAINER_CREATED,
	CONTAINER_STARTING, /* a supervisor is at work; docker's clients still see the old status */
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_EXITED,
	CONTAINER_REMOVING,
	CONTAINER_REMOVED, /* only holders of a reference still see it */
	CONTAINER_DEAD,    /* removal failed; it can be tried again */
	CONTAINER_STATUS_COUNT,
};

/* What a run of the container came to; all zero before the first. */
struct container_run {
	pid_t shim_pid, vm_pid;
	int guest_pid;
	int64_t started_ns, finished_ns; /* 0: never, not yet */
	int exit_code;
	bool oom_killed;
	char start[16];                    /* how its VM came to be: "cold", "template", "pool" */
	char error[CAY_ERROR_MESSAGE_MAX]; /* why it could not start or was lost */
};

/* A descriptor that becomes readable at each change of status. */
struct container_watch {
	int fd;
	struct container_watch *next;
};

/* An attachment that waits for the next start. */
struct container_attach {
	bool confirmed; /* the shim passes every byte from now on, or the client has given up */
	struct container_attach *next;
};

struct container {
	/* Fixed from the start. */
	struct daemon *daemon;
	char id[ID_SIZE];
	char *image_id, *image_name; /* the digest, and what the client called it */
	int64_t created_ns;
	uid_t vm_uid; /* 0: the daemon has no root and the VM runs as the daemon's own user */
	char *directory, *run_directory;
	struct request *request;

	unsigned int references; /* atomic */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* at each change of status or of an attachment */
	/* Under the lock. */
	char *name; /* changed under the table's lock as well */
	enum container_status status, before_start;
	struct container_run run;
	unsigned int starts, exits;   /* how often it began and ended since the daemon did */
	bool shim_ready;              /* shim.sock answers for the current start */
	bool supervised;              /* see supervisor.h */
	bool start_pending;           /* the outcome of the last start is not known yet */
	bool is_doomed;               /* somebody removes it with force, and nobody else may */
	struct cay_error start_error; /* of the last start; CAY_OK where it went well */
	struct container_watch *watches;
	struct container_attach *attaches;
	struct files_vm *files;      /* see files-vm.h; NULL: there is none */
	unsigned int files_unwanted; /* those who wait until there is none */
};

/* A copy of what can change, taken at one moment. */
struct container_view {
	char *name;
	enum container_status status; /* CONTAINER_STARTING shows as what it was before */
	struct container_run run;
	unsigned int starts, exits;
	bool shim_ready;
};

/*
 * Makes a container with one reference. image_id, image_name and name are copied; the request is
 * taken over. Nothing is written anywhere.
 */
struct container *container_new(struct daemon *daemon, const char *id, const char *name,
				const char *image_id, const char *image_name,
				struct request *request);
struct container *container_ref(struct container *container);
void container_unref(struct container *container);
DEFINE_CLEANUP(struct container *, container_unref);
#define _cleanup_container_ _cleanup_(container_unref_p)

/* docker's word for it: "created", "running", … */
const char *container_status_name(enum container_status status);
int container_status_parse(const char *name, enum container_status *ret_status);

/* Call with the lock held. An illegal step aborts: callers check the status first. */
void container_set_status(struct container *container, enum container_status status);
/* The same for shim_ready. */
void container_set_shim_ready(struct container *container, bool ready);
bool container_is_up(enum container_status status); /* running or paused */

void container_view(struct container *container, struct container_view *ret_view);
void container_view_done(struct container_view *view);
#define _cleanup_view_ _cleanup_(container_view_done)

/* Fails only for want of descriptors. The watch is readable after any change since. */
int container_watch_add(struct container *container, struct container_watch *watch,
			struct cay_error *err);
void container_watch_remove(struct container *container, struct container_watch *watch);
/* Makes it unreadable until the next change. */
void container_watch_clear(struct container_watch *watch);

/* Waits for an attachment's turn, and tells of it; see attach.c and supervisor.c. */
void container_attach_add(struct container *container, struct container_attach *attach);
void container_attach_confirm(struct container *container, struct container_attach *attach);
void container_attach_remove(struct container *container, struct container_attach *attach);

/* Paths in the container's directory; the caller frees. */
char *container_path(const struct container *container, const char *name);
char *container_log_path(const struct container *container);
char *container_shim_socket(const struct container *container);
