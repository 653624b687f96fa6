/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cay-shim: what its files share. One process owns one sandbox, on one thread
 * and one loop:
 *
 *   shim.c          the sandbox's life: boot, the end, when to leave
 *   shim-process.c  a container's first process or an exec: states, output, exit
 *   attach.c        clients at a process's standard streams
 *   watch.c         clients that follow what happens (Events)
 *   service.c       the methods of proto/shim.proto
 *   forward.c       calls for the guest's own service, passed on
 *   logs.c          the json-file log
 *   ports.c         published ports, held and relayed
 *   sockets.c       unix sockets across the wall
 *   pool.c          the wait for a container, and the claim
 *   reply.c         calls that are answered later
 *   template.c      a sandbox that becomes a template, in a process of its own
 */
#pragma once

#include "rpc/rpc.h"
#include "sandbox/process.h"
#include "sandbox/sandbox.h"
#include "sandbox/state.h"
#include "shim/logs.h"
#include "shim/pool.h"
#include "shim/ports.h"
#include "shim/reply.h"
#include "shim/sockets.h"
#include "vmm/cmdline.h"

#include "shim.pb-c.h"

enum {
	SHIM_EXECS_MAX = 1024,      /* of one sandbox, ended ones that are remembered included */
	SHIM_ENDED_EXECS_KEPT = 64, /* for a Wait that comes late */
	SHIM_ATTACH_STALL_MS = 30 * 1000,    /* without reading, then the client is dropped */
	SHIM_ATTACH_SLOW_MS = 5 * 60 * 1000, /* in all, however much it reads in between */
	SHIM_LINGER_MS = 2 * 1000,           /* for clients that do not fetch their last bytes */
};

struct attachment;
struct watcher;

enum process_status {
	PROCESS_NEW,
	PROCESS_CREATING, /* in the guest */
	PROCESS_CREATED,
	PROCESS_STARTING,
	PROCESS_RUNNING,
	PROCESS_EXITED,
};

struct shim_process {
	struct shim *shim;
	struct shim_process *next;
	const struct sandbox_container *container;
	char *exec_id; /* NULL for the container's first process */
	enum process_status status;
	struct sandbox_process *guest; /* from CREATING on */
	int guest_pid;
	int64_t started_ns, finished_ns;
	int exit_code;
	bool oom_killed;
	char error[CAY_ERROR_MESSAGE_MAX];

	struct logs *logs;     /* first processes with a log path */
	struct reply *pending; /* the Start, CreateExec or StartExec under way */
	struct reply_list waiters;
	struct attachment *attachments;
	bool stdin_open; /* input is still taken */
};

/* Microseconds since the shim began; 0: not yet. */
struct shim_times {
	int64_t shim_ready, vm_spawned, guest_ready, created, started, exited, vm_gone;
};

struct shim {
	uv_loop_t *loop;
	struct sandbox_config *config;
	struct pool *pool;       /* while it waits for its container; then there are no processes */
	struct sandbox *sandbox; /* NULL when it is gone, or never was */
	struct rpc_listener *listener;
	struct rpc_service service;
	struct shim_process *processes;
	struct watcher *watchers;
	struct reply_list shutdowns;
	struct ports
		*ports; /* NULL before the VM is started, after the containers' end, with passt */
	struct sockets *sockets;                   /* NULL without any, and once the VM is gone */
	struct sandbox_lease leases[VMM_NICS_MAX]; /* of the interfaces, in their order */
	unsigned int open_calls; /* clients still to get their answer or last bytes */
	struct cay_error lost;   /* why there is no VM, once there is none */
	const char *start;       /* how the VM came to be: "cold", "template" or "pool" */
	bool gone;
	bool start_asked; /* some client has heard, or hears, how it ended; or nobody will ask */
	int64_t begun_ns; /* by the wall clock; nothing in the guest happened before */
	int64_t begun_us;
	struct shim_times times;
	uv_signal_t sigterm, sigint;
	uv_timer_t stall;  /* runs while an attached client does not read */
	uv_timer_t linger; /* from the sandbox's end to ours */
	size_t linger_queued;
};

