/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client asks a container to be: the body of docker's "create",
 * checked whole before anything is made. It is kept in two forms: `config` and
 * `host_config`, JSON objects in docker's full shape with every default filled
 * in, which are stored and shown by inspect; and the typed members, which are
 * what the rest of the daemon acts on. The second is always read from the
 * first, so both say the same after a restart.
 *
 * What cay does not have yet is refused with CAY_UNSUPPORTED, never ignored.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"
#include "daemon/endpoint-config.h"
#include "daemon/mount-point.h"

#include <jansson.h>
#include <stdbool.h>

/* Limits on foreign bytes. The document as stored is at most REQUEST_MAX bytes. */
enum {
	REQUEST_MAX = 1024 * 1024,
	REQUEST_ITEMS_MAX = 8192, /* items of any one list or map */
	REQUEST_PORTS_MAX = 2048, /* exposed ones, and published ones */
	REQUEST_ENDPOINTS_MAX = 64,
	REQUEST_MOUNTS_MAX = 128, /* binds and volumes */
};

/* Flags and limits of setrlimit, by docker's names. */
struct request_ulimit {
	const char *oci_name; /* "RLIMIT_NOFILE" */
	int64_t soft, hard;   /* -1: no limit */
};

struct request_tmpfs {
	char *target;
	bool is_mount; /* by --mount, which inspect shows, not by --tmpfs */
	struct strv options;
};

enum request_protocol { REQUEST_TCP, REQUEST_UDP, REQUEST_SCTP };

/* A port the image or the client says that the container serves. */
struct request_exposed {
	enum request_protocol protocol;
	uint16_t port;
	bool bound; /* the client says by which ports of the host it is reached */
};

/* A published port. */
struct request_port {
	enum request_protocol protocol; /* not SCTP */
	uint16_t container_port;
	struct net_address host_address; /* unset: all of the host's */
	uint16_t host_first, host_last;  /* any free one of these; 0: any at all */
};

/* A socket in the container that the host sees: both absolute paths. */
struct request_socket {
	char *host, *container;
	/* Where the directory of `host` was when the container was made; NULL: unknown. */
	char *resolved;
};

struct request {
	json_t *config, *host_config;

	struct strv arguments; /* entrypoint, then command; never empty */
	struct strv env;
	char *working_directory; /* "" is "/" */
	char *user;              /* docker's form, or "" */
	struct strv additional_groups;
	char *hostname, *domainname; /* "" where none was given */
	bool tty, open_stdin, stdin_once;
	int stop_signal;
	int64_t stop_timeout; /* seconds; -1: wait for ever */

	bool auto_remove, init, read_only_root, privileged, no_new_privileges;
	bool host_pid, host_ipc, host_uts; /* the guest's own namespace instead of a new one */
	uint64_t capabilities;             /* a bit a capability; see capability.h */
	int64_t memory, memory_reservation, memory_swap; /* bytes; 0: no limit; swap -1: no limit */
	int64_t nano_cpus, cpu_quota, cpu_period, cpu_shares;
	int64_t pids_limit; /* 0: none */
	int64_t shm_size, oom_score_adj;
	bool no_shm;           /* without /dev/shm: docker's IPC mode "none" */
	uint64_t storage_size; /* bytes of the writable layer's file system; 0: the default */
	struct request_ulimit *ulimits;
	size_t ulimit_count;
	struct request_tmpfs *tmpfs;
	size_t tmpfs_count;
	const json_t *sysctls; /* in host_config; NULL: none */
	struct strv extra_hosts, dns, dns_search, dns_options;
	struct strv masked_paths, readonly_paths;

	bool host_gateway; /* one of extra_hosts has the address "host-gateway" */
	char *network;     /* HostConfig's NetworkMode, "default" resolved */
	struct request_exposed *exposed;
	size_t exposed_count;
	struct request_port *ports;
	size_t port_count;
	/* The first is `network`'s. Of a new request only: from then on the database has them. */
	struct endpoint_config *endpoints;
	size_t endpoint_count;

	/*
	 * Binds and volumes, each with a target of its own. Of a new request without those of
	 * VolumesFrom, which mounts_prepare() adds; later the container's, as they are stored.
	 */
	struct mount_point *mounts;
	size_t mount_count;
	struct request_socket *publish_sockets; /* HostConfig's PublishSockets */
	size_t publish_socket_count;

	bool log_kept; /* false: the "none" driver */
	uint64_t log_max_size;
	unsigned int log_max_files;
};

/*
 * Checks a create request against an image's configuration (the whole OCI document; NULL: none).
 * `host_cpus` bounds --cpus. Warnings in docker's sense are added to `warnings`.
 */
int request_parse(const json_t *body, const json_t *image, unsigned int host_cpus,
		  struct request **ret_request, struct strv *warnings, struct cay_error *err);

/* As the database keeps it, and back. The caller frees the text. */
char *request_print(const struct request *request);
int request_load(const char *text, struct request **ret_request, struct cay_error *err);

/* The bind or volume at this cleaned path, or NULL. */
struct mount_point *request_find_mount(const struct request *request, const char *target);
/* Takes *point over on success. Over REQUEST_MOUNTS_MAX is an error. */
int request_add_mount(struct request *request, struct mount_point *point, struct cay_error *err);
/* "CONTAINER[:ro|rw]". The caller frees. */
int request_parse_volumes_from(const char *text, char **ret_container, bool *ret_read_only,
			       struct cay_error *err);

/*
 * "config" of an image made of a container with this configuration (docker's shape; NULL: of none),
 * as docker's commit does: `body`, an object of the same shape or NULL, is what a client says
 * instead, `changes` are instructions of a Dockerfile. What neither says is the container's.
 */
int request_commit_config(const json_t *body, const json_t *container, const struct strv *changes,
			  json_t **ret_config, struct cay_error *err);

const char *request_protocol_name(enum request_protocol protocol); /* "tcp" */

void request_free(struct request *request);
DEFINE_CLEANUP(struct request *, request_free);
#define _cleanup_request_ _cleanup_(request_free_p)
