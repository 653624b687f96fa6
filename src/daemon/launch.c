/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox of one container: its disks, its machine's size, the mounts and
 * files that make its root in the guest.
 *
 *   /dev/vda  the image, EROFS, read-only  ─┐
 *   /dev/vdb  the scratch, ext4            ─┴─ overlay: the container's root
 */
#include "daemon/launch.h"

#include "daemon/launch-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "daemon/daemon.h"
#include "daemon/host.h"
#include "daemon/launch-block.h"
#include "daemon/launch-disk.h"
#include "daemon/launch-mounts.h"
#include "daemon/launch-sockets.h"
#include "daemon/placement.h"
#include "daemon/spec.h"
#include "image/ext4.h"
#include "image/store.h"

#include <errno.h>

/* Of a VM that only copies; the rest is its cache. */
#define FILES_MEMORY (256 * MIB)

static uint64_t vm_memory(const struct container *container)
{
	const int64_t memory = container->request->memory;

	return memory > 0 ? launch_memory((uint64_t)memory)
			  : launch_usual_memory(container->daemon);
}

static unsigned int vm_cpus(const struct container *container, const char *acceleration)
{
	const struct request *request = container->request;
	unsigned int wanted;

	if (request->nano_cpus > 0)
		wanted = (unsigned int)((request->nano_cpus + 999999999) / 1000000000);
	else if (request->cpu_quota > 0 && request->cpu_period > 0)
		wanted = (unsigned int)((request->cpu_quota + request->cpu_period - 1) /
					request->cpu_period);
	else
		return launch_usual_cpus(container->daemon, acceleration);
	return MAX(MIN(wanted, host_cpus(container->daemon->host)), 1);
}

static void add_mount(struct sandbox_container *target, const char *type, char *source, char *where)
{
	struct sandbox_mount *mount;

	target->mounts =
		xreallocarray(target->mounts, target->mount_count + 1, sizeof(*target->mounts));
	mount = &target->mounts[target->mount_count++];
	*mount = (struct sandbox_mount){ .type = xstrdup(type), .source = source, .target = where };
}

static void add_option(struct sandbox_container *target, char *option)
{
	strv_take(&target->mounts[target->mount_count - 1].options, option);
}

void launch_add_root(struct sandbox_container *target, const char *id)
{
	add_mount(target, "erofs", xstrdup("/dev/vda"), spec_guest_path(id, "image"));
	add_option(target, xstrdup("ro"));
	add_mount(target, "ext4", xstrdup("/dev/vdb"), spec_guest_path(id, "scratch"));
	/* A guest this young has better to do than to zero inode tables. */
	add_option(target, xstrdup("noinit_itable"));
	add_option(target, xstrdup("discard"));
	add_mount(target, "overlay", xstrdup("overlay"), spec_guest_path(id, "rootfs"));
	add_option(target, xasprintf("lowerdir=/run/cay/c/%s/image", id));
	add_option(target, xasprintf("upperdir=/run/cay/c/%s/scratch/upper", id));
	add_option(target, xasprintf("workdir=/run/cay/c/%s/scratch/work", id));
}

static int fill_container(const struct container *container, struct sandbox_config *config,
			  struct sandbox_container *target, bool files_only, struct cay_error *err)
{
	const struct request *request = container->request;
	_cleanup_free_ char *hostname = spec_hostname(request, container->id);
	_cleanup_spec_mounts_ struct spec_mounts mounts = { 0 };
	int r;

	launch_add_root(target, container->id);
	target->files_only = files_only;
	r = launch_mounts(container, config, target, &mounts, err);
	if (r < 0)
		return r;
	target->id = xstrdup(container->id);
	target->oci_config = spec_make(request, container->id, &mounts);
	target->user = xstrdup(request->user);
	strv_copy(&target->additional_groups, &request->additional_groups);
	spec_add_file(target, container->id, "hostname", xasprintf("%s\n", hostname));
	target->terminal = request->tty;
	target->open_stdin = request->open_stdin;
	/* A terminal outlives its client, as docker has it. */
	target->stdin_once = request->stdin_once && !request->tty;
	target->use_init = request->init;
	if (request->log_kept)
		target->log_path = container_log_path(container);
	target->log_max_size = request->log_max_size;
	target->log_max_files = request->log_max_files;
	target->state_path = container_path(container, "state.json");
	return 0;
}

