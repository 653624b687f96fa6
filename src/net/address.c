/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4 and IPv6 addresses, prefixes and MAC addresses as plain values. */
#include "net/address.h"

#include "base/buf.h"
#include "base/id.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>

unsigned int net_address_bits(const struct net_address *address)
{
	switch (address->family) {
	case AF_INET:
		return 32;
	case AF_INET6:
		return 128;
	default:
		return 0;
	}
}

static size_t address_size(const struct net_address *address)
{
	return net_address_bits(address) / 8;
}

struct net_address net_address_from_bytes(int family, const void *bytes)
{
	struct net_address address = { 0 };

	if (family != AF_INET && family != AF_INET6)
		return address;
	address.family = (uint8_t)family;
	memcpy(address.bytes, bytes, address_size(&address));
	return address;
}

int net_address_parse(const char *text, struct net_address *ret, struct cay_error *err)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct net_address address = { .family = AF_INET };

	if (inet_pton(AF_INET, text, address.bytes) != 1) {
		address.family = AF_INET6;
		if (inet_pton(AF_INET6, text, address.bytes) != 1)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"%.64s\" is no IPv4 or IPv6 address", text);
		if (memcmp(address.bytes, mapped, sizeof(mapped)) == 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"%.64s\" is an IPv4 address in IPv6 clothes: "
					     "write it as IPv4",
					     text);
	}
	*ret = address;
	return 0;
}

void net_address_format(const struct net_address *address, char ret_text[NET_ADDRESS_TEXT_MAX])
{
	static_assert(NET_ADDRESS_TEXT_MAX >= INET6_ADDRSTRLEN, "any address fits");

	ret_text[0] = '\0';
	if (address->family)
		(void)inet_ntop(address->family, address->bytes, ret_text, NET_ADDRESS_TEXT_MAX);
}

int net_address_compare(const struct net_address *a, const struct net_address *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, address_size(a));
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
	return net_address_compare(a, b) == 0;
}

bool net_address_is_unspecified(const struct net_address *address)
{
	static const uint8_t zero[16];

	return address->family && memcmp(address->bytes, zero, address_size(address)) == 0;
}

bool net_address_is_loopback(const struct net_address *address)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (address->family == AF_INET)
		return address->bytes[0] == 127;
	return address->family == AF_INET6 && memcmp(address->bytes, one, sizeof(one)) == 0;
}

bool net_address_is_link_local(const struct net_address *address)
{
	if (address->family == AF_INET)
		return address->bytes[0] == 169 && address->bytes[1] == 254;
	return address->family == AF_INET6 && address->bytes[0] == 0xfe &&
		(address->bytes[1] & 0xc0) == 0x80;
}

bool net_address_is_multicast(const struct net_address *address)
{
	if (address->family == AF_INET)
		return address->bytes[0] >> 4 == 14;
	return address->family == AF_INET6 && address->bytes[0] == 0xff;
}

struct net_address net_address_from_sockaddr(const struct sockaddr *from)
{
	if (from->sa_family == AF_INET)
		return net_address_from_bytes(
			AF_INET, &((const struct sockaddr_in *)(const void *)from)->sin_addr);
	if (from->sa_family == AF_INET6)
		return net_address_from_bytes(
			AF_INET6, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr);
	return (struct net_address){ 0 };
}

socklen_t net_address_to_sockaddr(const struct net_address *address, uint16_t port,
				  struct sockaddr_storage *ret)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	assert(address->family);
	*ret = (struct sockaddr_storage){ 0 };
	if (address->family == AF_INET) {
		memcpy(&v4.sin_addr, address->bytes, sizeof(v4.sin_addr));
		memcpy(ret, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, address->bytes, sizeof(v6.sin6_addr));
	memcpy(ret, &v6, sizeof(v6));
	return sizeof(v6);
}

bool net_address_next(const struct net_address *address, struct net_address *ret)
{
	struct net_address next = *address;

	for (size_t i = address_size(address); i-- > 0;) {
		next.bytes[i]++;
		if (next.bytes[i] != 0) {
			*ret = next;
			return true;
		}
	}
	return false;
}

int net_prefix_parse(const char *text, struct net_prefix *ret, struct cay_error *err)
{
	const char *slash = strchr(text, '/');
	char address[NET_ADDRESS_TEXT_MAX];
	struct net_prefix prefix = { 0 };
	uint64_t bits;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%.64s\" is no subnet: write ADDRESS/BITS, as in "
				     "172.30.0.0/16",
				     text);
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (net_address_parse(address, &prefix.address, err) < 0)
		return cay_error_prefix(err, "\"%.64s\" is no subnet", text);
	if (parse_u64(slash + 1, net_address_bits(&prefix.address), &bits) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%.64s\" is no subnet: its length must be 0 to %u", text,
				     net_address_bits(&prefix.address));
	prefix.bits = (uint8_t)bits;
	*ret = prefix;
	return 0;
}

