/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further processes in running containers, as docker's exec has them: made by
 * one request, started by another, remembered for a third that asks for the
 * exit code. They live in memory only; the table is bounded.
 */
#pragma once

#include "daemon/container.h"

#include <jansson.h>

enum {
	EXECS_PER_CONTAINER_MAX = 256, /* the oldest ended one makes room for a new one */
};

struct exec {
	/* Fixed from the start. */
	char id[ID_SIZE];
	struct container *container; /* a reference */
	unsigned int run;            /* container->starts when it was made */
	struct strv arguments, env;
	char *user, *working_directory, *detach_keys; /* or NULL */
	bool tty, stdin_wanted, stdout_wanted, stderr_wanted, privileged;

	unsigned int references; /* atomic */

	/* Under the table's lock. */
	bool started, running, exited;
	int exit_code, guest_pid;
	unsigned int columns, rows; /* of the terminal, as asked for before the start */
};

struct execs;
struct execs *execs_new(void);
void execs_free(struct execs *execs);

struct exec *exec_new(struct container *container); /* takes a reference of the container */
struct exec *exec_ref(struct exec *exec);
void exec_unref(struct exec *exec);
DEFINE_CLEANUP(struct exec *, exec_unref);
#define _cleanup_exec_ _cleanup_(exec_unref_p)

/* CAY_CONFLICT where the container has EXECS_PER_CONTAINER_MAX that have not ended. */
int execs_add(struct execs *execs, struct exec *exec, struct cay_error *err);
/* By full id; "No such exec instance: x" is CAY_NOT_FOUND. */
int execs_find(struct execs *execs, const char *id, struct exec **ret_exec, struct cay_error *err);

/* It may be started once: CAY_CONFLICT after that. */
int execs_begin(struct execs *execs, struct exec *exec, struct cay_error *err);
void execs_set_running(struct execs *execs, struct exec *exec, int guest_pid);
/* Records the end, the first time. True when this was it. */
bool execs_set_exited(struct execs *execs, struct exec *exec, int exit_code);
void execs_set_size(struct execs *execs, struct exec *exec, unsigned int columns,
		    unsigned int rows);
/* execs_set_exited() and the event that tells of it. */
void exec_record_exit(struct exec *exec, int exit_code);
/* A copy of the members under the lock. */
void execs_view(struct execs *execs, const struct exec *exec, struct exec *ret_view);

/* The container's run is over: what still ran has ended with `exit_code`. */
void execs_container_ended(struct execs *execs, const struct container *container, int exit_code);
/* Forgets the container's. */
void execs_forget(struct execs *execs, const struct container *container);
/* The ids of those that run; NULL where none does, as docker shows it. The caller frees. */
json_t *execs_running_ids(struct execs *execs, const struct container *container);
