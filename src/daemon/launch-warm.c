/* SPDX-License-Identifier: Apache-2.0 */
/* Machines without a container: placeholders for its disks, cards that lead nowhere. */
#include "daemon/launch-warm.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/host.h"
#include "daemon/launch-internal.h"
#include "daemon/placement.h"
#include "daemon/spec.h"
#include "image/program.h"
#include "net/address.h"

#include <errno.h>
#include <sys/statvfs.h>

/* What must stay free of the disk: a faster start is worth no user's last megabytes. */
#define SPACE_MIN (512 * MIB)
enum {
	DISKS = 2, /* the root and the scratch */
};

static void add_placeholders(struct sandbox_config *config, size_t count)
{
	config->disks = xcalloc(count + 1, sizeof(*config->disks));
	config->disk_count = count;
}

int launch_empty_machine(struct daemon *daemon, const struct launch_size *size,
			 struct sandbox_config **ret_config, struct cay_error *err)
{
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config =
		xcalloc(1, sizeof(*config));
	int r = launch_machine(daemon, config, err);

	if (r < 0)
		return r;
	config->vcpus =
		size->cpus > 0 ? size->cpus : launch_usual_cpus(daemon, config->acceleration);
	config->memory_bytes =
		size->memory > 0 ? launch_memory(size->memory) : launch_usual_memory(daemon);
	add_placeholders(config, size->disks > 0 ? size->disks : DISKS);
	config->disks[0].read_only = true;
	if (!size->without_network)
		networks_add_usual_cards(daemon->networks, config);
	*ret_config = TAKE_PTR(config);
	return 0;
}

struct sandbox_config *launch_copy_machine(const struct sandbox_config *like)
{
	struct sandbox_config *config = xcalloc(1, sizeof(*config));

	config->kernel = xstrdup(like->kernel);
	config->initramfs = xstrdup(like->initramfs);
	config->qemu = xstrdup(like->qemu);
	config->acceleration = xstrdup(like->acceleration);
	config->tsc_khz = like->tsc_khz;
	config->stock_kernel = like->stock_kernel;
	config->vcpus = like->vcpus;
	config->memory_bytes = like->memory_bytes;
	add_placeholders(config, like->disk_count);
	for (size_t i = 0; i < like->disk_count; i++)
		config->disks[i].read_only = like->disks[i].read_only;
	config->interfaces = xcalloc(like->interface_count + 1, sizeof(*config->interfaces));
	config->interface_count = like->interface_count;
	for (size_t i = 0; i < like->interface_count; i++) {
		struct sandbox_interface *card = &config->interfaces[i];
		const struct net_mac mac = net_mac_random();

		/* A macvtap is a tap to QEMU, and needs no link of the host's here. */
		card->kind =
			like->interfaces[i].kind == SANDBOX_PASST ? SANDBOX_PASST : SANDBOX_TAP;
		card->queues = like->interfaces[i].queues;
		card->mtu = like->interfaces[i].mtu;
		memcpy(card->mac, mac.bytes, sizeof(card->mac));
	}
	return config;
}

int launch_check_space(const char *directory, struct cay_error *err)
{
	struct statvfs fs;

	if (statvfs(directory, &fs) < 0)
		return cay_error_errno(err, errno, "looking at %s", directory);
	if ((uint64_t)fs.f_bavail * fs.f_frsize < SPACE_MIN)
		return cay_error_set(err, CAY_NO_SPACE, ENOSPC,
				     "the disk of %s is almost full: less than %llu MB are free",
				     directory, (unsigned long long)(SPACE_MIN / MIB));
	return 0;
}

/* Names for its taps that no container's has: those begin with "cayt". */
static void set_identity(struct sandbox_config *config, const struct launch_warm *warm)
{
	config->id = xstrdup(warm->id);
	config->run_directory = xstrdup(warm->run_directory);
	config->vm_uid = warm->uid;
	for (size_t i = 0; i < config->interface_count; i++)
		if (config->interfaces[i].kind != SANDBOX_PASST)
			config->interfaces[i].device = xasprintf("cayp%.8s.%zu", warm->id, i);
}

void launch_as_template(struct sandbox_config *config, const struct launch_warm *warm)
{
	set_identity(config, warm);
	config->purpose = SANDBOX_FOR_TEMPLATE;
	config->boot_log_path = path_join(warm->run_directory, "boot.log");
	config->template_output = xstrdup(warm->directory);
}

/* ---- the pool ---- */

/* As docker would make it of an image with one command and no options. */
static int make_request(struct daemon *daemon, struct request **ret_request, struct cay_error *err)
{
	_cleanup_json_ json_t *body = json_pack("{s:s}", "Image", "warm-up");
	_cleanup_json_ json_t *image =
		json_pack("{s:{s:[s]}}", "config", "Cmd", "/" PROGRAM_IMAGE_NAME);
	_cleanup_strv_ struct strv warnings = { 0 };

	return request_parse(body, image, host_cpus(daemon->host), ret_request, &warnings, err);
}

int launch_as_member(struct daemon *daemon, struct sandbox_config *config,
		     const struct launch_warm *warm, const struct image_disk *image,
		     const char *template, struct cay_error *err)
{
	_cleanup_spec_mounts_ struct spec_mounts mounts = { 0 };
	_cleanup_request_ struct request *request = NULL;
	_cleanup_free_ char *hostname = NULL;
	struct sandbox_container *container;
	int r = make_request(daemon, &request, err);

	if (r < 0)
		return r;
	set_identity(config, warm);
	config->purpose = SANDBOX_FOR_POOL;
	config->disposable = true;
	config->boot_log_path = path_join(warm->directory, "boot.log");
	config->template_directory = xstrdup(template);
	launch_fill_disks(config, image, path_join(warm->directory, "scratch.ext4"));
	config->containers = container = xcalloc(1, sizeof(*config->containers));
	config->container_count = 1;
	launch_add_root(container, warm->id);
	container->id = xstrdup(warm->id);
	container->oci_config = spec_make(request, warm->id, &mounts);
	container->user = xstrdup("");
	container->state_path = path_join(warm->directory, "state.json");
	/* What every container has, so that writing it is warm too. */
	hostname = spec_hostname(request, warm->id);
	spec_add_file(container, warm->id, "hostname", xasprintf("%s\n", hostname));
	spec_add_file(container, warm->id, "hosts", xstrdup("127.0.0.1\tlocalhost\n"));
	spec_add_file(container, warm->id, "resolv.conf", xstrdup(""));
	return 0;
}
