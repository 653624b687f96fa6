/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct daemon, from which all of cayd's state hangs. Each part has a header
 * and a lock of its own; the pointers here do not change between daemon_open()
 * and daemon_close().
 */
#pragma once

#include "base/error.h"
#include "base/id.h"
#include "daemon/options.h"

struct containers;
struct damaged;
struct database;
struct events;
struct execs;
struct host;
struct http_server;
struct image_store;
struct networks;
struct pool;
struct quiet;
struct recorder;
struct templates;
struct volumes;

struct daemon {
	struct daemon_options options;
	char id[ID_SIZE]; /* of this root, kept in the database: "ID" in docker's info */
	int64_t started_ns;
	int root_lock_fd, run_lock_fd;
	int stop_fd;              /* an eventfd that becomes readable when the daemon is to end */
	unsigned int supervisors; /* threads behind containers, running or being removed; atomic */
	struct database *database;
	struct image_store *images;
	struct events *events;
	struct containers *containers;
	struct damaged *damaged;
	struct execs *execs;
	struct networks *networks;
	struct volumes *volumes;
	struct quiet *quiet;
	struct recorder *recorder;
	struct templates *templates;
	struct pool *pool;
	struct host *host; /* acceleration, found out in the background */
	struct http_server *server;
};

/*
 * Locks the root, opens all parts and takes up what an earlier daemon left: running containers are
 * followed again, half-made ones cleared away. `options` is taken over. Serving is not begun.
 */
int daemon_open(struct daemon_options *options, struct daemon **ret_daemon, struct cay_error *err);

/* Listens on the options' host, or takes the socket that systemd passed, and serves. */
int daemon_serve(struct daemon *daemon, struct cay_error *err);

/* Stops serving and frees everything. Containers go on. NULL is allowed. */
void daemon_close(struct daemon *daemon);