void net_prefix_format(const struct net_prefix *prefix, char ret_text[NET_PREFIX_TEXT_MAX])
{
	char address[NET_ADDRESS_TEXT_MAX];

	net_address_format(&prefix->address, address);
	(void)snprintf(ret_text, NET_PREFIX_TEXT_MAX, "%s", "");
	if (prefix->address.family)
		(void)snprintf(ret_text, NET_PREFIX_TEXT_MAX, "%s/%u", address, prefix->bits);
}

/* The bits of byte i that belong to the network. */
static uint8_t network_mask(const struct net_prefix *prefix, size_t i)
{
	if (8 * (i + 1) <= prefix->bits)
		return 0xff;
	if (8 * i >= prefix->bits)
		return 0;
	return (uint8_t)(0xff << (8 - prefix->bits % 8));
}

struct net_prefix net_prefix_network(const struct net_prefix *prefix)
{
	struct net_prefix network = *prefix;

	for (size_t i = 0; i < address_size(&prefix->address); i++)
		network.address.bytes[i] &= network_mask(prefix, i);
	return network;
}

struct net_address net_prefix_last(const struct net_prefix *prefix)
{
	struct net_address last = prefix->address;

	for (size_t i = 0; i < address_size(&last); i++)
		last.bytes[i] |= (uint8_t)~network_mask(prefix, i);
	return last;
}

bool net_prefix_equal(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->bits == b->bits && net_address_equal(&a->address, &b->address);
}

bool net_prefix_contains(const struct net_prefix *prefix, const struct net_address *address)
{
	if (!address->family || prefix->address.family != address->family)
		return false;
	for (size_t i = 0; i < address_size(address); i++)
		if ((prefix->address.bytes[i] ^ address->bytes[i]) & network_mask(prefix, i))
			return false;
	return true;
}

bool net_prefix_covers(const struct net_prefix *outer, const struct net_prefix *inner)
{
	return outer->bits <= inner->bits && net_prefix_contains(outer, &inner->address);
}

bool net_prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b)
{
	return net_prefix_covers(a, b) || net_prefix_covers(b, a);
}

bool net_prefix_nth(const struct net_prefix *prefix, uint64_t n, struct net_address *ret)
{
	struct net_address address = net_prefix_network(prefix).address;
	uint64_t carry = n;

	for (size_t i = address_size(&address); i-- > 0 && carry > 0;) {
		/* Network bits are in the way of a carry: what reaches them is out of range. */
		const uint64_t sum = (carry & 0xff) + address.bytes[i];

		address.bytes[i] = (uint8_t)sum;
		carry = (carry >> 8) + (sum >> 8);
	}
	if (carry > 0 || !net_prefix_contains(prefix, &address))
		return false;
	*ret = address;
	return true;
}

uint64_t net_prefix_size(const struct net_prefix *prefix)
{
	const unsigned int host_bits = net_address_bits(&prefix->address) - prefix->bits;

	return host_bits >= 64 ? UINT64_MAX : UINT64_C(1) << host_bits;
}

int net_mac_parse(const char *text, struct net_mac *ret, struct cay_error *err)
{
	struct net_mac mac;
	bool valid = strlen(text) == NET_MAC_TEXT_MAX - 1;

	for (size_t i = 0; valid && i < sizeof(mac.bytes); i++) {
		const int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);
		const char separator = text[3 * i + 2];

		valid = high >= 0 && low >= 0 &&
			(i == 5 ? separator == '\0' : separator == text[2]) &&
			(text[2] == ':' || text[2] == '-');
		mac.bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (!valid)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%.64s\" is no MAC address such as 02:42:ac:11:00:02", text);
	*ret = mac;
	return 0;
}

void net_mac_format(const struct net_mac *mac, char ret_text[NET_MAC_TEXT_MAX])
{
	const uint8_t *b = mac->bytes;

	(void)snprintf(ret_text, NET_MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1],
		       b[2], b[3], b[4], b[5]);
}

bool net_mac_equal(const struct net_mac *a, const struct net_mac *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool net_mac_is_unicast(const struct net_mac *mac)
{
	static const struct net_mac zero;

	return (mac->bytes[0] & 1) == 0 && !net_mac_equal(mac, &zero);
}

struct net_mac net_mac_random(void)
{
	struct net_mac mac = { 0 };
	ssize_t n;

	do {
		n = getrandom(mac.bytes, sizeof(mac.bytes), 0);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(mac.bytes))
		abort(); /* up to 256 bytes come whole, and the call exists since Linux 3.17 */
	mac.bytes[0] = 0x02;
	return mac;
}

struct net_mac net_mac_from_text(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
	struct net_mac mac = { { 0x02 } };

	for (; *text; text++) {
		hash ^= (uint8_t)*text;
		hash *= UINT64_C(0x100000001b3);
	}
	for (size_t i = 1; i < sizeof(mac.bytes); i++)
		mac.bytes[i] = (uint8_t)(hash >> (8 * i));
	return mac;
}

struct net_address net_mac_link_local(const struct net_mac *mac)
{
	const uint8_t *b = mac->bytes;
	const struct net_address address = {
		.family = AF_INET6,
		.bytes = { 0xfe, 0x80, [8] = b[0] ^ 0x02, b[1], b[2], 0xff, 0xfe, b[3], b[4],
			   b[5] },
	};

	return address;
}
