/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's configuration written as the document that config.c reads, and freed. */
#include "sandbox/config-internal.h"

#include "base/json.h"

void config_set_optional(json_t *object, const char *key, const char *text)
{
	if (text)
		json_set_string(object, key, text);
}

void config_append(json_t *array, json_t *item)
{
	if (json_array_append_new(array, item) < 0)
		abort(); /* only lack of memory */
}

static json_t *print_disk(const struct sandbox_disk *disk)
{
	json_t *object = json_object(), *extents = json_array();

	for (size_t i = 0; i < disk->extent_count; i++) {
		json_t *extent = json_object();

		json_set_string(extent, "path", disk->extents[i].path);
		json_set_int(extent, "size", (int64_t)disk->extents[i].size);
		config_append(extents, extent);
	}
	json_set_bool(object, "read_only", disk->read_only);
	json_set(object, "extents", extents);
	return object;
}

static json_t *print_mounts(const struct sandbox_container *container)
{
	json_t *array = json_array();

	for (size_t i = 0; i < container->mount_count; i++) {
		const struct sandbox_mount *mount = &container->mounts[i];
		json_t *object = json_object();

		json_set_string(object, "type", mount->type);
		config_set_optional(object, "source", mount->source);
		json_set_string(object, "target", mount->target);
		json_set(object, "options", json_from_strv(&mount->options));
		config_append(array, object);
	}
	return array;
}

static json_t *print_files(const struct sandbox_container *container)
{
	json_t *array = json_array();

	for (size_t i = 0; i < container->file_count; i++) {
		const struct sandbox_file *file = &container->files[i];
		json_t *object = json_object();

		json_set_string(object, "path", file->path);
		json_set_string(object, "data", file->data);
		json_set_int(object, "mode", file->mode);
		config_append(array, object);
	}
	return array;
}

static json_t *print_container(const struct sandbox_container *container)
{
	json_t *object = json_object();

	json_set_string(object, "id", container->id);
	json_set_string(object, "oci_config", container->oci_config);
	config_set_optional(object, "user", container->user);
	json_set(object, "additional_groups", json_from_strv(&container->additional_groups));
	json_set(object, "mounts", print_mounts(container));
	json_set(object, "files", print_files(container));
	json_set(object, "fills", config_print_fills(container));
	json_set_bool(object, "files_only", container->files_only);
	json_set_bool(object, "terminal", container->terminal);
	json_set_bool(object, "open_stdin", container->open_stdin);
	json_set_bool(object, "stdin_once", container->stdin_once);
	json_set_bool(object, "use_init", container->use_init);
	config_set_optional(object, "log_path", container->log_path);
	json_set_int(object, "log_max_size", (int64_t)container->log_max_size);
	json_set_int(object, "log_max_files",
		     container->log_max_files ? (int64_t)container->log_max_files : 1);
	json_set_string(object, "state_path", container->state_path);
	return object;
}

char *sandbox_config_print(const struct sandbox_config *config)
{
	_cleanup_json_ json_t *root = json_object();
	json_t *disks = json_array(), *containers = json_array();

	for (size_t i = 0; i < config->disk_count; i++)
		config_append(disks, print_disk(&config->disks[i]));
	for (size_t i = 0; i < config->container_count; i++)
		config_append(containers, print_container(&config->containers[i]));
	json_set_string(root, "id", config->id);
	json_set_string(root, "purpose", config_purpose_names[config->purpose]);
	config_set_optional(root, "template", config->template_directory);
	config_set_optional(root, "template_output", config->template_output);
	config_set_optional(root, "translations", config->translations);
	config_set_optional(root, "recording", config->recording);
	if (config->warm_rounds > 0)
		json_set_int(root, "warm_rounds", config->warm_rounds);
	config_set_optional(root, "member", config->member);
	json_set_string(root, "run_directory", config->run_directory);
	json_set_string(root, "boot_log_path", config->boot_log_path);
	json_set_string(root, "kernel", config->kernel);
	json_set_string(root, "initramfs", config->initramfs);
	config_set_optional(root, "qemu", config->qemu);
	json_set_string(root, "acceleration", config->acceleration);
	json_set_int(root, "tsc_khz", config->tsc_khz);
	json_set_bool(root, "stock_kernel", config->stock_kernel);
	json_set_bool(root, "disposable", config->disposable);
	json_set_int(root, "vcpus", config->vcpus);
	json_set_int(root, "memory_bytes", (int64_t)config->memory_bytes);
	json_set_int(root, "vm_uid", (int64_t)config->vm_uid);
	json_set(root, "disks", disks);
	config_print_network(config, root);
	config_print_shares(config, root);
	config_print_sockets(config, root);
	json_set(root, "containers", containers);
	return json_print(root);
}

static void container_done(struct sandbox_container *container)
{
	for (size_t i = 0; i < container->mount_count; i++) {
		free(container->mounts[i].type);
		free(container->mounts[i].source);
		free(container->mounts[i].target);
		strv_done(&container->mounts[i].options);
	}
	for (size_t i = 0; i < container->file_count; i++) {
		free(container->files[i].path);
		free(container->files[i].data);
	}
	config_fills_done(container);
	free(container->mounts);
	free(container->files);
	free(container->id);
	free(container->oci_config);
	free(container->user);
	strv_done(&container->additional_groups);
	free(container->log_path);
	free(container->state_path);
}

void sandbox_config_free(struct sandbox_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->disk_count; i++) {
		for (size_t j = 0; j < config->disks[i].extent_count; j++)
			free(config->disks[i].extents[j].path);
		free(config->disks[i].extents);
	}
	config_network_done(config);
	config_shares_done(config);
	config_sockets_done(config);
	for (size_t i = 0; i < config->container_count; i++)
		container_done(&config->containers[i]);
	free(config->disks);
	free(config->containers);
	free(config->id);
	free(config->template_directory);
	free(config->template_output);
	free(config->translations);
	free(config->recording);
	free(config->member);
	free(config->run_directory);
	free(config->boot_log_path);
	free(config->kernel);
	free(config->initramfs);
	free(config->qemu);
	free(config->acceleration);
	free(config);
}
