/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a sandbox's network cards.
 *
 * A tap is on its bridge only after QEMU was started: the guest needs a
 * quarter of a second before it sends, so that this costs no start.
 */
#include "sandbox/nics.h"

#include "sandbox/passt.h"

#include "net/tap.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static_assert((int)SANDBOX_QUEUES_MAX <= (int)TAP_QUEUES_MAX, "taps have as many queues");
static_assert((int)SANDBOX_QUEUES_MAX <= (int)VMM_QUEUES_MAX, "QEMU takes as many queues");

static struct net_mac mac_of(const struct sandbox_interface *interface)
{
	struct net_mac mac;

	static_assert(sizeof(mac.bytes) == sizeof(interface->mac), "both are Ethernet addresses");
	memcpy(mac.bytes, interface->mac, sizeof(mac.bytes));
	return mac;
}

/* More queues than processors would only be more to set up. */
unsigned int nics_queues(const struct sandbox_config *config,
			 const struct sandbox_interface *interface)
{
	return interface->kind == SANDBOX_PASST ? 1 : MIN(interface->queues, config->vcpus);
}

static int open_passt(struct nics *nics, const struct sandbox_interface *interface, int *ret_fd,
		      struct cay_error *err)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return cay_error_errno(err, errno, "making a socket for passt");
	r = passt_spawn(nics->config, interface, pair[1], &nics->passt, &nics->passt_output, err);
	(void)close(pair[1]);
	if (r < 0)
		(void)close(pair[0]);
	else
		*ret_fd = pair[0];
	return r;
}

static void describe_card(const struct sandbox_config *config, size_t index, struct vm_nic *card)
{
	const struct sandbox_interface *interface = &config->interfaces[index];

	*card = (struct vm_nic){
		.stream = interface->kind == SANDBOX_PASST,
		.fd_count = nics_queues(config, interface),
		.mtu = interface->mtu,
	};
	memcpy(card->mac, interface->mac, sizeof(card->mac));
}

void nics_describe(const struct sandbox_config *config, struct vm_nic cards[VMM_NICS_MAX])
{
	for (size_t i = 0; i < config->interface_count; i++)
		describe_card(config, i, &cards[i]);
}

/* Nobody is at the other end, but it is there: a guest sees when the line is cut. */
static int open_loose_stream(int *ret_fd, int *ret_peer, struct cay_error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return cay_error_errno(err, errno, "making a socket for a network card");
	*ret_fd = pair[0];
	*ret_peer = pair[1];
	return 0;
}

static int open_card(struct nics *nics, size_t index, struct cay_error *err)
{
	const struct sandbox_interface *interface = &nics->config->interfaces[index];
	const unsigned int queues = nics_queues(nics->config, interface);
	int *fds = nics->fds[index];
	int r = 0;

	switch (interface->kind) {
	case SANDBOX_TAP:
		r = tap_open(interface->device, queues, fds, err);
		break;
	case SANDBOX_MACVTAP:
		r = macvtap_open(interface->device, queues, fds, err);
		break;
	case SANDBOX_PASST:
		r = nics->config->purpose == SANDBOX_FOR_TEMPLATE
			? open_loose_stream(fds, &nics->peers[index], err)
			: open_passt(nics, interface, fds, err);
		break;
	}
	if (r < 0)
		return r;
	describe_card(nics->config, index, &nics->cards[index]);
	nics->cards[index].fds = fds;
	return 0;
}

int nics_open(struct nics *nics, const struct sandbox_config *config, struct cay_error *err)
{
	*nics = (struct nics){ .config = config, .passt_output = -1 };
	for (size_t i = 0; i < VMM_NICS_MAX; i++) {
		nics->peers[i] = -1;
		for (size_t j = 0; j < SANDBOX_QUEUES_MAX; j++)
			nics->fds[i][j] = -1;
	}
	for (size_t i = 0; i < config->interface_count; i++) {
		int r = open_card(nics, i, err);

		if (r < 0) {
			nics_done(nics);
			return r;
		}
		nics->count++;
	}
	return 0;
}

static void close_fds(struct nics *nics)
{
	for (size_t i = 0; i < VMM_NICS_MAX; i++)
		for (size_t j = 0; j < SANDBOX_QUEUES_MAX; j++) {
			cay_close_p(&nics->fds[i][j]);
			nics->fds[i][j] = -1;
		}
}

static int attach(const struct sandbox_interface *interface, struct cay_error *err)
{
	const struct tap_port port = {
		.name = interface->device,
		.bridge = interface->parent,
		.mac = mac_of(interface),
		.mtu = interface->mtu,
	};

	return tap_attach(&port, err);
}

int nics_attach(struct nics *nics, struct cay_error *err)
{
	int r = 0;

	close_fds(nics);
	for (size_t i = 0; r == 0 && i < nics->count; i++) {
		const struct sandbox_interface *interface = &nics->config->interfaces[i];

		if (interface->kind == SANDBOX_TAP && !sandbox_interface_is_spare(interface))
			r = attach(interface, err);
	}
	if (r == 0 && nics->passt > 0)
		r = passt_wait(&nics->passt, &nics->passt_output, err);
	return r;
}

int nics_claim(struct nics *nics, const struct sandbox_config *config, struct cay_error *err)
{
	const struct sandbox_config *before = nics->config;
	int r = 0;

	nics->config = config;
	for (size_t i = 0; r == 0 && i < nics->count; i++) {
		const struct sandbox_interface *interface = &config->interfaces[i];

		r = tap_rename(before->interfaces[i].device, interface->device, err);
		if (r == 0 && !sandbox_interface_is_spare(interface))
			r = attach(interface, err);
	}
	return r;
}

void nics_done(struct nics *nics)
{
	struct cay_error err = { 0 };

	if (!nics->config)
		return;
	close_fds(nics); /* which ends the taps, and passt with its socket */
	for (size_t i = 0; i < VMM_NICS_MAX; i++)
		cay_close_p(&nics->peers[i]);
	if (nics->passt > 0)
		(void)passt_wait(&nics->passt, &nics->passt_output, NULL);
	for (size_t i = 0; i < nics->config->interface_count; i++) {
		const struct sandbox_interface *interface = &nics->config->interfaces[i];

		if (interface->kind == SANDBOX_MACVTAP &&
		    macvtap_remove(interface->device, &err) < 0)
			log_warning("%s", err.message);
	}
	nics->config = NULL;
}
