/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of a shim: starting it and its calls, in blocking form.
 * Each call here makes a connection of its own, which costs well under a
 * millisecond; who needs more than one call keeps the client.
 */
#pragma once

#include "daemon/container.h"
#include "daemon/options.h"
#include "rpc/sync.h"
#include "sandbox/config.h"
#include "shim.pb-c.h"
#include "vminitd.pb-c.h"

enum {
	SHIM_CALL_MS = 30000,   /* an ordinary call */
	SHIM_START_MS = 180000, /* a VM's boot on a host that is very busy */
	SHIM_READY_MS = 20000,
};

/* What a container's shim is for: each has files of its own in the container's directory. */
enum shim_purpose { SHIM_FOR_RUN, SHIM_FOR_FILES };

/*
 * What comes before a container's shim: writes shim.json (or files.json), whose path the caller
 * frees, forgets the last run's state and empties the run directory.
 */
int shim_prepare(struct container *container, enum shim_purpose purpose,
		 const struct sandbox_config *config, char **ret_config_path,
		 struct cay_error *err);

/* How the program is started. */
struct shim_program {
	const char *config_path;
	const char *log_path; /* made anew; it takes what the shim says */
	int leash_fd;         /* a pipe's end: the shim ends when the other is closed; -1: none */
	bool is_child;        /* the caller waits for it; else it may outlive this daemon */
	bool background;      /* at the lowest priority */
};
/* Blocks until it is executed. */
int shim_execute(const struct daemon_options *options, const struct shim_program *program,
		 pid_t *ret_pid, struct cay_error *err);

/*
 * Connects to a shim that was just started, as soon as it answers. One that has ended says why in
 * its log.
 */
int shim_wait_ready(const char *socket, pid_t pid, const char *log_path, int timeout_ms,
		    struct rpc_client **ret_client, struct cay_error *err);

/*
 * Writes shim.json (or files.json), empties the run directory, starts the shim and returns a
 * connection to it. The shim's pid goes to *ret_pid as soon as there is one, also on failure.
 */
int shim_spawn(struct container *container, enum shim_purpose purpose,
	       const struct sandbox_config *config, pid_t *ret_pid, struct rpc_client **ret_client,
	       struct cay_error *err);

/* A connection to a shim that runs; none is CAY_UNAVAILABLE. */
int shim_connect(const struct container *container, struct rpc_client **ret_client,
		 struct cay_error *err);

/* The calls of shim.proto. exec_id "" is the container's first process. */
int shim_start(struct rpc_client *client, const struct container *container,
	       Cay__Shim__V1__StartResponse **ret_response, struct cay_error *err);
int shim_state(struct rpc_client *client, Cay__Shim__V1__StateResponse **ret_response,
	       struct cay_error *err);
int shim_kill(const struct container *container, const char *exec_id, int signal, bool all,
	      struct cay_error *err);
int shim_resize(const struct container *container, const char *exec_id, unsigned int columns,
		unsigned int rows, struct cay_error *err);
/* Addresses as text; "": the container has none of that family. */
int shim_lead_ports(const struct container *container, const char *ipv4, const char *ipv6,
		    struct cay_error *err);
int shim_shutdown(const struct container *container, struct cay_error *err);

/* A call of the guest's own service, passed on by the shim. */
int shim_guest_call(const struct container *container, const char *method,
		    const ProtobufCMessage *request, int64_t timeout_ms,
		    ProtobufCMessage **ret_response, struct cay_error *err);

/*
 * Waits until the process has ended, at most timeout_ms (-1: for ever). True when it has. A pid of
 * 0 or below never was.
 */
bool shim_wait_gone(pid_t pid, int timeout_ms);
/* True where the pid is, by its command line, this container's shim: pids are used again. */
bool shim_is_pid(const struct container *container, pid_t pid);
/* Kills the shim, and its VM with it, if the pid is still its own; waits until it is gone. */
void shim_destroy(const struct container *container, pid_t pid);
/* The same for shims of it that no state file tells of yet: all processes are looked at. */
void shim_destroy_unknown(const struct container *container);
/* Kills all shims whose configurations' paths begin so and that don't end by themselves in time. */
void shim_destroy_all(const char *prefix, int grace_ms);
/* Of a sandbox whose shim is gone; waits a little for its VM to be gone as well. */
void shim_remove_cgroup(const char *id);
/* What a shim said last, as one line; the caller frees. */
char *shim_last_words(const char *log_path);
/*
 * Waits until a VM whose shim is gone has ended too, as it does by itself; else kills it. A pid
 * that is not this container's VM is left alone.
 */
void shim_end_vm(const struct container *container, pid_t pid);
/* Removes what a shim that did not end by itself has left in the run directory. */
void shim_clean(const struct container *container);

#define DEFINE_MESSAGE_CLEANUP(type, name) \
	static inline cay_unused void name(type **message) \
	{ \
		if (*message) \
			protobuf_c_message_free_unpacked((ProtobufCMessage *)*message, NULL); \
	} \
	static_assert(1, "")
DEFINE_MESSAGE_CLEANUP(ProtobufCMessage, message_free_p);
DEFINE_MESSAGE_CLEANUP(Cay__Shim__V1__StateResponse, shim_state_free_p);
DEFINE_MESSAGE_CLEANUP(Cay__Shim__V1__StartResponse, shim_start_free_p);
