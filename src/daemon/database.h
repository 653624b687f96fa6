/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's lasting state: one sqlite file. A container's row is there from
 * the moment its directory is complete until the moment its directory is gone.
 *
 * One connection, guarded by a lock of its own; every change is one
 * transaction that is on disk when the function returns, so these block for as
 * long as the disk takes to sync.
 */
#pragma once

#include "base/error.h"
#include "base/id.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct database;

/* Makes the file where it is not there. One that a newer cay wrote is refused. */
int database_open(const char *path, struct database **ret_database, struct cay_error *err);
void database_close(struct database *database);
DEFINE_CLEANUP(struct database *, database_close);

/* The id of this root, made at the first call. */
int database_root_id(struct database *database, char ret_id[ID_SIZE], struct cay_error *err);

/* A value of this root, by its key. 1 where there is one that fits, 0 where not. */
int database_get_meta(struct database *database, const char *key, char *ret_value, size_t size,
		      struct cay_error *err);
/* Replaces one that is there. */
int database_set_meta(struct database *database, const char *key, const char *value,
		      struct cay_error *err);

/* One row. The strings are borrowed. */
struct database_container {
	const char *id, *name, *image_id, *image_name;
	int64_t created_ns;
	uid_t vm_uid;        /* 0: none of its own */
	const char *request; /* request_print() */
	const char *status;  /* container_status_name() */
	int64_t started_ns, finished_ns;
	int exit_code;
	bool oom_killed;
	const char *error;
	/*
	 * It goes with its end, and a power cut is one: what is written of it need not outlive
	 * that. Not stored. The table is whole either way, as it was at some moment before.
	 */
	bool fleeting;
};

/* A container's place on a network; the row goes with the container's. The strings are borrowed. */
struct database_endpoint {
	const char *container_id;
	const char *network; /* its name; it need not be there */
	int position;        /* the container's first network has the lowest */
	const char *id;
	const char *config;            /* endpoint_config_to_json(), printed */
	const char *mac, *ipv4, *ipv6; /* "": none yet */
};

/* With its endpoints, whole or not at all. A name or a uid that another row has is CAY_EXISTS. */
int database_insert_container(struct database *database, const struct database_container *row,
			      const struct database_endpoint *endpoints, size_t endpoint_count,
			      struct cay_error *err);
/* Writes the members from status on; those before never change but the name. */
int database_update_container(struct database *database, const struct database_container *row,
			      struct cay_error *err);
int database_rename_container(struct database *database, const char *id, const char *name,
			      struct cay_error *err);
/* No such row is success. `fleeting`: as in the row. */
int database_delete_container(struct database *database, const char *id, bool fleeting,
			      struct cay_error *err);

/* One there already, by container and network, is replaced. */
int database_store_endpoint(struct database *database, const struct database_endpoint *row,
			    struct cay_error *err);
/* No such row is success. */
int database_delete_endpoint(struct database *database, const char *container_id,
			     const char *network, struct cay_error *err);
/* Calls `each` for every row, in order of containers and positions; else as below. */
int database_each_endpoint(struct database *database,
			   int (*each)(const struct database_endpoint *row, void *user,
				       struct cay_error *err),
			   void *user, struct cay_error *err);

struct database_network {
	const char *id, *name;
	int64_t created_ns;
	const char *document; /* network_to_json(), printed */
};

/* One of this name that is there already, damaged perhaps, is replaced. */
int database_store_network(struct database *database, const struct database_network *row,
			   struct cay_error *err);
/* No such row is success. */
int database_delete_network(struct database *database, const char *id, struct cay_error *err);
int database_each_network(struct database *database,
			  int (*each)(const struct database_network *row, void *user,
				      struct cay_error *err),
			  void *user, struct cay_error *err);

/* There from the moment its directory is whole until the moment it is not any more. */
struct database_volume {
	const char *name;
	int64_t created_ns;
	const char *document; /* {"Options": …, "Labels": …}, printed */
};

/* One of this name that is there already, damaged perhaps, is replaced. */
int database_store_volume(struct database *database, const struct database_volume *row,
			  struct cay_error *err);
/* No such row is success. */
int database_delete_volume(struct database *database, const char *name, struct cay_error *err);
int database_each_volume(struct database *database,
			 int (*each)(const struct database_volume *row, void *user,
				     struct cay_error *err),
			 void *user, struct cay_error *err);

/* Calls `each` for every row, oldest first, until it fails. It may not use the database. */
int database_each_container(struct database *database,
			    int (*each)(const struct database_container *row, void *user,
					struct cay_error *err),
			    void *user, struct cay_error *err);
