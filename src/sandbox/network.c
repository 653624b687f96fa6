/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's side of a sandbox's network cards: what vminitd is told about
 * them at the start, and at the end, when leases are given back.
 */
#include "sandbox/sandbox-internal.h"

#include "sandbox/call.h"
#include "sandbox/claim.h"

#include "base/alloc.h"
#include "base/log.h"

#include "vminitd.pb-c.h"

#include <arpa/inet.h>
#include <errno.h>

/* An event's texts are checked as they are copied. */
static_assert(sizeof(((struct sandbox_lease *)0)->address) >= sizeof("255.255.255.255/32"),
	      "an address fits");

static void on_configured(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	struct sandbox *sandbox = user;
	struct cay_error why;

	if (!err || sandbox->state != READY)
		return;
	why = *err;
	(void)cay_error_prefix(&why, "setting up the network in the guest");
	sandbox_fail(sandbox, &why);
}

/* The messages and what they point to, until they were packed. */
struct request_parts {
	Cay__Vminitd__V1__Interface interfaces[VMM_NICS_MAX];
	Cay__Vminitd__V1__Interface *list[VMM_NICS_MAX];
	char names[VMM_NICS_MAX][sizeof("eth0")];
	size_t count;
};

static Cay__Vminitd__V1__Interface *add(struct request_parts *parts, struct sandbox *sandbox,
					size_t index)
{
	Cay__Vminitd__V1__Interface *to = &parts->interfaces[parts->count];
	char *name = parts->names[parts->count];

	cay__vminitd__v1__interface__init(to);
	(void)snprintf(name, sizeof(parts->names[0]), "eth%u", (unsigned int)index % 10);
	to->mac = (ProtobufCBinaryData){ SANDBOX_MAC_SIZE, sandbox->card_macs[index] };
	to->name = name;
	parts->list[parts->count++] = to;
	return to;
}

static void send_request(struct sandbox *sandbox, struct request_parts *parts, int64_t timeout_ms,
			 void (*done)(const ProtobufCMessage *response, const struct cay_error *err,
				      void *user))
{
	Cay__Vminitd__V1__ConfigureNetworkRequest request =
		CAY__VMINITD__V1__CONFIGURE_NETWORK_REQUEST__INIT;

	request.interfaces = parts->list;
	request.n_interfaces = parts->count;
	sandbox_call(sandbox->conn, "ConfigureNetwork", &request.base, timeout_ms, done, sandbox);
}

static void on_network_ready(const ProtobufCMessage *response, const struct cay_error *err,
			     void *user)
{
	const Cay__Vminitd__V1__WaitNetworkResponse *wait = (const void *)response;
	struct sandbox *sandbox = user;

	if (sandbox->state != READY)
		return;
	if (err) {
		struct cay_error why = *err;

		(void)cay_error_prefix(&why, "waiting for the network");
		sandbox_fail(sandbox, &why);
		return;
	}
	if (!wait->ready)
		log_warning("no DHCP server has answered within %d seconds; the container starts"
			    " without an address",
			    SANDBOX_LEASE_TIMEOUT_MS / 1000);
	sandbox_part_ready(sandbox);
}

void sandbox_know_cards(struct sandbox *sandbox)
{
	const struct sandbox_config *config = sandbox->config;

	for (size_t i = 0; i < config->interface_count; i++)
		memcpy(sandbox->card_macs[i], config->interfaces[i].mac, SANDBOX_MAC_SIZE);
}

/* The guest was booted with another address: from here on it knows the card by the right one. */
static bool adopts(const struct sandbox *sandbox, size_t index)
{
	return memcmp(sandbox->card_macs[index], sandbox->config->interfaces[index].mac,
		      SANDBOX_MAC_SIZE) != 0;
}

