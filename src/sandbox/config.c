/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a sandbox's configuration. The document is the daemon's own, yet it
 * is checked whole here, before anything is started, so that a fault in it is
 * told by name and not by QEMU. Keys are the fields of config.h.
 */
#include "sandbox/config-internal.h"

#include "vmm/cmdline.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>

enum {
	CONTAINERS_MAX = 64,
	MOUNTS_MAX = 256,
	OPTIONS_MAX = 64,
	FILES_MAX = 64,
	GROUPS_MAX = 1024,
	VCPUS_MAX = 255,
	LOG_FILES_MAX = 1000,
	WARM_ROUNDS_DEFAULT = 2,
	WARM_ROUNDS_MAX = 100,
	ID_MAX = 128,
	EXTENT_ALIGN = 4096,
};
#define MEMORY_MIN (32 * MIB)
#define MEMORY_MAX (1024 * GIB)

int config_invalid(struct cay_error *err, const char *what, const char *why)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "%s: %s", what, why);
}

static int require(const char *value, const char *key, struct cay_error *err)
{
	return value ? 0 : config_invalid(err, key, "is missing");
}

int config_read_path(const json_t *object, const char *key, bool required, char **target,
		     struct cay_error *err)
{
	int r = json_read_string(object, key, target, err);

	if (r < 0)
		return r;
	if (!*target)
		return required ? config_invalid(err, key, "is missing") : 0;
	return **target == '/' ? 0 : config_invalid(err, key, "is not an absolute path");
}

/* Ids name files and cgroups, so they hold no '/' and don't begin with a dot. */
static int read_name(const json_t *object, const char *key, char **target, struct cay_error *err)
{
	int r = json_read_string(object, key, target, err);

	if (r < 0 || !*target)
		return r;
	if (**target == '\0' || strlen(*target) > ID_MAX ||
	    (*target)[strspn(*target,
			     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			     "0123456789_-")] != '\0')
		return config_invalid(err, key, "is not made of letters, digits, '_' and '-'");
	return 0;
}

static int read_id(const json_t *object, char **target, struct cay_error *err)
{
	int r = read_name(object, "id", target, err);

	return r < 0 ? r : require(*target, "id", err);
}

int config_read_u64(const json_t *object, const char *key, uint64_t min, uint64_t max,
		    uint64_t *target, struct cay_error *err)
{
	int64_t number = (int64_t)*target;
	int r = json_read_int(object, key, (int64_t)min, (int64_t)max, &number, err);

	if (r == 0)
		*target = (uint64_t)number;
	return r;
}

int config_read_unsigned(const json_t *object, const char *key, unsigned int min, unsigned int max,
			 unsigned int *target, struct cay_error *err)
{
	uint64_t number = *target;
	int r = config_read_u64(object, key, min, max, &number, err);

	if (r == 0)
		*target = (unsigned int)number;
	return r;
}

int config_read_items(const json_t *object, const char *key, size_t limit, size_t item_size,
		      int (*read)(const json_t *item, void *target, struct cay_error *err),
		      void **ret_items, size_t *ret_count, struct cay_error *err)
{
	json_t *array = NULL, *item;
	size_t index;
	int r = json_read_array(object, key, &array, err);

	if (r < 0 || !array)
		return r;
	if (json_array_size(array) > limit)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "\"%s\" has more than %zu items",
				     key, limit);
	*ret_items = xcalloc(json_array_size(array) + 1, item_size);
	json_array_foreach(array, index, item) {
		(*ret_count)++; /* counted first, so that a half-read item is freed */
		r = json_is_object(item)
			? read(item, (char *)*ret_items + index * item_size, err)
			: config_invalid(err, key, "holds something that is no object");
		if (r < 0)
			return cay_error_prefix(err, "%s %zu", key, index);
	}
	return 0;
}

