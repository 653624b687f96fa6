/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet from the link, through the parsers and the client's machine in each of its states. The
 * first byte says how far the machine has got; the transaction is made to fit.
 */
#include "guest/dhcp-machine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHECKED = 0x80, STEPS = 8 };

static void check(const struct dhcp_machine *machine, const struct dhcp_step *step)
{
	uint8_t out[DHCP_PACKET_MAX], packet[DHCP_PACKET_MAX];

	if (machine->state == DHCP_BOUND && machine->lease.address.s_addr == 0)
		abort();
	if (step->wait_ms >= 0 && machine->state == DHCP_BOUND && step->wait_ms < 1000)
		abort(); /* renewals in a storm */
	if (!step->send)
		return;
	size_t size = dhcp_message_build(&step->message, out);

	(void)dhcp_packet_build(step->message.client, step->message.server, out, size, packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[DHCP_MAC_SIZE] = { 2, 0x42, 10, 9, 0, 2 };
	struct dhcp_message message;
	struct dhcp_machine machine;
	struct dhcp_step step;
	const uint8_t *inner;
	size_t inner_size;
	int64_t now = 0;

	if (size == 0)
		return 0;
	if (dhcp_packet_parse(data + 1, size - 1, data[0] & CHECKED, &inner, &inner_size) < 0) {
		inner = data + 1;
		inner_size = size - 1;
	}
	if (dhcp_message_parse(inner, inner_size, &message) < 0)
		return 0;
	dhcp_machine_init(&machine, mac, "web", 1);
	dhcp_machine_start(&machine, now, &step);
	memcpy(message.mac, mac, sizeof(mac));
	for (int i = 0; i < STEPS; i++) {
		message.transaction = machine.transaction;
		if (data[0] & 1 << i) {
			now += step.wait_ms < 0 ? 1 : step.wait_ms;
			dhcp_machine_timeout(&machine, now, &step);
		} else {
			message.type = i % 2 ? DHCP_ACK : message.type;
			if (!dhcp_machine_receive(&machine, &message, now, &step))
				step = (struct dhcp_step){ .wait_ms = 1000 };
		}
		check(&machine, &step);
	}
	return 0;
}
