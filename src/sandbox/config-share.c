/* SPDX-License-Identifier: Apache-2.0 */
/* The shares' part of a sandbox's configuration, and what its containers have of them. */
#include "sandbox/config-internal.h"

#include "base/buf.h"
#include "base/json.h"

#include <string.h>

enum { FILLS_MAX = 256 };

static int read_share(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_share *share = target;
	int r = config_read_path(item, "source", true, &share->source, err);

	if (r == 0)
		r = json_read_bool(item, "read_only", &share->read_only, err);
	if (r == 0)
		r = json_read_bool(item, "recursive", &share->recursive, err);
	if (r == 0)
		r = json_read_bool(item, "slave", &share->slave, err);
	if (r == 0)
		r = json_read_bool(item, "cached", &share->cached, err);
	return r;
}

int config_read_shares(const json_t *root, struct sandbox_config *config, struct cay_error *err)
{
	void *shares = NULL;
	int r = config_read_path(root, "files_program", false, &config->files_program, err);

	if (r == 0)
		r = config_read_items(root, "shares", SANDBOX_SHARES_MAX, sizeof(*config->shares),
				      read_share, &shares, &config->share_count, err);
	config->shares = shares;
	if (r == 0 && config->share_count > 0 && !config->files_program)
		r = config_invalid(err, "files_program", "is missing");
	return r;
}

static int read_fill(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_fill *fill = target;
	int r = config_read_path(item, "path", true, &fill->path, err);

	return r < 0 ? r : config_read_path(item, "target", true, &fill->target, err);
}

int config_read_fills(const json_t *item, struct sandbox_container *container,
		      struct cay_error *err)
{
	void *fills = NULL;
	int r = config_read_items(item, "fills", FILLS_MAX, sizeof(*container->fills), read_fill,
				  &fills, &container->fill_count, err);

	container->fills = fills;
	return r;
}

/* Mounts name shares by their number. */
static int check_mounts(const struct sandbox_container *container, size_t share_count,
			struct cay_error *err)
{
	uint64_t number;

	for (size_t i = 0; i < container->mount_count; i++) {
		const struct sandbox_mount *mount = &container->mounts[i];

		if (strcmp(mount->type, "share") == 0 &&
		    (share_count == 0 || parse_u64(mount->source, share_count - 1, &number) < 0))
			return config_invalid(err, "mounts", "one is of a share that is not there");
	}
	return 0;
}

int config_check_shares(const struct sandbox_config *config, struct cay_error *err)
{
	for (size_t i = 0; i < config->container_count; i++) {
		int r = check_mounts(&config->containers[i], config->share_count, err);

		if (r < 0)
			return cay_error_prefix(err, "containers %zu", i);
	}
	return 0;
}

void config_print_shares(const struct sandbox_config *config, json_t *root)
{
	json_t *shares = json_array();

	for (size_t i = 0; i < config->share_count; i++) {
		const struct sandbox_share *share = &config->shares[i];
		json_t *object = json_object();

		json_set_string(object, "source", share->source);
		json_set_bool(object, "read_only", share->read_only);
		json_set_bool(object, "recursive", share->recursive);
		json_set_bool(object, "slave", share->slave);
		json_set_bool(object, "cached", share->cached);
		config_append(shares, object);
	}
	config_set_optional(root, "files_program", config->files_program);
	json_set(root, "shares", shares);
}

json_t *config_print_fills(const struct sandbox_container *container)
{
	json_t *fills = json_array();

	for (size_t i = 0; i < container->fill_count; i++) {
		json_t *object = json_object();

		json_set_string(object, "path", container->fills[i].path);
		json_set_string(object, "target", container->fills[i].target);
		config_append(fills, object);
	}
	return fills;
}

void config_shares_done(struct sandbox_config *config)
{
	for (size_t i = 0; i < config->share_count; i++)
		free(config->shares[i].source);
	free(config->shares);
	free(config->files_program);
}

void config_fills_done(struct sandbox_container *container)
{
	for (size_t i = 0; i < container->fill_count; i++) {
		free(container->fills[i].path);
		free(container->fills[i].target);
	}
	free(container->fills);
}
