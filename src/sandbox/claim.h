/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox that was made ready ahead, of the purpose "pool", becomes that of
 * another configuration: to its containers it is as if that had been booted.
 */
#pragma once

#include "sandbox/sandbox.h"

/*
 * Whether the machine that `have` describes can become that of `want`: CAY_CONFLICT and what
 * differs where it can't. Disks' files, the cards' names, addresses and bridges, containers and
 * all paths may differ.
 */
int sandbox_claim_check(const struct sandbox_config *have, const struct sandbox_config *want,
			struct cay_error *err);

/*
 * Does it, with a sandbox that is ready and whose guest uses no disk. Blocks for the kernel only,
 * some milliseconds. The config must outlive the sandbox, the earlier one may go once `done` was
 * called, which comes once, from the loop. After a failure of either kind the sandbox is of no
 * more use: the caller ends it.
 */
int sandbox_claim(struct sandbox *sandbox, const struct sandbox_config *config,
		  void (*done)(struct sandbox *sandbox, const struct cay_error *err, void *user),
		  void *user, struct cay_error *err);

/*
 * For warming up: gives the first card an address, as a container's start does, or takes all of it
 * away again. Nothing leaves the machine, as its taps are down. No answer comes; a guest that
 * refuses has failed.
 */
void sandbox_rehearse_network(struct sandbox *sandbox, bool up);
