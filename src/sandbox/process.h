/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process in a sandbox's guest, a container's first one or an exec: made,
 * given its streams, started, awaited.
 *
 * Where the guest is lost in the middle of anything, no callback comes from
 * here any more: the sandbox's on_gone is the one place that tells.
 */
#pragma once

#include "sandbox/sandbox.h"

struct sandbox_process;

enum sandbox_stream { SANDBOX_STDOUT, SANDBOX_STDERR };

struct sandbox_exit {
	int code; /* 0..255 */
	int64_t time_ns;
	bool oom_killed;
};

struct sandbox_process_events {
	void (*on_output)(struct sandbox_process *process, enum sandbox_stream stream,
			  const void *data, size_t size, void *user);
	/* sandbox_process_write() had returned false and may go on. */
	void (*on_writable)(struct sandbox_process *process, void *user);
	/* It has ended and its last output was delivered. Comes once, for a started process. */
	void (*on_exit)(struct sandbox_process *process, const struct sandbox_exit *exit,
			void *user);
};

struct sandbox_process_spec {
	const struct sandbox_container *container;
	/* The rest is for execs: an id of NULL means the container's first process. */
	const char *exec_id;
	const void *oci_process; /* JSON */
	size_t oci_process_size;
	const char *user;
	bool stdin_open;
};

/* Only describes it; the spec is copied, its container must outlive the process. */
struct sandbox_process *sandbox_process_new(struct sandbox *sandbox,
					    const struct sandbox_process_spec *spec,
					    const struct sandbox_process_events *events,
					    void *user);

/* Makes it in the guest (with the container, for its first process) and opens its streams. */
void sandbox_process_create(struct sandbox_process *process,
			    void (*done)(struct sandbox_process *process,
					 const struct cay_error *err, void *user));
/* Executes it. pid and time are valid where err is NULL. on_exit follows. */
void sandbox_process_start(struct sandbox_process *process,
			   void (*done)(struct sandbox_process *process,
					const struct cay_error *err, int pid, int64_t started_ns,
					void *user));

/* After it was created: queues input (copied). False: wait for on_writable before giving more. */
bool sandbox_process_write(struct sandbox_process *process, const void *data, size_t size);
/* The input ends after what was written. */
void sandbox_process_close_stdin(struct sandbox_process *process);
/* Stops and goes on reading its output; the guest's process then blocks in write(). */
void sandbox_process_pause(struct sandbox_process *process);
void sandbox_process_resume(struct sandbox_process *process);

/* Releases it; callbacks stop at once. NULL is allowed. */
void sandbox_process_free(struct sandbox_process *process);
