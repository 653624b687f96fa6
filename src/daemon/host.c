/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon knows of its machine, found out by a thread while the daemon already serves. */
#include "daemon/host.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "vmm/accel.h"
#include "vmm/kernel.h"
#include "vmm/tsc.h"
#include "vmm/vm.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

enum { THREAD_STACK = 256 * 1024, PROBE_UID = 1999999999 /* below the VMs' own */ };

struct host {
	const struct daemon_options *options;
	unsigned int cpus;
	char *qemu; /* NULL: not found */
	pthread_t thread;
	bool threaded;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under the lock until `known`, fixed from then on. */
	bool known;
	enum vmm_accel accel;
	uint32_t tsc_khz;
	bool stock_kernel;
	char *reason;
	struct cay_error error; /* CAY_OK where VMs can be started */
};

static unsigned int count_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return (unsigned int)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
	return (unsigned int)MAX(CPU_COUNT(&set), 1);
}

static void detect_accel(struct host *host, enum vmm_accel *ret_accel, char **ret_reason)
{
	const struct daemon_options *options = host->options;
	_cleanup_free_ char *cache = path_join(options->root, "acceleration");
	_cleanup_free_ char *jail = path_join(options->run, "probe");
	struct cay_error err = { 0 };
	const struct vmm_accel_options accel_options = {
		.cache_path = cache,
		.qemu = options->qemu,
		.kernel = options->kernel,
		.initramfs = options->initramfs,
		.jail_directory = jail,
		.uid = geteuid() == 0 ? PROBE_UID : 0,
	};

	if (strcmp(options->accel, "tcg") == 0) {
		*ret_accel = VMM_TCG;
		*ret_reason = xstrdup("asked for by --accel");
		return;
	}
	if (make_dirs(jail, 0700, &err) < 0)
		log_warning("%s", err.message);
	vmm_accel_detect(&accel_options, ret_accel, ret_reason);
	if (remove_tree(jail, &err) < 0)
		log_warning("%s", err.message);
}

static void *find_out(void *user)
{
	struct host *host = user;
	_cleanup_free_ char *cache = path_join(host->options->root, "tsc");
	struct cay_error error = { 0 }, err = { 0 };
	enum vmm_accel accel;
	bool stock_kernel = !kernel_knows_lapic_khz(host->options->kernel);
	uint32_t khz = 0;
	char *reason = NULL;

	detect_accel(host, &accel, &reason);
	if (strcmp(host->options->accel, "kvm") == 0 && accel != VMM_KVM)
		(void)cay_error_set(&error, CAY_UNAVAILABLE, ENODEV,
				    "--accel kvm: KVM does not work here: %s", reason);
	/* Without it the guest calibrates by itself, slower and less surely. */
	if (accel == VMM_TCG && vmm_tsc_khz(cache, &khz, &err) < 0)
		log_warning("measuring the time stamp counter: %s", err.message);
	log_info("guests run with %s: %s", vmm_accel_name(accel), reason);
	(void)pthread_mutex_lock(&host->lock);
	host->accel = accel;
	host->tsc_khz = khz;
	host->stock_kernel = stock_kernel;
	host->reason = reason;
	host->error = error;
	host->known = true;
	(void)pthread_cond_broadcast(&host->changed);
	(void)pthread_mutex_unlock(&host->lock);
	return NULL;
}

struct host *host_new(const struct daemon_options *options)
{
	struct host *host = xcalloc(1, sizeof(*host));

	host->options = options;
	host->cpus = count_cpus();
	(void)vm_find_qemu(options->qemu, &host->qemu, NULL); /* the first start tells */
	(void)pthread_mutex_init(&host->lock, NULL);
	(void)pthread_cond_init(&host->changed, NULL);
	host->threaded = thread_start(THREAD_STACK, find_out, host, &host->thread) == 0;
	if (!host->threaded)
		(void)find_out(host);
	return host;
}

void host_free(struct host *host)
{
	if (!host)
		return;
	if (host->threaded)
		(void)pthread_join(host->thread, NULL);
	(void)pthread_cond_destroy(&host->changed);
	(void)pthread_mutex_destroy(&host->lock);
	free(host->reason);
	free(host->qemu);
	free(host);
}

int host_acceleration(struct host *host, const char **ret_acceleration, uint32_t *ret_tsc_khz,
		      struct cay_error *err)
{
	(void)pthread_mutex_lock(&host->lock);
	while (!host->known)
		(void)pthread_cond_wait(&host->changed, &host->lock);
	(void)pthread_mutex_unlock(&host->lock);
	if (host->error.code != CAY_OK) {
		*err = host->error;
		return -err->err;
	}
	*ret_acceleration = vmm_accel_name(host->accel);
	*ret_tsc_khz = host->tsc_khz;
	return 0;
}

bool host_kernel_is_stock(const struct host *host)
{
	return host->stock_kernel;
}

const char *host_acceleration_reason(const struct host *host)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&host->lock;
	const char *reason;

	(void)pthread_mutex_lock(lock);
	reason = host->known ? host->reason : "";
	(void)pthread_mutex_unlock(lock);
	return reason;
}

const char *host_qemu(const struct host *host)
{
	/* It may have been replaced by one elsewhere. */
	return host->qemu && access(host->qemu, X_OK) == 0 ? host->qemu : host->options->qemu;
}

unsigned int host_cpus(const struct host *host)
{
	return host->cpus;
}
