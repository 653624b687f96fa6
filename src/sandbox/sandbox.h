/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One VM seen from the host: it is booted, answers, and ends. Everything runs
 * on the given loop's thread; callbacks come from the loop only, never from
 * inside the function that caused them.
 *
 * Whatever the guest does, on_gone comes: a guest that does not answer in time
 * or breaks the protocol is killed.
 *
 * A sandbox whose configuration is for a template boots, is written into the
 * template's directory and ends: of the callbacks only on_gone comes, with
 * CAY_OK once the template is complete and on the disk.
 */
#pragma once

#include "rpc/rpc.h"
#include "sandbox/config.h"

struct sandbox;

enum {
	SANDBOX_BOOT_TIMEOUT_MS = 60 * 1000,    /* an emulated guest on a busy host is slow */
	SANDBOX_RESTORE_TIMEOUT_MS = 20 * 1000, /* then it is booted instead */
	SANDBOX_SYNC_TIMEOUT_MS =
		30 * 1000, /* until the guest's disks must be written at its end */
	SANDBOX_LEASE_TIMEOUT_MS = 10 * 1000, /* a start waits no longer for a DHCP server */
	SANDBOX_RELEASE_TIMEOUT_MS = 500,     /* nor an end for leases to be given back */
};

/* What DHCP has given an interface of the configuration; the address is "" when it was lost. */
struct sandbox_lease {
	const struct sandbox_interface *interface;
	char address[20]; /* "192.168.1.7/24" */
	char gateway[20]; /* "" for none */
};

struct sandbox_events {
	/*
	 * vminitd answered; its clock, its random numbers and its network are set before it takes
	 * the next call. Interfaces with DHCP have their lease, or SANDBOX_LEASE_TIMEOUT_MS are
	 * over.
	 */
	void (*on_ready)(struct sandbox *sandbox, void *user);
	/*
	 * QEMU has ended and is reaped, its jail and cgroup are gone, every call on its connection
	 * has ended. why->code is CAY_OK when it was asked to end, else why tells what happened.
	 * Comes exactly once; the sandbox may be freed in it.
	 */
	void (*on_gone)(struct sandbox *sandbox, const struct cay_error *why, void *user);
	/* A container of this id lost a process to its memory limit. May be NULL. */
	void (*on_oom)(struct sandbox *sandbox, const char *container_id, int64_t time_ns,
		       uint64_t kills, void *user);
	/* May be NULL. */
	void (*on_lease)(struct sandbox *sandbox, const struct sandbox_lease *lease, void *user);
};

/*
 * Opens the network cards and starts QEMU; blocks for some 30 ms. The config must outlive the
 * sandbox. On failure there is no sandbox and no callback comes.
 */
int sandbox_boot(uv_loop_t *loop, const struct sandbox_config *config,
		 const struct sandbox_events *events, void *user, struct sandbox **ret_sandbox,
		 struct cay_error *err);

/* The connection to vminitd; NULL before on_ready and once the sandbox is ending. */
struct rpc_conn *sandbox_conn(const struct sandbox *sandbox);
uv_loop_t *sandbox_loop(const struct sandbox *sandbox);
/* QEMU; 0 when it has ended. */
pid_t sandbox_vm_pid(const struct sandbox *sandbox);
/* Whether it came from a template, known from on_ready on. */
bool sandbox_is_clone(const struct sandbox *sandbox);
/* Why the configuration's template was of no use; "" where there was none, or it was. */
const char *sandbox_template_error(const struct sandbox *sandbox);
/* The guest kernel's release, "" until vminitd has told it, soon after on_ready. */
const char *sandbox_kernel(const struct sandbox *sandbox);

/*
 * Ends the VM. With sync, for when nothing runs in it any more, the guest's disks are written
 * first, within SANDBOX_SYNC_TIMEOUT_MS; without, it is killed at once, which a call with sync does
 * not undo. on_gone follows, with CAY_OK.
 */
void sandbox_end(struct sandbox *sandbox, bool sync);

/*
 * The guest broke its contract or can't be reached: ends it. on_gone gives this reason, or a better
 * one if QEMU turns out to have died by itself. Nothing happens to a sandbox that is ending.
 */
void sandbox_fail(struct sandbox *sandbox, const struct cay_error *why);

/* Only in or after on_gone, or never booted; NULL is allowed. */
void sandbox_free(struct sandbox *sandbox);
