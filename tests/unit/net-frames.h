/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as a hostile guest makes them: nothing here has to be true. */
#pragma once

#include "net/address.h"

#include <netinet/in.h>
#include <string.h>

struct frame {
	uint8_t bytes[1514];
	size_t length;
};

static const struct net_mac frame_everybody = { { 255, 255, 255, 255, 255, 255 } };

static inline void frame_put(struct frame *frame, const void *data, size_t length)
{
	memcpy(frame->bytes + frame->length, data, length);
	frame->length += length;
}

static inline void frame_put16(struct frame *frame, unsigned int value)
{
	const uint8_t bytes[] = { (uint8_t)(value >> 8), (uint8_t)value };

	frame_put(frame, bytes, sizeof(bytes));
}

static inline void frame_put_address(struct frame *frame, const char *text)
{
	struct net_address address = { 0 };

	if (net_address_parse(text, &address, NULL) < 0)
		abort();
	frame_put(frame, address.bytes, net_address_bits(&address) / 8);
}

static inline struct frame frame_start(const struct net_mac *to, const struct net_mac *from,
				       unsigned int type)
{
	struct frame frame = { 0 };

	frame_put(&frame, to->bytes, 6);
	frame_put(&frame, from->bytes, 6);
	frame_put16(&frame, type);
	return frame;
}

static inline struct frame frame_arp(const struct net_mac *from, unsigned int operation,
				     const struct net_mac *sender, const char *sender_ip,
				     const char *target_ip)
{
	struct frame frame = frame_start(&frame_everybody, from, 0x0806);

	frame_put(&frame, "\0\1\x08\0\6\4", 6);
	frame_put16(&frame, operation);
	frame_put(&frame, sender->bytes, 6);
	frame_put_address(&frame, sender_ip);
	frame_put(&frame, "\0\0\0\0\0", 6);
	frame_put_address(&frame, target_ip);
	return frame;
}

static inline uint16_t frame_sum(const uint8_t *data, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* An IPv4 packet with this upper layer; `fragment` is the field of flags and offset. */
static inline struct frame frame_ip4(const struct net_mac *to, const struct net_mac *from,
				     const char *source, const char *target, uint8_t protocol,
				     unsigned int fragment, const void *upper, size_t length)
{
	struct frame frame = frame_start(to, from, 0x0800);
	uint8_t *header = frame.bytes + frame.length;
	uint16_t sum;

	frame_put16(&frame, 0x4500);
	frame_put16(&frame, (unsigned int)(20 + length));
	frame_put16(&frame, 1);
	frame_put16(&frame, fragment);
	frame_put16(&frame, 64u << 8 | protocol);
	frame_put16(&frame, 0);
	frame_put_address(&frame, source);
	frame_put_address(&frame, target);
	sum = frame_sum(header, 20);
	header[10] = (uint8_t)(sum >> 8);
	header[11] = (uint8_t)sum;
	frame_put(&frame, upper, length);
	return frame;
}

static inline struct frame frame_udp4(const struct net_mac *to, const struct net_mac *from,
				      const char *source, const char *target,
				      unsigned int from_port, unsigned int to_port)
{
	struct frame udp = { 0 };

	frame_put16(&udp, from_port);
	frame_put16(&udp, to_port);
	frame_put16(&udp, 12);
	frame_put16(&udp, 0);
	frame_put(&udp, "data", 4);
	return frame_ip4(to, from, source, target, IPPROTO_UDP, 0, udp.bytes, udp.length);
}

static inline struct frame frame_ip6(const struct net_mac *to, const struct net_mac *from,
				     const char *source, const char *target, uint8_t next,
				     const void *upper, size_t length)
{
	struct frame frame = frame_start(to, from, 0x86dd);

	frame_put(&frame, "\x60\0\0\0", 4);
	frame_put16(&frame, (unsigned int)length);
	frame_put16(&frame, (unsigned int)next << 8 | 255);
	frame_put_address(&frame, source);
	frame_put_address(&frame, target);
	frame_put(&frame, upper, length);
	return frame;
}

/* ICMPv6 of a type whose body begins with an address, as neighbour discovery has it. */
static inline struct frame frame_discovery(const struct net_mac *from, const char *source,
					   const char *target, uint8_t type, const char *subject)
{
	struct frame icmp = { 0 };
	const uint8_t head[8] = { type };

	frame_put(&icmp, head, sizeof(head));
	frame_put_address(&icmp, subject);
	return frame_ip6(&frame_everybody, from, source, target, IPPROTO_ICMPV6, icmp.bytes,
			 icmp.length);
}
