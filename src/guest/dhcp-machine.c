/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of DHCP: states and times. */
#include "guest/dhcp-machine.h"

#include "base/clock.h"
#include "base/macros.h"

#include <errno.h>
#include <string.h>

enum {
	RETRY_FIRST_MS = 1000, /* doubled each time; RFC 2131 says 4 s, from slower days */
	RETRY_MAX_MS = 64 * 1000,
	REQUESTS_MAX = 4,               /* of one offer, then from the start */
	RENEW_RETRY_MIN_MS = 60 * 1000, /* RFC 2131, 4.4.5 */
	LEASE_MIN_S = 10,               /* a shorter one would only make traffic */
	RENEW_MIN_S = LEASE_MIN_S / 2,
};

static void set_state(struct dhcp_machine *machine, enum dhcp_state state)
{
	static const uint8_t follows[] = {
		[DHCP_INIT] = 1 << DHCP_SELECTING,
		[DHCP_SELECTING] = 1 << DHCP_REQUESTING,
		[DHCP_REQUESTING] = 1 << DHCP_INIT | 1 << DHCP_SELECTING | 1 << DHCP_BOUND,
		[DHCP_BOUND] = 1 << DHCP_INIT | 1 << DHCP_RENEWING,
		[DHCP_RENEWING] = 1 << DHCP_INIT | 1 << DHCP_BOUND | 1 << DHCP_REBINDING,
		[DHCP_REBINDING] = 1 << DHCP_INIT | 1 << DHCP_BOUND,
	};

	assert(follows[machine->state] & 1 << state);
	machine->state = state;
	machine->tries = 0;
}

/* splitmix64 */
static uint32_t next_random(struct dhcp_machine *machine)
{
	uint64_t z = machine->random += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (uint32_t)(z >> 32);
}

/* The wait after the next try: doubled each time, and a quarter more or less. */
static int64_t retry_ms(struct dhcp_machine *machine)
{
	const int64_t base = clock_backoff_ms(machine->tries++, RETRY_FIRST_MS, RETRY_MAX_MS);

	return base * 3 / 4 + next_random(machine) % (base / 2);
}

static void begin_message(const struct dhcp_machine *machine, enum dhcp_type type, int64_t now_ms,
			  struct dhcp_step *step)
{
	const int64_t seconds = (now_ms - machine->began_ms) / 1000;

	step->send = true;
	step->message = (struct dhcp_message){
		.type = type,
		.transaction = machine->transaction,
		.seconds = (uint16_t)MIN(MAX(seconds, (int64_t)0), (int64_t)UINT16_MAX),
	};
	memcpy(step->message.mac, machine->mac, sizeof(machine->mac));
	memcpy(step->message.hostname, machine->hostname, sizeof(machine->hostname));
}

void dhcp_machine_init(struct dhcp_machine *machine, const uint8_t mac[DHCP_MAC_SIZE],
		       const char *hostname, uint64_t seed)
{
	memset(machine, 0, sizeof(*machine));
	memcpy(machine->mac, mac, DHCP_MAC_SIZE);
	(void)snprintf(machine->hostname, sizeof(machine->hostname), "%s",
		       hostname ? hostname : "");
	machine->random = seed;
}

/* ---- INIT, SELECTING, REQUESTING ---- */

static void discover(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *step)
{
	begin_message(machine, DHCP_DISCOVER, now_ms, step);
	step->wait_ms = retry_ms(machine);
}

static void begin_anew(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *step)
{
	machine->began_ms = now_ms;
	machine->transaction = next_random(machine);
	set_state(machine, DHCP_SELECTING);
	discover(machine, now_ms, step);
}

static void request_offer(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *step)
{
	begin_message(machine, DHCP_REQUEST, now_ms, step);
	step->message.asked = machine->offer.yours;
	step->message.server = machine->offer.server;
	step->wait_ms = retry_ms(machine);
}

/* ---- the lease ---- */