static int read_extent(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_extent *extent = target;
	int r = config_read_path(item, "path", true, &extent->path, err);

	if (r == 0)
		r = config_read_u64(item, "size", EXTENT_ALIGN, INT64_MAX, &extent->size, err);
	if (r == 0 && (extent->size == 0 || extent->size % EXTENT_ALIGN != 0))
		r = config_invalid(err, "size", "is not a multiple of 4096");
	return r;
}

static int read_disk(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_disk *disk = target;
	void *extents = NULL;
	int r = json_read_bool(item, "read_only", &disk->read_only, err);

	if (r < 0)
		return r;
	r = config_read_items(item, "extents", VMM_EXTENTS_MAX, sizeof(*disk->extents), read_extent,
			      &extents, &disk->extent_count, err);
	disk->extents = extents;
	if (r < 0)
		return r;
	if (disk->extent_count > 1 && !disk->read_only)
		return config_invalid(err, "read_only", "is needed for a disk of several extents");
	return 0;
}

static int read_mount(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_mount *mount = target;
	int r = json_read_string(item, "type", &mount->type, err);

	if (r == 0)
		r = require(mount->type, "type", err);
	if (r == 0)
		r = json_read_string(item, "source", &mount->source, err);
	if (r == 0)
		r = config_read_path(item, "target", true, &mount->target, err);
	if (r == 0)
		r = json_read_strv(item, "options", OPTIONS_MAX, &mount->options, err);
	if (r == 0 && !mount->source)
		mount->source = xstrdup("");
	return r;
}

static int read_file(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_file *file = target;
	int r = config_read_path(item, "path", true, &file->path, err);

	if (r == 0)
		r = json_read_string(item, "data", &file->data, err);
	if (r == 0)
		r = require(file->data, "data", err);
	file->mode = 0644;
	if (r == 0)
		r = config_read_unsigned(item, "mode", 0, 07777, &file->mode, err);
	return r;
}

static int read_container_streams(const json_t *item, struct sandbox_container *container,
				  struct cay_error *err)
{
	int r = json_read_bool(item, "terminal", &container->terminal, err);

	if (r == 0)
		r = json_read_bool(item, "open_stdin", &container->open_stdin, err);
	if (r == 0)
		r = json_read_bool(item, "stdin_once", &container->stdin_once, err);
	if (r == 0)
		r = json_read_bool(item, "use_init", &container->use_init, err);
	if (r == 0)
		r = config_read_path(item, "log_path", false, &container->log_path, err);
	if (r == 0)
		r = config_read_u64(item, "log_max_size", 0, INT64_MAX, &container->log_max_size,
				    err);
	container->log_max_files = 1;
	if (r == 0)
		r = config_read_unsigned(item, "log_max_files", 1, LOG_FILES_MAX,
					 &container->log_max_files, err);
	if (r == 0)
		r = config_read_path(item, "state_path", true, &container->state_path, err);
	return r;
}

/* The OCI configuration goes to the guest as it is; that it is JSON is checked here. */
static int check_oci_config(const char *text, struct cay_error *err)
{
	_cleanup_json_ json_t *value = NULL;
	int r = require(text, "oci_config", err);

	if (r == 0)
		r = json_parse(text, strlen(text), "oci_config", &value, err);
	if (r == 0 && !json_is_object(value))
		r = config_invalid(err, "oci_config", "is not an object");
	return r;
}

static int read_container(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_container *container = target;
	void *mounts = NULL, *files = NULL;
	int r = read_id(item, &container->id, err);

	if (r == 0)
		r = json_read_string(item, "oci_config", &container->oci_config, err);
	if (r == 0)
		r = check_oci_config(container->oci_config, err);
	if (r == 0)
		r = json_read_string(item, "user", &container->user, err);
	if (r == 0)
		r = json_read_strv(item, "additional_groups", GROUPS_MAX,
				   &container->additional_groups, err);
	if (r == 0)
		r = config_read_items(item, "mounts", MOUNTS_MAX, sizeof(*container->mounts),
				      read_mount, &mounts, &container->mount_count, err);
	container->mounts = mounts;
	if (r == 0)
		r = config_read_items(item, "files", FILES_MAX, sizeof(*container->files),
				      read_file, &files, &container->file_count, err);
	container->files = files;
	if (r == 0)
		r = config_read_fills(item, container, err);
	if (r == 0)
		r = json_read_bool(item, "files_only", &container->files_only, err);
	if (r == 0)
		r = read_container_streams(item, container, err);
	if (r == 0 && !container->user)
		container->user = xstrdup("");
	return r;
}

