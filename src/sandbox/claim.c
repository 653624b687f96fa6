/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a sandbox changes its owner. On the host: the taps are renamed and join
 * their bridges, the boot log begins anew, priority and cgroup become those of
 * a VM in use. In QEMU: the disks are exchanged. In the guest: clock, random
 * numbers and network are set, by calls that vminitd answers before those of
 * the container's start, so that nobody waits for them.
 *
 * The cgroup's change may wait for a grace period of the kernel's, so a thread
 * does it when the claim is done; until then the earlier one's limits hold,
 * which are the same.
 */
#include "sandbox/claim.h"

#include "sandbox/sandbox-internal.h"

#include "vmm/priority.h"
#include "vmm/swap.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

/* ---- what fits ---- */

static int differs(struct cay_error *err, const char *what)
{
	return cay_error_set(err, CAY_CONFLICT, EINVAL, "the VM that is ready has %s", what);
}

static bool same_text(const char *first, const char *second)
{
	return first && second ? strcmp(first, second) == 0 : first == second;
}

static int check_cards(const struct sandbox_config *have, const struct sandbox_config *want,
		       struct cay_error *err)
{
	if (have->interface_count != want->interface_count)
		return differs(err, "another number of network cards");
	for (size_t i = 0; i < want->interface_count; i++) {
		const struct sandbox_interface *from = &have->interfaces[i];
		const struct sandbox_interface *to = &want->interfaces[i];

		if (from->kind != SANDBOX_TAP || to->kind != SANDBOX_TAP || to->dhcp ||
		    nics_queues(have, from) != nics_queues(want, to) || from->mtu != to->mtu)
			return differs(err, "other network cards");
	}
	return 0;
}

int sandbox_claim_check(const struct sandbox_config *have, const struct sandbox_config *want,
			struct cay_error *err)
{
	if (have->purpose != SANDBOX_FOR_POOL || want->purpose != SANDBOX_FOR_CONTAINERS)
		return differs(err, "another purpose");
	if (!same_text(have->kernel, want->kernel) ||
	    !same_text(have->initramfs, want->initramfs) ||
	    have->stock_kernel != want->stock_kernel)
		return differs(err, "another kernel");
	if (!same_text(have->qemu, want->qemu) ||
	    !same_text(have->acceleration, want->acceleration) || have->tsc_khz != want->tsc_khz)
		return differs(err, "another QEMU");
	if (have->vcpus != want->vcpus || have->memory_bytes != want->memory_bytes)
		return differs(err, "other processors or memory");
	if (have->disk_count != want->disk_count)
		return differs(err, "another number of disks");
	for (size_t i = 0; i < want->disk_count; i++)
		if (have->disks[i].read_only != want->disks[i].read_only)
			return differs(err, "other disks");
	if (want->share_count > 0)
		return differs(err, "no device for shares");
	return check_cards(have, want, err);
}

/* ---- the cgroup ---- */

struct rename_work {
	uv_work_t work;
	struct sandbox *sandbox;
	char *from, *to;
	pid_t pid;
	struct cgroup_limits limits;
	bool stayed; /* QEMU is in the earlier group */
	struct cay_error err;
};

/* In a thread of its own. What fails leaves the one group that QEMU is in, or none if it ended. */
static void run_rename(uv_work_t *work)
{
	struct rename_work *rename = container_of(work, struct rename_work, work);

	if (cgroup_rename(rename->from, rename->to, &rename->limits, rename->pid, &rename->err) ==
	    0)
		return;
	rename->stayed = cgroup_remove(rename->to, NULL) == 0;
	if (!rename->stayed)
		(void)cgroup_remove(rename->from, NULL);
}

static void on_renamed(uv_work_t *work, int status)
{
	struct rename_work *rename = container_of(work, struct rename_work, work);
	struct sandbox *sandbox = rename->sandbox;

	/* A QEMU that has ended meanwhile can't be moved. */
	if (rename->err.code != CAY_OK)
		log_warning("the VM has no cgroup of the container's: %s", rename->err.message);
	/* The one to be removed at the end, which waits for this. */
	if (rename->stayed && sandbox->vm.id) {
		free(sandbox->vm.id);
		sandbox->vm.id = TAKE_PTR(rename->from);
	}
	sandbox_release_handle(sandbox);
	free(rename->from);
	free(rename->to);
	free(rename);
}

static void move_cgroup(struct sandbox *sandbox)
{
	const struct sandbox_config *config = sandbox->config;
	struct rename_work *rename = xcalloc(1, sizeof(*rename));
	_cleanup_free_ struct vm_extent *extents = NULL;
	const struct vm_machine machine = sandbox_describe(config, &extents);

	rename->sandbox = sandbox;
	rename->from = sandbox->vm.id;
	rename->to = xstrdup(config->id);
	rename->pid = sandbox->vm.pid;
	rename->limits = vm_limits(&machine);
	sandbox->vm.id = xstrdup(config->id);
	sandbox->open_handles++;
	if (uv_queue_work(sandbox->loop, &rename->work, run_rename, on_renamed) < 0)
		abort(); /* it has a function to run, which is all that can be missing */
}

/* ---- the claim ---- */

struct claim {
	struct sandbox *sandbox;
	struct cay_error failure; /* on the host, while QEMU was at the disks */
	void (*done)(struct sandbox *sandbox, const struct cay_error *err, void *user);
	void *user;
};

static void on_swapped(const struct cay_error *err, void *user)
{
	_cleanup_free_ struct claim *claim = user;
	struct sandbox *sandbox = claim->sandbox;

	if (err && claim->failure.code == CAY_OK)
		claim->failure = *err;
	if (claim->failure.code == CAY_OK && sandbox->state != READY)
		(void)cay_error_set(&claim->failure, CAY_UNAVAILABLE, ENOTCONN, "the VM is ending");
	if (claim->failure.code == CAY_OK)
		move_cgroup(sandbox);
	claim->done(sandbox, claim->failure.code == CAY_OK ? NULL : &claim->failure, claim->user);
}

/* While QEMU is at the disks: the guest has calls to answer meanwhile, then the taps. */
static int change_owner(struct sandbox *sandbox, const struct sandbox_config *config,
			struct cay_error *err)
{
	sandbox->config = config;
	sandbox_refresh_guest(sandbox);
	sandbox_configure_network(sandbox);
	boot_log_done(&sandbox->boot_log);
	boot_log_init(&sandbox->boot_log, config->boot_log_path);
	sandbox_follow_kernel_log(sandbox);
	return nics_claim(&sandbox->nics, config, err);
}

int sandbox_claim(struct sandbox *sandbox, const struct sandbox_config *config,
		  void (*done)(struct sandbox *sandbox, const struct cay_error *err, void *user),
		  void *user, struct cay_error *err)
{
	_cleanup_free_ struct vm_extent *extents = NULL;
	const struct vm_machine machine = sandbox_describe(config, &extents);
	struct claim *claim;
	int r = sandbox_claim_check(sandbox->config, config, err);

	if (r < 0)
		return r;
	if (sandbox->state != READY || !sandbox->qmp)
		return cay_error_set(err, CAY_UNAVAILABLE, ENOTCONN, "the VM is not up");
	priority_restore(sandbox->vm.pid);
	claim = xcalloc(1, sizeof(*claim));
	*claim = (struct claim){ .sandbox = sandbox, .done = done, .user = user };
	r = vm_swap_disks(sandbox->qmp, machine.disks, machine.disk_count, on_swapped, claim, err);
	if (r < 0) {
		free(claim);
		return r;
	}
	(void)change_owner(sandbox, config, &claim->failure); /* on_swapped() tells */
	return 0;
}
