/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv4 messages, read and written. What comes in is foreign: whoever is on the link may send. */
#include "guest/dhcp-message.h"

#include "base/macros.h"

#include <errno.h>
#include <string.h>

enum {
	HEADER_SIZE = 236, /* up to and without the magic cookie */
	SNAME_OFFSET = 44,
	SNAME_SIZE = 64,
	FILE_OFFSET = 108,
	FILE_SIZE = 128,
	MESSAGE_MIN = 300, /* BOOTP relays drop smaller ones */
	IP_HEADER = 20,
	UDP_HEADER = 8,
	HOP_LIMIT = 64,
	MAXIMUM_ASKED = DHCP_PACKET_MAX, /* option 57: the largest message we take */
};

enum { OP_REQUEST = 1, OP_REPLY = 2, HARDWARE_ETHERNET = 1 };

enum option {
	OPTION_PAD = 0,
	OPTION_NETMASK = 1,
	OPTION_ROUTER = 3,
	OPTION_DNS = 6,
	OPTION_HOSTNAME = 12,
	OPTION_DOMAIN = 15,
	OPTION_ASKED = 50,
	OPTION_LEASE = 51,
	OPTION_OVERLOAD = 52,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_PARAMETERS = 55,
	OPTION_MAXIMUM = 57,
	OPTION_RENEW = 58,
	OPTION_REBIND = 59,
	OPTION_CLIENT_ID = 61,
	OPTION_END = 255,
	OPTION_COUNT = 256,
};

static const uint8_t cookie[] = { 99, 130, 83, 99 };

/* ---- numbers ---- */

static uint16_t get16(const uint8_t *data)
{
	return (uint16_t)(data[0] << 8 | data[1]);
}

static uint32_t get32(const uint8_t *data)
{
	return (uint32_t)get16(data) << 16 | get16(data + 2);
}

static void put16(uint8_t *data, uint16_t value)
{
	data[0] = (uint8_t)(value >> 8);
	data[1] = (uint8_t)value;
}

static void put32(uint8_t *data, uint32_t value)
{
	put16(data, (uint16_t)(value >> 16));
	put16(data + 2, (uint16_t)value);
}

static struct in_addr get_address(const uint8_t *data)
{
	struct in_addr address;

	memcpy(&address, data, sizeof(address));
	return address;
}

/* ---- options in ---- */

/* The pieces of one option, put together: RFC 3396. Only those that are used are kept. */
struct gathered {
	uint8_t data[DHCP_PACKET_MAX];
	size_t used;
	/* Where each option's bytes lie, in one piece. */
	struct {
		size_t at, size;
	} options[OPTION_COUNT];
};

/* Calls for each option of a field; -EBADMSG where one passes its end. */
static int walk(const uint8_t *data, size_t size, uint8_t wanted, struct gathered *into)
{
	for (size_t at = 0; at < size && data[at] != OPTION_END;) {
		const uint8_t code = data[at++];
		size_t length;

		if (code == OPTION_PAD)
			continue;
		if (at == size || size - at - 1 < data[at])
			return -EBADMSG;
		length = data[at++];
		if (code == wanted) {
			memcpy(into->data + into->used, data + at, length);
			into->used += length; /* all options together are within one packet */
			into->options[code].size += length;
		}
		at += length;
	}
	return 0;
}

/* One option from the options' own field and from those it says hold more. */
static int gather(const uint8_t *data, size_t size, uint8_t overload, uint8_t wanted,
		  struct gathered *into)
{
	int r;

	into->options[wanted].at = into->used;
	into->options[wanted].size = 0;
	r = walk(data + HEADER_SIZE + sizeof(cookie), size - HEADER_SIZE - sizeof(cookie), wanted,
		 into);
	if (r == 0 && (overload & 1))
		r = walk(data + FILE_OFFSET, FILE_SIZE, wanted, into);
	if (r == 0 && (overload & 2))
		r = walk(data + SNAME_OFFSET, SNAME_SIZE, wanted, into);
	return r;
}

/* An option of exactly four bytes; false where it is absent or of another size. */
static bool take32(const struct gathered *from, enum option option, uint32_t *ret_value)
{
	if (from->options[option].size != sizeof(*ret_value))
		return false;
	*ret_value = get32(from->data + from->options[option].at);
	return true;
}

/* The first address of a list; absent where the option is no list of addresses. */
static struct in_addr take_address(const struct gathered *from, enum option option)
{
	const size_t size = from->options[option].size;

	if (size < 4 || size % 4 != 0)
		return (struct in_addr){ 0 };
	return get_address(from->data + from->options[option].at);
}

static void take_dns(const struct gathered *from, struct dhcp_message *message)
{
	const size_t size = from->options[OPTION_DNS].size;

	if (size % 4 != 0)
		return;
	message->dns_count = MIN(size / 4, (size_t)DHCP_SERVERS_MAX);
	for (size_t i = 0; i < message->dns_count; i++)
		message->dns[i] = get_address(from->data + from->options[OPTION_DNS].at + 4 * i);
}

