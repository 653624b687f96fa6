/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets' part of a sandbox's configuration. */
#include "sandbox/config-internal.h"

#include "base/json.h"

#include <string.h>

static int read_id(const json_t *item, const char *key, uint32_t *target, struct cay_error *err)
{
	uint64_t number = *target;
	int r = config_read_u64(item, key, 0, UINT32_MAX - 1, &number, err);

	if (r == 0)
		*target = (uint32_t)number;
	return r;
}

static int read_socket(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_socket *socket = target;
	int r = json_read_bool(item, "publish", &socket->publish, err);

	if (r == 0)
		r = config_read_path(item, "host_path", true, &socket->host_path, err);
	if (r == 0)
		r = config_read_path(item, "guest_path", true, &socket->guest_path, err);
	if (r == 0)
		r = json_read_string(item, "container_id", &socket->container_id, err);
	if (r == 0)
		r = config_read_unsigned(item, "mode", 0, 0777, &socket->mode, err);
	if (r == 0)
		r = read_id(item, "uid", &socket->uid, err);
	if (r == 0)
		r = read_id(item, "gid", &socket->gid, err);
	return r;
}

int config_read_sockets(const json_t *root, struct sandbox_config *config, struct cay_error *err)
{
	void *sockets = NULL;
	int r = config_read_items(root, "sockets", SANDBOX_SOCKETS_MAX, sizeof(*config->sockets),
				  read_socket, &sockets, &config->socket_count, err);

	config->sockets = sockets;
	return r;
}

static bool has_container(const struct sandbox_config *config, const char *id)
{
	for (size_t i = 0; id && i < config->container_count; i++)
		if (strcmp(config->containers[i].id, id) == 0)
			return true;
	return false;
}

int config_check_sockets(const struct sandbox_config *config, struct cay_error *err)
{
	for (size_t i = 0; i < config->socket_count; i++)
		if (config->sockets[i].publish &&
		    !has_container(config, config->sockets[i].container_id))
			return config_invalid(err, "sockets", "one is served by no container");
	return 0;
}

void config_print_sockets(const struct sandbox_config *config, json_t *root)
{
	json_t *sockets = json_array();

	for (size_t i = 0; i < config->socket_count; i++) {
		const struct sandbox_socket *socket = &config->sockets[i];
		json_t *object = json_object();

		json_set_bool(object, "publish", socket->publish);
		json_set_string(object, "host_path", socket->host_path);
		json_set_string(object, "guest_path", socket->guest_path);
		config_set_optional(object, "container_id", socket->container_id);
		json_set_int(object, "mode", socket->mode);
		json_set_int(object, "uid", socket->uid);
		json_set_int(object, "gid", socket->gid);
		config_append(sockets, object);
	}
	json_set(root, "sockets", sockets);
}

void config_sockets_done(struct sandbox_config *config)
{
	for (size_t i = 0; i < config->socket_count; i++) {
		free(config->sockets[i].host_path);
		free(config->sockets[i].guest_path);
		free(config->sockets[i].container_id);
	}
	free(config->sockets);
}