void launch_fill_disks(struct sandbox_config *config, const struct image_disk *image, char *scratch)
{
	struct sandbox_disk *root = &config->disks[0], *writable = &config->disks[1];

	root->read_only = true;
	root->extents = xcalloc(image->count + 1, sizeof(*root->extents));
	root->extent_count = image->count;
	for (size_t i = 0; i < image->count; i++) {
		root->extents[i].path = xstrdup(image->extents[i].path);
		root->extents[i].size = image->extents[i].size;
	}
	writable->extents = xcalloc(1, sizeof(*writable->extents));
	writable->extent_count = 1;
	writable->extents[0].path = scratch;
	writable->extents[0].size = EXT4_DISK_SIZE;
}

static int fill_disks(const struct container *container, struct sandbox_config *config,
		      struct cay_error *err)
{
	struct image_disk image = { 0 };
	int r = image_store_disk(container->daemon->images, container->image_id, &image, err);

	if (r < 0)
		return cay_error_prefix(err, "the image of container %.12s", container->id);
	config->disks = xcalloc(LAUNCH_DISKS_OWN, sizeof(*config->disks));
	config->disk_count = LAUNCH_DISKS_OWN;
	launch_fill_disks(config, &image, container_path(container, "scratch.ext4"));
	image_disk_done(&image);
	return launch_disk_check_scratch(container, config->disks[1].extents[0].path, err);
}

/* All but the network. */
static int make_config(const struct container *container, bool files_only,
		       struct sandbox_config **ret_config, struct cay_error *err)
{
	const struct daemon_options *options = &container->daemon->options;
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config =
		xcalloc(1, sizeof(*config));
	int r = launch_machine(container->daemon, config, err);

	if (r == 0)
		r = fill_disks(container, config, err);
	if (r < 0)
		return r;
	config->id = xstrdup(container->id);
	config->run_directory = xstrdup(container->run_directory);
	config->boot_log_path = container_path(container, "boot.log");
	config->vcpus = vm_cpus(container, config->acceleration);
	config->memory_bytes = vm_memory(container);
	config->vm_uid = container->vm_uid;
	config->containers = xcalloc(1, sizeof(*config->containers));
	config->container_count = 1;
	r = fill_container(container, config, &config->containers[0], files_only, err);
	/* Disks of volumes outlive it. */
	config->disposable =
		container->request->auto_remove && config->disk_count == LAUNCH_DISKS_OWN;
	if (r == 0 && config->share_count > 0)
		r = launch_check_part("the file server", options->files, "--files", err);
	if (r < 0)
		return r;
	*ret_config = TAKE_PTR(config);
	return 0;
}

int launch_config(struct container *container, struct sandbox_config **ret_config,
		  struct cay_error *err)
{
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = NULL;
	int r = make_config(container, false, &config, err);

	if (r == 0)
		r = launch_published_sockets(config, container, err);
	if (r == 0)
		r = networks_place(container->daemon->networks, container, config, err);
	if (r < 0)
		return r;
	*ret_config = TAKE_PTR(config);
	return 0;
}

int launch_files_config(struct container *container, struct sandbox_config **ret_config,
			struct cay_error *err)
{
	struct sandbox_container *target;
	int r = make_config(container, true, ret_config, err);

	if (r < 0)
		return r;
	(*ret_config)->disposable = false; /* what is copied in is for later */
	(*ret_config)->vcpus = 1;
	(*ret_config)->memory_bytes = FILES_MEMORY;
	target = &(*ret_config)->containers[0];
	target->open_stdin = target->stdin_once = target->terminal = false;
	free(TAKE_PTR(target->log_path));
	free(target->state_path);
	target->state_path = container_path(container, "files-state.json");
	/* Where it has no place on a network: what can be said without one. */
	networks_add_files(container->daemon->networks, container, *ret_config);
	return 0;
}