static bool is_name_character(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-' || c == '_' || c == '.';
}

/* It goes into a file that programs parse, so a name with anything else in it is none. */
static void take_domain(const struct gathered *from, struct dhcp_message *message)
{
	const uint8_t *text = from->data + from->options[OPTION_DOMAIN].at;
	size_t size = from->options[OPTION_DOMAIN].size;

	while (size > 0 && text[size - 1] == '\0') /* some servers count it */
		size--;
	if (size > DHCP_DOMAIN_MAX)
		return;
	for (size_t i = 0; i < size; i++)
		if (!is_name_character(text[i]))
			return;
	memcpy(message->domain, text, size);
	message->domain[size] = '\0';
}

static int take_options(const uint8_t *data, size_t size, struct dhcp_message *message)
{
	static const uint8_t wanted[] = { OPTION_TYPE,   OPTION_NETMASK, OPTION_ROUTER,
					  OPTION_DNS,    OPTION_DOMAIN,  OPTION_LEASE,
					  OPTION_SERVER, OPTION_RENEW,   OPTION_REBIND };
	struct gathered gathered = { 0 };
	uint8_t overload = 0;
	size_t type_at;
	int r = gather(data, size, 0, OPTION_OVERLOAD, &gathered);

	if (r == 0 && gathered.options[OPTION_OVERLOAD].size == 1)
		overload = gathered.data[gathered.options[OPTION_OVERLOAD].at];
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(wanted); i++)
		r = gather(data, size, overload, wanted[i], &gathered);
	type_at = gathered.options[OPTION_TYPE].at;
	if (r < 0 || gathered.options[OPTION_TYPE].size != 1)
		return -EBADMSG;
	if (gathered.data[type_at] != DHCP_OFFER && gathered.data[type_at] != DHCP_ACK &&
	    gathered.data[type_at] != DHCP_NAK)
		return -EBADMSG; /* what clients say to servers */
	message->type = (enum dhcp_type)gathered.data[type_at];
	message->server = take_address(&gathered, OPTION_SERVER);
	message->netmask = take_address(&gathered, OPTION_NETMASK);
	message->router = take_address(&gathered, OPTION_ROUTER);
	take_dns(&gathered, message);
	take_domain(&gathered, message);
	(void)take32(&gathered, OPTION_LEASE, &message->lease_s); /* 0 when absent, all three */
	(void)take32(&gathered, OPTION_RENEW, &message->renew_s);
	(void)take32(&gathered, OPTION_REBIND, &message->rebind_s);
	return 0;
}

int dhcp_message_parse(const uint8_t *data, size_t size, struct dhcp_message *ret_message)
{
	struct dhcp_message message = { 0 };
	int r;

	if (size < HEADER_SIZE + sizeof(cookie) || size > DHCP_PACKET_MAX || data[0] != OP_REPLY ||
	    data[1] != HARDWARE_ETHERNET || data[2] != DHCP_MAC_SIZE ||
	    memcmp(data + HEADER_SIZE, cookie, sizeof(cookie)) != 0)
		return -EBADMSG;
	message.transaction = get32(data + 4);
	message.client = get_address(data + 12);
	message.yours = get_address(data + 16);
	memcpy(message.mac, data + 28, DHCP_MAC_SIZE);
	r = take_options(data, size, &message);
	if (r == 0)
		*ret_message = message;
	return r;
}

/* ---- out ---- */

static void put_option(uint8_t **at, enum option option, const void *data, size_t size)
{
	*(*at)++ = (uint8_t)option;
	*(*at)++ = (uint8_t)size;
	memcpy(*at, data, size);
	*at += size;
}

static void put_address(uint8_t **at, enum option option, struct in_addr address)
{
	if (address.s_addr != 0)
		put_option(at, option, &address, sizeof(address));
}