static void lose(struct dhcp_machine *machine, struct dhcp_step *step)
{
	set_state(machine, DHCP_INIT);
	if (machine->lease.address.s_addr == 0)
		return;
	step->change = DHCP_LOST;
	step->before = machine->lease;
	machine->lease = (struct dhcp_lease){ 0 };
}

static bool is_usable(struct in_addr address)
{
	const uint32_t number = ntohl(address.s_addr);

	return number >> 24 != 0 && number >> 24 != 127 && number >> 28 < 14;
}

/* The length of the network's prefix; where it is not told, that of the address's old class. */
static unsigned int prefix_of(const struct dhcp_message *message)
{
	const uint32_t number = ntohl(message->yours.s_addr);
	const int length = dhcp_prefix_length(message->netmask);

	if (message->netmask.s_addr != 0 && length > 0)
		return (unsigned int)length;
	return number >> 31 == 0 ? 8 : number >> 30 == 2 ? 16 : 24;
}

static struct dhcp_lease lease_of(const struct dhcp_machine *machine,
				  const struct dhcp_message *message)
{
	struct dhcp_lease lease = {
		.address = message->yours,
		.router = message->router,
		.server = message->server,
		.prefix = prefix_of(message),
		.dns_count = message->dns_count,
		.seconds = MAX(message->lease_s, (uint32_t)LEASE_MIN_S),
	};

	if (lease.server.s_addr == 0)
		lease.server = machine->state == DHCP_REQUESTING ? machine->offer.server
								 : machine->lease.server;
	memcpy(lease.dns, message->dns, sizeof(lease.dns));
	memcpy(lease.domain, message->domain, sizeof(lease.domain));
	return lease;
}

static bool same_lease(const struct dhcp_lease *a, const struct dhcp_lease *b)
{
	return a->address.s_addr == b->address.s_addr && a->prefix == b->prefix &&
		a->router.s_addr == b->router.s_addr && a->dns_count == b->dns_count &&
		memcmp(a->dns, b->dns, a->dns_count * sizeof(a->dns[0])) == 0 &&
		strcmp(a->domain, b->domain) == 0;
}

/*
 * Times a server gives make no sense at times. Renewal comes before rebinding and that before the
 * end, and not so soon that it makes a storm of requests; else the shares of RFC 2131 hold.
 */
static void set_times(struct dhcp_machine *machine, const struct dhcp_message *message,
		      int64_t now_ms)
{
	const int64_t lease = machine->lease.seconds;
	int64_t renew = message->renew_s ? message->renew_s : lease / 2;
	int64_t rebind = message->rebind_s ? message->rebind_s : lease * 7 / 8;

	if (renew < RENEW_MIN_S || rebind <= renew || rebind >= lease) {
		renew = lease / 2;
		rebind = lease * 7 / 8;
	}
	machine->renew_ms = now_ms + renew * 1000;
	machine->rebind_ms = now_ms + rebind * 1000;
	machine->expire_ms = now_ms + lease * 1000;
}

static void bind_lease(struct dhcp_machine *machine, const struct dhcp_message *message,
		       int64_t now_ms, struct dhcp_step *step)
{
	const struct dhcp_lease lease = lease_of(machine, message);

	if (!same_lease(&lease, &machine->lease)) {
		step->change = DHCP_GAINED;
		step->before = machine->lease;
	}
	machine->lease = lease;
	set_state(machine, DHCP_BOUND);
	set_times(machine, message, now_ms);
	step->wait_ms = lease.seconds == UINT32_MAX ? -1 : machine->renew_ms - now_ms;
}

/* ---- RENEWING, REBINDING ---- */

static void ask_again(struct dhcp_machine *machine, int64_t until_ms, int64_t now_ms,
		      struct dhcp_step *step)
{
	const int64_t left = until_ms - now_ms;

	begin_message(machine, DHCP_REQUEST, now_ms, step);
	step->message.client = machine->lease.address;
	step->unicast = machine->state == DHCP_RENEWING;
	/* Half of what is left, but not more often than once a minute. */
	step->wait_ms = MIN(MAX(left / 2, (int64_t)RENEW_RETRY_MIN_MS), left);
}

