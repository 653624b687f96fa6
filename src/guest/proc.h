/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a container: forked when it is created, started on the word,
 * waited for, forgotten. The container's own first process is named "init".
 */
#pragma once

#include "guest/held.h"
#include "guest/launch.h"

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

struct container;
struct proc;
struct streams;

#define PROC_INIT_ID "init"

enum proc_state {
	PROC_PREPARING, /* the child sets things up */
	PROC_CREATED,   /* it waits for the word */
	PROC_STARTING,  /* it has the word */
	PROC_RUNNING,
	PROC_EXITED,
};

/*
 * Forks the process. `prepared` is called from the loop once it is CREATED (err NULL) or has failed
 * to be; in the second case it is about to end, and must not be freed before. On failure to fork
 * -errno, and `prepared` is not called.
 */
int proc_new(struct container *container, const char *id, const struct launch *launch,
	     void (*prepared)(struct proc *process, const struct cay_error *err, void *user),
	     void *user, struct proc **ret_process, struct cay_error *err);
/* Forgets it. It has been reaped, or never will be missed. */
void proc_free(struct proc *process);

/* These answer the call, at once or later. */
void proc_start(struct proc *process, struct rpc_call *call);
void proc_wait(struct proc *process, struct rpc_call *call);

int proc_signal(struct proc *process, int number, struct cay_error *err);
/* The kernel has reaped it. */
void proc_exited(struct proc *process, int wait_status);

struct container *proc_container(const struct proc *process);
const char *proc_id(const struct proc *process);
pid_t proc_pid(const struct proc *process);
/* For as long as it has not been reaped; then -1. */
int proc_pidfd(const struct proc *process);
enum proc_state proc_state(const struct proc *process);
unsigned int proc_exit_status(const struct proc *process);
/* Its streams, or NULL while it is PREPARING. */
struct streams *proc_streams(const struct proc *process);

/* In the list of its container, which owns it. */
struct proc *proc_next(const struct proc *process);
TAILQ_HEAD(proc_list, proc);
void proc_list_add(struct proc_list *list, struct proc *process);
void proc_list_remove(struct proc_list *list, struct proc *process);
