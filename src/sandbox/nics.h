/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a sandbox's network cards: taps, macvtaps and passt,
 * opened for QEMU. Taps and passt end with QEMU; a macvtap, which the daemon
 * has made, is removed by nics_done(), as is everything after a failure.
 */
#pragma once

#include "sandbox/config.h"
#include "vmm/vm.h"

struct nics {
	const struct sandbox_config *config;
	int fds[VMM_NICS_MAX][SANDBOX_QUEUES_MAX];
	struct vm_nic cards[VMM_NICS_MAX]; /* for vm_start(); they point into fds */
	size_t count;
	pid_t passt; /* while it starts; 0: none, or it is ready and a daemon of its own */
	int passt_output;
	int peers[VMM_NICS_MAX]; /* of a template's streams, which lead nowhere; -1: none */
};

/* What the cards are like, without anything that is open or their own. */
void nics_describe(const struct sandbox_config *config, struct vm_nic cards[VMM_NICS_MAX]);
/* Opens what QEMU is to get. Blocks for the kernel only. `nics` must not move afterwards. */
int nics_open(struct nics *nics, const struct sandbox_config *config, struct cay_error *err);
/*
 * Once QEMU has its copies: closes ours, puts the taps onto their bridges, and waits for passt to
 * be ready.
 */
int nics_attach(struct nics *nics, struct cay_error *err);
/*
 * Taps that were opened for one configuration and not attached become those of another with as
 * many: renamed, and put onto their bridges.
 */
int nics_claim(struct nics *nics, const struct sandbox_config *config, struct cay_error *err);
/* How many queues the interface's card has. */
unsigned int nics_queues(const struct sandbox_config *config,
			 const struct sandbox_interface *interface);
/* At the sandbox's end, when QEMU has gone. Also for what never was opened. */
void nics_done(struct nics *nics);