const char *const config_purpose_names[] = {
	[SANDBOX_FOR_CONTAINERS] = "containers",
	[SANDBOX_FOR_TEMPLATE] = "template",
	[SANDBOX_FOR_POOL] = "pool",
};

static int read_purpose(const json_t *root, struct sandbox_config *config, struct cay_error *err)
{
	_cleanup_free_ char *purpose = NULL;
	size_t i = SANDBOX_FOR_CONTAINERS;
	int r = json_read_string(root, "purpose", &purpose, err);

	if (r < 0)
		return r;
	while (purpose && i < ARRAY_SIZE(config_purpose_names) &&
	       strcmp(purpose, config_purpose_names[i]) != 0)
		i++;
	if (i == ARRAY_SIZE(config_purpose_names))
		return config_invalid(err, "purpose",
				      "is neither \"containers\", \"template\" nor \"pool\"");
	config->purpose = (enum sandbox_purpose)i;
	r = config_read_path(root, "template", false, &config->template_directory, err);
	if (r == 0)
		r = config_read_path(root, "template_output", i == SANDBOX_FOR_TEMPLATE,
				     &config->template_output, err);
	if (r == 0)
		r = config_read_path(root, "translations", false, &config->translations, err);
	if (r == 0)
		r = config_read_path(root, "recording", false, &config->recording, err);
	config->warm_rounds = WARM_ROUNDS_DEFAULT;
	if (r == 0)
		r = config_read_unsigned(root, "warm_rounds", 1, WARM_ROUNDS_MAX,
					 &config->warm_rounds, err);
	return r;
}

/* Once all is read: what one purpose needs, and another has no use for. */
static int check_purpose(const struct sandbox_config *config, struct cay_error *err)
{
	const bool frozen = config->purpose == SANDBOX_FOR_TEMPLATE;

	if (frozen && config->template_directory)
		return config_invalid(err, "template", "is not for what becomes a template");
	if (!frozen && config->template_output)
		return config_invalid(err, "template_output", "is for a template alone");
	if (config->recording &&
	    (config->purpose != SANDBOX_FOR_POOL || config->template_directory))
		return config_invalid(err, "recording", "is for a VM of the pool that boots cold");
	if (frozen &&
	    (config->container_count > 0 || config->port_count > 0 || config->share_count > 0 ||
	     config->socket_count > 0))
		return config_invalid(err, "purpose", "a template has nothing of a container");
	for (size_t i = 0; i < config->disk_count; i++)
		if (config->disks[i].extent_count == 0 && config->purpose == SANDBOX_FOR_CONTAINERS)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "disks %zu: extents: is empty", i);
	return 0;
}