size_t dhcp_message_build(const struct dhcp_message *message, uint8_t ret_data[DHCP_PACKET_MAX])
{
	static const uint8_t parameters[] = { OPTION_NETMASK, OPTION_ROUTER, OPTION_DNS,
					      OPTION_DOMAIN,  OPTION_LEASE,  OPTION_RENEW,
					      OPTION_REBIND };
	const bool asks = message->type == DHCP_DISCOVER || message->type == DHCP_REQUEST;
	const uint8_t type = (uint8_t)message->type;
	uint8_t id[1 + DHCP_MAC_SIZE] = { HARDWARE_ETHERNET }, maximum[2];
	uint8_t *at = ret_data + HEADER_SIZE + sizeof(cookie);

	memset(ret_data, 0, DHCP_PACKET_MAX);
	ret_data[0] = OP_REQUEST;
	ret_data[1] = HARDWARE_ETHERNET;
	ret_data[2] = DHCP_MAC_SIZE;
	put32(ret_data + 4, message->transaction);
	put16(ret_data + 8, message->seconds);
	memcpy(ret_data + 12, &message->client, sizeof(message->client));
	memcpy(ret_data + 28, message->mac, DHCP_MAC_SIZE);
	memcpy(ret_data + HEADER_SIZE, cookie, sizeof(cookie));
	put_option(&at, OPTION_TYPE, &type, sizeof(type));
	memcpy(id + 1, message->mac, DHCP_MAC_SIZE);
	put_option(&at, OPTION_CLIENT_ID, id, sizeof(id));
	put_address(&at, OPTION_ASKED, message->asked);
	put_address(&at, OPTION_SERVER, message->server);
	if (asks) {
		const size_t length = strnlen(message->hostname, DHCP_HOSTNAME_MAX);

		put16(maximum, MAXIMUM_ASKED);
		put_option(&at, OPTION_MAXIMUM, maximum, sizeof(maximum));
		put_option(&at, OPTION_PARAMETERS, parameters, sizeof(parameters));
		if (length > 0)
			put_option(&at, OPTION_HOSTNAME, message->hostname, length);
	}
	*at++ = OPTION_END;
	return MAX((size_t)(at - ret_data), (size_t)MESSAGE_MIN);
}

/* ---- IP and UDP ---- */

/* The Internet checksum's sum, not yet folded: RFC 1071. */
static uint32_t sum(const uint8_t *data, size_t size, uint32_t start)
{
	for (size_t i = 0; i + 1 < size; i += 2)
		start += get16(data + i);
	return size % 2 != 0 ? start + ((uint32_t)data[size - 1] << 8) : start;
}

static uint16_t fold(uint32_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return (uint16_t)~value;
}

/* Over the pseudo header and the datagram, its own checksum as it stands. */
static uint16_t udp_checksum(const uint8_t *ip, const uint8_t *udp, size_t size)
{
	return fold(sum(udp, size, sum(ip + 12, 8, IPPROTO_UDP + (uint32_t)size)));
}

int dhcp_packet_parse(const uint8_t *packet, size_t size, bool checked, const uint8_t **ret_data,
		      size_t *ret_size)
{
	size_t header, total, length;
	const uint8_t *udp;

	if (size < IP_HEADER + UDP_HEADER || size > DHCP_PACKET_MAX || packet[0] >> 4 != 4)
		return -EBADMSG;
	header = (size_t)(packet[0] & 15) * 4;
	total = get16(packet + 2);
	if (header < IP_HEADER || total < header + UDP_HEADER || total > size ||
	    packet[9] != IPPROTO_UDP || (get16(packet + 6) & 0x3fff) != 0 || /* a fragment */
	    fold(sum(packet, header, 0)) != 0)
		return -EBADMSG;
	udp = packet + header;
	length = get16(udp + 4);
	if (get16(udp) != DHCP_SERVER_PORT || get16(udp + 2) != DHCP_CLIENT_PORT ||
	    length < UDP_HEADER || length > total - header)
		return -EBADMSG;
	if (checked && get16(udp + 6) != 0 && udp_checksum(packet, udp, length) != 0)
		return -EBADMSG;
	*ret_data = udp + UDP_HEADER;
	*ret_size = length - UDP_HEADER;
	return 0;
}

size_t dhcp_packet_build(struct in_addr from, struct in_addr to, const uint8_t *data, size_t size,
			 uint8_t ret_packet[DHCP_PACKET_MAX])
{
	uint8_t *udp = ret_packet + IP_HEADER;
	const size_t length = UDP_HEADER + size;
	uint16_t checksum;

	assert(size <= DHCP_PACKET_MAX - IP_HEADER - UDP_HEADER);
	memset(ret_packet, 0, IP_HEADER + UDP_HEADER);
	ret_packet[0] = 4 << 4 | IP_HEADER / 4;
	put16(ret_packet + 2, (uint16_t)(IP_HEADER + length));
	ret_packet[8] = HOP_LIMIT;
	ret_packet[9] = IPPROTO_UDP;
	memcpy(ret_packet + 12, &from, sizeof(from));
	memcpy(ret_packet + 16, &to, sizeof(to));
	put16(ret_packet + 10, fold(sum(ret_packet, IP_HEADER, 0)));
	put16(udp, DHCP_CLIENT_PORT);
	put16(udp + 2, DHCP_SERVER_PORT);
	put16(udp + 4, (uint16_t)length);
	memcpy(udp + UDP_HEADER, data, size);
	checksum = udp_checksum(ret_packet, udp, length);
	put16(udp + 6, checksum ? checksum : 0xffff); /* 0 says that there is none */
	return IP_HEADER + length;
}

int dhcp_prefix_length(struct in_addr netmask)
{
	const uint32_t mask = ntohl(netmask.s_addr);

	if ((~mask & (~mask + 1)) != 0)
		return -EINVAL;
	return mask == 0 ? 0 : 32 - __builtin_ctz(mask);
}
