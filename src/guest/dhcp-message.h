/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DHCPv4 messages: from bytes of the link to a checked description and back.
 * Pure: no I/O. Formats: RFC 2131 (the message), RFC 2132 (the options),
 * RFC 3396 (options in several pieces), RFC 791 and 768 (IP and UDP around it).
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DHCP_PACKET_MAX = 1500,  /* IP header included; larger ones are dropped */
	DHCP_SERVERS_MAX = 8,    /* DNS servers taken from a message; more are ignored */
	DHCP_DOMAIN_MAX = 255,   /* a longer domain is ignored */
	DHCP_HOSTNAME_MAX = 255, /* the length of an option */
	DHCP_MAC_SIZE = 6,
	DHCP_CLIENT_PORT = 68,
	DHCP_SERVER_PORT = 67,
};

enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER = 2,
	DHCP_REQUEST = 3,
	DHCP_DECLINE = 4,
	DHCP_ACK = 5,
	DHCP_NAK = 6,
	DHCP_RELEASE = 7,
};

/* Addresses are in network order; zero is "absent", also for times in seconds. */
struct dhcp_message {
	enum dhcp_type type;
	uint32_t transaction;
	uint16_t seconds; /* since the client began */
	uint8_t mac[DHCP_MAC_SIZE];
	struct in_addr client;  /* ciaddr */
	struct in_addr yours;   /* yiaddr */
	struct in_addr server;  /* the identifier in option 54 */
	struct in_addr asked;   /* option 50 */
	struct in_addr netmask; /* option 1 */
	struct in_addr router;  /* the first one of option 3 */
	struct in_addr dns[DHCP_SERVERS_MAX];
	size_t dns_count;
	char domain[DHCP_DOMAIN_MAX + 1];     /* "" or a checked name */
	char hostname[DHCP_HOSTNAME_MAX + 1]; /* sent only; "" for none */
	uint32_t lease_s, renew_s, rebind_s;
};

/* A server's message out of the UDP datagram's contents. -EBADMSG for anything else. */
int dhcp_message_parse(const uint8_t *data, size_t size, struct dhcp_message *ret_message);

/*
 * The datagram's contents for a client's message; the size, at most DHCP_PACKET_MAX - 28 bytes.
 * Options that do not belong into a message of its type are left out.
 */
size_t dhcp_message_build(const struct dhcp_message *message, uint8_t ret_data[DHCP_PACKET_MAX]);

/*
 * Finds the UDP datagram to the client's port in an IP packet. With `checked` false the sender was
 * this host, which leaves checksums to the card. -EBADMSG for packets that are not whole or not
 * for a DHCP client.
 */
int dhcp_packet_parse(const uint8_t *packet, size_t size, bool checked, const uint8_t **ret_data,
		      size_t *ret_size);
/* Puts the IP and UDP headers around the contents; the size of the packet. */
size_t dhcp_packet_build(struct in_addr from, struct in_addr to, const uint8_t *data, size_t size,
			 uint8_t ret_packet[DHCP_PACKET_MAX]);

/* The length of a netmask's prefix; -EINVAL for one with holes. */
int dhcp_prefix_length(struct in_addr netmask);