static int read_machine(const json_t *root, struct sandbox_config *config, struct cay_error *err)
{
	enum vmm_accel accel;
	uint64_t number = 0;
	int r = config_read_path(root, "kernel", true, &config->kernel, err);

	if (r == 0)
		r = config_read_path(root, "initramfs", true, &config->initramfs, err);
	if (r == 0)
		r = json_read_string(root, "qemu", &config->qemu, err);
	if (r == 0)
		r = json_read_string(root, "acceleration", &config->acceleration, err);
	if (r == 0)
		r = require(config->acceleration, "acceleration", err);
	if (r == 0 && vmm_accel_parse(config->acceleration, &accel) < 0)
		r = config_invalid(err, "acceleration", "is neither \"kvm\" nor \"tcg\"");
	if (r == 0)
		r = config_read_u64(root, "tsc_khz", 0, UINT32_MAX, &number, err);
	config->tsc_khz = (uint32_t)number;
	if (r == 0)
		r = json_read_bool(root, "stock_kernel", &config->stock_kernel, err);
	if (r == 0)
		r = json_read_bool(root, "disposable", &config->disposable, err);
	config->vcpus = 1;
	if (r == 0)
		r = config_read_unsigned(root, "vcpus", 1, VCPUS_MAX, &config->vcpus, err);
	if (r == 0)
		r = config_read_u64(root, "memory_bytes", MEMORY_MIN, MEMORY_MAX,
				    &config->memory_bytes, err);
	if (r == 0 && config->memory_bytes == 0)
		r = config_invalid(err, "memory_bytes", "is missing");
	number = 0;
	if (r == 0)
		r = config_read_u64(root, "vm_uid", 0, INT32_MAX, &number, err);
	config->vm_uid = (uid_t)number;
	return r;
}

static int check_unique_ids(const struct sandbox_config *config, struct cay_error *err)
{
	for (size_t i = 0; i < config->container_count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(config->containers[i].id, config->containers[j].id) == 0)
				return config_invalid(err, "containers", "two have the same id");
	return 0;
}

static int read_config(const json_t *root, struct sandbox_config *config, struct cay_error *err)
{
	void *disks = NULL, *containers = NULL;
	int r;

	if (!json_is_object(root))
		return config_invalid(err, "the document", "is not an object");
	r = read_id(root, &config->id, err);
	if (r == 0)
		r = read_purpose(root, config, err);
	if (r == 0)
		r = read_name(root, "member", &config->member, err);
	if (r == 0)
		r = config_read_path(root, "run_directory", true, &config->run_directory, err);
	if (r == 0)
		r = config_read_path(root, "boot_log_path", true, &config->boot_log_path, err);
	if (r == 0)
		r = read_machine(root, config, err);
	if (r == 0)
		r = config_read_items(root, "disks", VMM_DISKS_MAX, sizeof(*config->disks),
				      read_disk, &disks, &config->disk_count, err);
	config->disks = disks;
	if (r == 0)
		r = config_read_network(root, config, err);
	if (r == 0)
		r = config_read_shares(root, config, err);
	if (r == 0)
		r = config_read_sockets(root, config, err);
	if (r == 0)
		r = config_read_items(root, "containers", CONTAINERS_MAX,
				      sizeof(*config->containers), read_container, &containers,
				      &config->container_count, err);
	config->containers = containers;
	if (r == 0)
		r = check_unique_ids(config, err);
	if (r == 0)
		r = config_check_shares(config, err);
	if (r == 0)
		r = config_check_sockets(config, err);
	if (r == 0)
		r = check_purpose(config, err);
	return r;
}

int sandbox_config_parse(const char *json, size_t size, struct sandbox_config **ret_config,
			 struct cay_error *err)
{
	struct sandbox_config *config;
	_cleanup_json_ json_t *root = NULL;
	int r;

	if (size > SANDBOX_CONFIG_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "the sandbox's configuration has more than %d bytes",
				     SANDBOX_CONFIG_MAX);
	r = json_parse(json, size, "the sandbox's configuration", &root, err);
	if (r < 0)
		return r;
	config = xcalloc(1, sizeof(*config));
	r = read_config(root, config, err);
	if (r < 0) {
		sandbox_config_free(config);
		return cay_error_prefix(err, "the sandbox's configuration");
	}
	*ret_config = config;
	return 0;
}

int sandbox_config_load(const char *path, struct sandbox_config **ret_config, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = file_read(path, SANDBOX_CONFIG_MAX, &text, err);

	if (r == 0)
		r = sandbox_config_parse(buf_text(&text), text.length, ret_config, err);
	return r;
}
