/* SPDX-License-Identifier: Apache-2.0 */
/* The machine itself: its parts, and its size where nobody asks for one. */
#include "daemon/launch-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "daemon/host.h"

#include <errno.h>

/* What the guest's kernel and vminitd need beside the container. */
#define GUEST_OVERHEAD (64 * MIB)
enum { VCPUS_DEFAULT_KVM = 4 };

int launch_check_part(const char *what, const char *path, const char *option, struct cay_error *err)
{
	if (file_exists(path))
		return 0;
	return cay_error_set(err, CAY_UNAVAILABLE, ENOENT,
			     "%s is missing: %s is not there; build it or name another with %s",
			     what, path, option);
}

int launch_machine(struct daemon *daemon, struct sandbox_config *config, struct cay_error *err)
{
	const struct daemon_options *options = &daemon->options;
	const char *acceleration;
	int r = launch_check_part("the guest kernel", options->kernel, "--kernel", err);

	if (r == 0)
		r = launch_check_part("the guest's initramfs", options->initramfs, "--initramfs",
				      err);
	if (r == 0)
		r = launch_check_part("the shim", options->shim, "--shim", err);
	if (r == 0)
		r = host_acceleration(daemon->host, &acceleration, &config->tsc_khz, err);
	if (r < 0)
		return r;
	config->kernel = xstrdup(options->kernel);
	config->initramfs = xstrdup(options->initramfs);
	config->qemu = xstrdup(host_qemu(daemon->host));
	config->acceleration = xstrdup(acceleration);
	config->stock_kernel = host_kernel_is_stock(daemon->host);
	return 0;
}

/* A guest keeps a 64-byte page structure for each 4 KiB and some tables in proportion. */
uint64_t launch_memory(uint64_t wanted)
{
	wanted += GUEST_OVERHEAD + wanted / 32;
	return (wanted + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
}

uint64_t launch_usual_memory(const struct daemon *daemon)
{
	return launch_memory(daemon->options.memory_default_bytes);
}

/* More than one costs an emulated guest time to boot. */
unsigned int launch_usual_cpus(const struct daemon *daemon, const char *acceleration)
{
	const unsigned int wanted = strcmp(acceleration, "kvm") == 0 ? VCPUS_DEFAULT_KVM : 1;

	return MAX(MIN(wanted, host_cpus(daemon->host)), 1);
}