static void renew(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *step)
{
	machine->began_ms = now_ms;
	machine->transaction = next_random(machine);
	set_state(machine, DHCP_RENEWING);
	ask_again(machine, machine->rebind_ms, now_ms, step);
}

static void rebind(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *step)
{
	if (now_ms >= machine->expire_ms) {
		lose(machine, step);
		begin_anew(machine, now_ms, step);
		return;
	}
	ask_again(machine, machine->expire_ms, now_ms, step);
}

/* ---- what happens ---- */

void dhcp_machine_start(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *ret_step)
{
	*ret_step = (struct dhcp_step){ 0 };
	begin_anew(machine, now_ms, ret_step);
}

void dhcp_machine_timeout(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *ret_step)
{
	*ret_step = (struct dhcp_step){ 0 };
	switch (machine->state) {
	case DHCP_INIT:
		begin_anew(machine, now_ms, ret_step);
		break;
	case DHCP_SELECTING:
		discover(machine, now_ms, ret_step);
		break;
	case DHCP_REQUESTING:
		if (machine->tries >= REQUESTS_MAX)
			begin_anew(machine, now_ms, ret_step);
		else
			request_offer(machine, now_ms, ret_step);
		break;
	case DHCP_BOUND:
		renew(machine, now_ms, ret_step);
		break;
	case DHCP_RENEWING:
		if (now_ms < machine->rebind_ms) {
			ask_again(machine, machine->rebind_ms, now_ms, ret_step);
		} else {
			set_state(machine, DHCP_REBINDING);
			rebind(machine, now_ms, ret_step);
		}
		break;
	case DHCP_REBINDING:
		rebind(machine, now_ms, ret_step);
		break;
	}
}

/* A refusal: from the start, but not at once, so that no server makes a storm of it. */
static void refused(struct dhcp_machine *machine, struct dhcp_step *step)
{
	lose(machine, step);
	step->wait_ms = retry_ms(machine) + RETRY_FIRST_MS;
}

bool dhcp_machine_receive(struct dhcp_machine *machine, const struct dhcp_message *message,
			  int64_t now_ms, struct dhcp_step *ret_step)
{
	const bool requested = machine->state == DHCP_REQUESTING ||
		machine->state == DHCP_RENEWING || machine->state == DHCP_REBINDING;
	const bool other_server = machine->state == DHCP_REQUESTING &&
		message->server.s_addr != 0 &&
		message->server.s_addr != machine->offer.server.s_addr;

	*ret_step = (struct dhcp_step){ 0 };
	if (message->transaction != machine->transaction ||
	    memcmp(message->mac, machine->mac, DHCP_MAC_SIZE) != 0)
		return false;
	if (message->type == DHCP_OFFER && machine->state == DHCP_SELECTING &&
	    is_usable(message->yours) && message->server.s_addr != 0) {
		machine->offer = *message;
		set_state(machine, DHCP_REQUESTING);
		request_offer(machine, now_ms, ret_step);
		return true;
	}
	if (!requested || other_server)
		return false;
	if (message->type == DHCP_NAK) {
		refused(machine, ret_step);
		return true;
	}
	if (message->type != DHCP_ACK || !is_usable(message->yours) || message->lease_s == 0)
		return false;
	bind_lease(machine, message, now_ms, ret_step);
	return true;
}

void dhcp_machine_release(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *ret_step)
{
	*ret_step = (struct dhcp_step){ .wait_ms = -1 };
	if (machine->lease.address.s_addr == 0)
		return;
	machine->transaction = next_random(machine);
	machine->began_ms = now_ms;
	begin_message(machine, DHCP_RELEASE, now_ms, ret_step);
	ret_step->message.client = machine->lease.address;
	ret_step->message.server = machine->lease.server;
	ret_step->unicast = true;
	lose(machine, ret_step);
}
