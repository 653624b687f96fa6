/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the readers of the configuration's parts share. A member that is absent
 * leaves its target as it was, as with json_read_*.
 */
#pragma once

#include "sandbox/config.h"

/* CAY_INVALID: "what: why". */
int config_invalid(struct cay_error *err, const char *what, const char *why);
/* A host path, which is absolute. */
int config_read_path(const json_t *object, const char *key, bool required, char **target,
		     struct cay_error *err);
int config_read_u64(const json_t *object, const char *key, uint64_t min, uint64_t max,
		    uint64_t *target, struct cay_error *err);
int config_read_unsigned(const json_t *object, const char *key, unsigned int min, unsigned int max,
			 unsigned int *target, struct cay_error *err);
/*
 * An array of objects; each item is read by `read` into the next element. The items are the
 * caller's to free, also after a failure.
 */
int config_read_items(const json_t *object, const char *key, size_t limit, size_t item_size,
		      int (*read)(const json_t *item, void *target, struct cay_error *err),
		      void **ret_items, size_t *ret_count, struct cay_error *err);

extern const char *const config_purpose_names[]; /* by enum sandbox_purpose */

/* ---- config-print.c ---- */

void config_append(json_t *array, json_t *item);
/* Nothing for NULL. */
void config_set_optional(json_t *object, const char *key, const char *text);

/* ---- config-network.c ---- */

int config_read_network(const json_t *root, struct sandbox_config *config, struct cay_error *err);
void config_print_network(const struct sandbox_config *config, json_t *root);
void config_network_done(struct sandbox_config *config);

/* ---- config-share.c ---- */

int config_read_shares(const json_t *root, struct sandbox_config *config, struct cay_error *err);
/* After the containers were read: what they mount is there. */
int config_check_shares(const struct sandbox_config *config, struct cay_error *err);
void config_print_shares(const struct sandbox_config *config, json_t *root);
void config_shares_done(struct sandbox_config *config);
int config_read_fills(const json_t *item, struct sandbox_container *container,
		      struct cay_error *err);
json_t *config_print_fills(const struct sandbox_container *container);
void config_fills_done(struct sandbox_container *container);

/* ---- config-socket.c ---- */

int config_read_sockets(const json_t *root, struct sandbox_config *config, struct cay_error *err);
/* After the containers were read: those that serve are there. */
int config_check_sockets(const struct sandbox_config *config, struct cay_error *err);
void config_print_sockets(const struct sandbox_config *config, json_t *root);
void config_sockets_done(struct sandbox_config *config);
