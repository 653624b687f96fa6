/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of request_parse(), each in a file of its own. */
#pragma once

#include "daemon/request.h"

/*
 * request-shape.c: new objects in docker's full shape from the members of `source` that docker
 * knows, their types checked, the others' defaults filled in. Unknown members are dropped.
 */
int request_shape_config(const json_t *source, json_t **ret_config, struct cay_error *err);
int request_shape_host_config(const json_t *source, json_t **ret_config, struct cay_error *err);

/* request-merge.c: what the image says where the client says nothing. */
int request_merge_image(json_t *config, const json_t *image, struct cay_error *err);

/* request-host.c: the typed members that come from HostConfig. */
int request_read_host(struct request *request, struct cay_error *err);
/* Refuses what cay does not have yet, by name. */
int request_check_supported(const json_t *host_config, struct cay_error *err);

/* Parts of request_read_host(). request-storage.c: the options of the writable layer. */
int request_read_storage(struct request *request, struct cay_error *err);
/* request-tmpfs.c: `tmpfs`, from HostConfig's Tmpfs and its mounts of type tmpfs. */
int request_read_tmpfs(struct request *request, struct cay_error *err);

/* request-network.c: the network mode and the ports. */
int request_read_network(struct request *request, struct cay_error *err);
/* After it: the endpoints. `networking` is NetworkingConfig or NULL. */
int request_read_endpoints(struct request *request, const json_t *networking,
			   struct cay_error *err);

/* request-mounts.c: binds and volumes, of a new request and as they were stored. */
int request_read_mounts(struct request *request, struct cay_error *err);
int request_load_mounts(struct request *request, const json_t *document, struct cay_error *err);
/* As request_add_mount() where nothing else has that target; else CAY_INVALID. */
int request_add_unique_mount(struct request *request, struct mount_point *point,
			     struct cay_error *err);
/* A target as a client has written it. */
int request_check_target(const char *target, struct cay_error *err);
/* Gives a volume a name that is made up. */
void request_make_anonymous(struct mount_point *point);

/* request-binds.c: HostConfig's Binds. */
int request_read_binds(struct request *request, struct cay_error *err);
/* What a client says in Config's Volumes, before the image's are added. */
int request_check_volumes(const json_t *config, struct cay_error *err);

/* request-sockets.c: the published sockets, and where their directories were when it was new. */
int request_read_sockets(struct request *request, struct cay_error *err);
void request_print_sockets(const struct request *request, json_t *document);
int request_load_sockets(struct request *request, const json_t *document, struct cay_error *err);