void sandbox_configure_network(struct sandbox *sandbox)
{
	const struct sandbox_config *config = sandbox->config;
	Cay__Vminitd__V1__WaitNetworkRequest wait = CAY__VMINITD__V1__WAIT_NETWORK_REQUEST__INIT;
	struct request_parts parts = { .count = 0 };
	bool dhcp = false;

	for (size_t i = 0; i < config->interface_count; i++) {
		const struct sandbox_interface *from = &config->interfaces[i];
		Cay__Vminitd__V1__Interface *to;

		if (sandbox_interface_is_spare(from) && !adopts(sandbox, i))
			continue;
		to = add(&parts, sandbox, i);
		to->adopt = adopts(sandbox, i);
		if (to->adopt)
			to->new_mac = (ProtobufCBinaryData){ SANDBOX_MAC_SIZE,
							     config->interfaces[i].mac };
		to->down = sandbox_interface_is_spare(from);
		to->mtu = from->mtu;
		to->addresses = from->addresses.items;
		to->n_addresses = from->addresses.count;
		to->gateways = from->gateways.items;
		to->n_gateways = from->gateways.count;
		to->dhcp = from->dhcp;
		to->accept_ra = from->accept_ra;
		to->foreign_link = from->kind == SANDBOX_MACVTAP;
		if (from->hostname)
			to->hostname = from->hostname;
		if (from->resolv_conf)
			to->resolv_conf = from->resolv_conf;
		dhcp |= from->dhcp;
	}
	if (parts.count > 0)
		send_request(sandbox, &parts, SANDBOX_BOOT_TIMEOUT_MS, on_configured);
	sandbox_know_cards(sandbox);
	if (!dhcp)
		return;
	sandbox->awaited++;
	wait.timeout_ms = SANDBOX_LEASE_TIMEOUT_MS;
	sandbox_call(sandbox->conn, "WaitNetwork", &wait.base, 2 * SANDBOX_LEASE_TIMEOUT_MS,
		     on_network_ready, sandbox);
}

void sandbox_rehearse_network(struct sandbox *sandbox, bool up)
{
	/* Of the blocks for documentation: RFC 5737, RFC 3849. */
	static char *addresses[] = { (char *)"192.0.2.2/24", (char *)"2001:db8::2/64" };
	static char *gateways[] = { (char *)"192.0.2.1", (char *)"2001:db8::1" };
	struct request_parts parts = { .count = 0 };
	Cay__Vminitd__V1__Interface *card;

	if (sandbox->config->interface_count == 0 || sandbox->state != READY)
		return;
	card = add(&parts, sandbox, 0);
	card->down = !up;
	card->mtu = sandbox->config->interfaces[0].mtu;
	card->addresses = addresses;
	card->n_addresses = ARRAY_SIZE(addresses);
	card->gateways = gateways;
	card->n_gateways = ARRAY_SIZE(gateways);
	send_request(sandbox, &parts, SANDBOX_BOOT_TIMEOUT_MS, on_configured);
}

static void on_released(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	sandbox_farewell_done(user); /* a server that hears nothing waits for the lease's end */
}

bool sandbox_release_leases(struct sandbox *sandbox)
{
	const struct sandbox_config *config = sandbox->config;
	struct request_parts parts = { .count = 0 };

	for (size_t i = 0; i < config->interface_count; i++)
		if (config->interfaces[i].dhcp)
			add(&parts, sandbox, i)->down = true;
	if (parts.count == 0)
		return false;
	sandbox->farewells++;
	send_request(sandbox, &parts, SANDBOX_RELEASE_TIMEOUT_MS, on_released);
	return true;
}

/* ---- leases ---- */

static bool is_address(const char *text)
{
	struct in_addr address;

	return inet_pton(AF_INET, text, &address) == 1;
}

/* "192.168.1.7/24", of which the guest may say anything. */
static bool is_prefixed(const char *text)
{
	struct str rest, address = str_split(str_from(text), '/', &rest);
	_cleanup_free_ char *copy = str_dup(address);
	uint64_t prefix;

	return is_address(copy) && str_to_u64(rest, 32, &prefix) == 0;
}

void sandbox_on_lease(struct sandbox *sandbox, const Cay__Vminitd__V1__LeaseEvent *event)
{
	struct sandbox_lease lease = { .interface = NULL };

	for (size_t i = 0; i < sandbox->config->interface_count; i++) {
		const struct sandbox_interface *interface = &sandbox->config->interfaces[i];

		if (event->mac.len == SANDBOX_MAC_SIZE &&
		    memcmp(event->mac.data, interface->mac, SANDBOX_MAC_SIZE) == 0)
			lease.interface = interface;
	}
	if (!lease.interface || !lease.interface->dhcp || !sandbox->events.on_lease ||
	    (*event->address && !is_prefixed(event->address)) ||
	    (*event->gateway && !is_address(event->gateway)))
		return; /* a card that it does not have or was given an address for, or nonsense */
	(void)snprintf(lease.address, sizeof(lease.address), "%s", event->address);
	(void)snprintf(lease.gateway, sizeof(lease.gateway), "%s", event->gateway);
	sandbox->events.on_lease(sandbox, &lease, sandbox->user);
}