/* ---- shim.c ---- */

/*
 * Runs the whole life of the sandbox; returns when the shim may exit. `argument` is the
 * configuration's path in argv.
 */
int shim_run(struct sandbox_config *config, char *argument, int64_t begun_us,
	     struct cay_error *err);
/* Serves clients on shim.sock in the configuration's run directory. */
int shim_listen(struct shim *shim, const struct sandbox_config *config,
		struct rpc_listener **ret_listener, struct cay_error *err);
/*
 * Takes the configuration's ports and sockets. passt binds the ports itself, but tells what is
 * wrong less clearly: they are tried first.
 */
int shim_bind(struct shim *shim, const struct sandbox_config *config, struct cay_error *err);
void shim_mark(const struct shim *shim, int64_t *time_us); /* sets it to now, the first time */
/* A time the guest gave, brought into what is possible. */
int64_t shim_sane_time(const struct shim *shim, int64_t ns);
/* A container's first process has ended: when it was the last, the VM is to go. */
void shim_container_ended(struct shim *shim);
/* Its containers have no process: their files alone are worked on, and kept when it is ended. */
bool shim_serves_files(const struct shim *shim);
/* CAY_UNAVAILABLE and why, for a call that needs the guest. */
void shim_no_guest(const struct shim *shim, struct cay_error *err);

/* ---- template.c ---- */

/* Boots and freezes what becomes a template; returns when that is complete on the disk. */
int shim_make_template(const struct sandbox_config *config, struct cay_error *err);

/* ---- shim-process.c ---- */

struct shim_process *shim_process_new(struct shim *shim, const struct sandbox_container *container,
				      const char *exec_id);
/* exec_id "" or NULL means the first process; NULL with err set where there is none. */
struct shim_process *shim_process_find(struct shim *shim, const char *container_id,
				       const char *exec_id, struct cay_error *err);
/* Creates and starts a first process; its pending reply is answered. */
void shim_process_run(struct shim_process *process);
/* Creates an exec, of which request has the rest. */
void shim_process_create_exec(struct shim_process *process,
			      const Cay__Shim__V1__CreateExecRequest *request);
void shim_process_start_exec(struct shim_process *process);
/* The VM is gone with the process in it, or before it was started. */
void shim_process_lost(struct shim_process *process, const struct cay_error *why);
/* Stops the process's output while an attached client is full, and lets it go on. */
void shim_process_update_flow(struct shim_process *process);
void shim_process_save_state(const struct shim_process *process);
void shim_process_free(struct shim_process *process);

/* ---- attach.c ---- */

void attach_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user);
/* To every attached client that wants the stream. */
void attach_output(struct shim_process *process, enum sandbox_stream stream, const void *data,
		   size_t size);
/* The process takes input now, or again. */
void attach_input_ready(struct shim_process *process);
/* No more output comes: ends each attachment, with an error where one is given. */
void attach_end(struct shim_process *process, const struct cay_error *err);
bool attach_any_full(const struct shim_process *process);
/* Bytes that attached clients have still to fetch. */
size_t attach_queued(const struct shim_process *process);
/* Drops clients that have not read for too long; true while any is full. */
bool attach_check_stalls(struct shim_process *process);

/* ---- watch.c ---- */

void watch_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user);
void watch_started(const struct shim_process *process);
void watch_exited(const struct shim_process *process);
void watch_oom(struct shim *shim, const char *container_id, int64_t time_ns, uint64_t kills);
void watch_lease(struct shim *shim, const struct sandbox_lease *lease);
void watch_end(struct shim *shim);

/* ---- service.c, forward.c ---- */

extern const struct rpc_method service_methods[];
extern const size_t service_method_count;
void forward_begin(struct rpc_call *call, const char *path, void *user);
