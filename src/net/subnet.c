/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing subnets for networks, and addresses in them for containers. */
#include "net/subnet.h"

#include "base/alloc.h"
#include "net/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

enum {
	IPV4_BITS_MAX = 30, /* the smallest subnets with room for a gateway and a container */
	IPV6_BITS_MAX = 126,
	IPV6_NETWORK_BITS = 64,
	ULA_BITS = 48,
};

/* docker's pools first, so that people find the addresses they know; many small ones after. */
static const struct pool {
	struct net_prefix prefix;
	uint8_t bits; /* of each subnet in it */
	uint32_t first;
} pools[] = {
	{ { { AF_INET, { 172, 16 } }, 12 }, 16, 1 }, /* docker leaves 172.16.0.0/16 alone */
	{ { { AF_INET, { 192, 168 } }, 16 }, 20, 0 },
	{ { { AF_INET, { 10, 64 } }, 10 }, 24, 0 },
};

void subnet_set_done(struct subnet_set *set)
{
	free(set->items);
	*set = (struct subnet_set){ 0 };
}

void subnet_set_add(struct subnet_set *set, const struct net_prefix *prefix)
{
	set->items = xreallocarray(set->items, set->count + 1, sizeof(*set->items));
	set->items[set->count++] = *prefix;
}

/* Routes that say nothing about who uses an address: everybody has them. */
static bool is_common(const struct net_prefix *prefix)
{
	return prefix->bits == 0 || net_address_is_link_local(&prefix->address) ||
		net_address_is_multicast(&prefix->address);
}

int subnet_host_taken(struct subnet_set *set, struct cay_error *err)
{
	_cleanup_netlink_addresses_ struct netlink_addresses addresses = { 0 };
	_cleanup_netlink_routes_ struct netlink_routes routes = { 0 };
	_cleanup_netlink_ struct netlink *netlink = NULL;
	int r;

	r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_route_list(netlink, &routes, err);
	if (r == 0)
		r = netlink_address_list(netlink, 0, &addresses, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < routes.count; i++)
		if (!is_common(&routes.items[i].destination))
			subnet_set_add(set, &routes.items[i].destination);
	for (size_t i = 0; i < addresses.count; i++)
		if (!is_common(&addresses.items[i].prefix))
			subnet_set_add(set, &addresses.items[i].prefix);
	return 0;
}

int subnet_lock(int *ret_fd, struct cay_error *err)
{
	static const char path[] = "/run/cay-net.lock";
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return cay_error_errno(err, errno, "can't open %s", path);
	do {
		r = flock(fd, LOCK_EX);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return cay_error_errno(err, errno, "can't lock %s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

struct net_prefix subnet_random_ula(void)
{
	struct net_prefix ula = { { AF_INET6, { 0xfd } }, ULA_BITS };
	ssize_t n;

	do {
		n = getrandom(ula.address.bytes + 1, ULA_BITS / 8 - 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n != ULA_BITS / 8 - 1)
		abort(); /* up to 256 bytes come whole, and the call exists since Linux 3.17 */
	return ula;
}

static const struct net_prefix *find_overlap(const struct net_prefix *subnet,
					     const struct subnet_set *taken)
{
	for (size_t i = 0; i < taken->count; i++)
		if (net_prefix_overlaps(subnet, &taken->items[i]))
			return &taken->items[i];
	return NULL;
}

/* The n-th network of `bits` bits in a larger one that has at most 2^32 of them. */
static struct net_prefix nth_subnet(const struct net_prefix *within, uint8_t bits, uint32_t n)
{
	struct net_prefix subnet = { net_prefix_network(within).address, bits };

	for (unsigned int bit = bits; n > 0; n >>= 1, bit--)
		if (n & 1)
			subnet.address.bytes[(bit - 1) / 8] |= (uint8_t)(0x80 >> (bit - 1) % 8);
	return subnet;
}

static bool choose_within(const struct net_prefix *pool, uint8_t bits, uint32_t first,
			  const struct subnet_set *taken, struct net_prefix *ret)
{
	for (uint32_t n = first; n < UINT32_C(1) << (bits - pool->bits); n++) {
		const struct net_prefix subnet = nth_subnet(pool, bits, n);

		if (!find_overlap(&subnet, taken)) {
			*ret = subnet;
			return true;
		}
	}
	return false;
}

int subnet_choose_ipv4(const struct subnet_set *taken, struct net_prefix *ret,
		       struct cay_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++)
		if (choose_within(&pools[i].prefix, pools[i].bits, pools[i].first, taken, ret))
			return 0;
	return cay_error_set(
		err, CAY_NO_SPACE, ENOSPC,
		"no IPv4 subnet is free: the host has routes to all of 172.16.0.0/12, "
		"192.168.0.0/16 and 10.64.0.0/10; give the network one by --subnet, or "
		"remove networks that nobody uses");
}

int subnet_choose_ipv6(const struct subnet_set *taken, const struct net_prefix *ula,
		       struct net_prefix *ret, struct cay_error *err)
{
	char text[NET_PREFIX_TEXT_MAX];

	assert(ula->bits == ULA_BITS);
	if (choose_within(ula, IPV6_NETWORK_BITS, 0, taken, ret))
		return 0;
	net_prefix_format(ula, text);
	return cay_error_set(err, CAY_NO_SPACE, ENOSPC,
			     "no IPv6 subnet of %s is free: give the network one by --subnet",
			     text);
}

int subnet_check_free(const struct net_prefix *subnet, const struct subnet_set *taken,
		      struct cay_error *err)
{
	const struct net_prefix *other = find_overlap(subnet, taken);
	char text[NET_PREFIX_TEXT_MAX], other_text[NET_PREFIX_TEXT_MAX];

	if (!other)
		return 0;
	net_prefix_format(subnet, text);
	net_prefix_format(other, other_text);
	return cay_error_set(err, CAY_CONFLICT, EEXIST,
			     "the subnet %s overlaps %s, which the host or another network uses: "
			     "choose another one",
			     text, other_text);
}

int subnet_check(const struct net_prefix *subnet, struct cay_error *err)
{
	const struct net_prefix network = net_prefix_network(subnet);
	const bool v4 = subnet->address.family == AF_INET;
	const struct net_prefix unusable[] = {
		{ { AF_INET, { 0 } }, 8 },
		{ { AF_INET, { 127 } }, 8 },
		{ { AF_INET, { 169, 254 } }, 16 },
		{ { AF_INET, { 224 } }, 3 },
		{ { AF_INET6, { 0xfe, 0x80 } }, 10 },
		{ { AF_INET6, { 0xff } }, 8 },
		{ { AF_INET6, { 0 } }, 96 },
		{ { AF_INET6, { [10] = 0xff, 0xff } }, 96 },
	};
	char text[NET_PREFIX_TEXT_MAX], network_text[NET_PREFIX_TEXT_MAX];

	net_prefix_format(subnet, text);
	if (!net_prefix_equal(subnet, &network)) {
		net_prefix_format(&network, network_text);
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"the subnet %s has bits set behind its length: do you mean %s?", text,
			network_text);
	}
	if (subnet->bits > (v4 ? IPV4_BITS_MAX : IPV6_BITS_MAX))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the subnet %s has no room for a gateway and a container: it "
				     "may be a /%d at most",
				     text, v4 ? IPV4_BITS_MAX : IPV6_BITS_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(unusable); i++) {
		if (!net_prefix_overlaps(subnet, &unusable[i]))
			continue;
		net_prefix_format(&unusable[i], network_text);
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"the subnet %s can't be a network's: %s has a meaning of its own", text,
			network_text);
	}
	return 0;
}

int subnet_check_address(const struct net_prefix *subnet, const struct net_address *address,
			 struct cay_error *err)
{
	const struct net_address first = net_prefix_network(subnet).address;
	const struct net_address last = net_prefix_last(subnet);
	char text[NET_ADDRESS_TEXT_MAX], subnet_text[NET_PREFIX_TEXT_MAX];
	const char *reason = NULL;

	if (!net_prefix_contains(subnet, address))
		reason = "it is outside";
	else if (net_address_equal(address, &first))
		reason = "it stands for the subnet itself";
	else if (address->family == AF_INET && net_address_equal(address, &last))
		reason = "it is the broadcast address";
	if (!reason)
		return 0;
	net_address_format(address, text);
	net_prefix_format(subnet, subnet_text);
	return cay_error_set(err, CAY_INVALID, EINVAL,
			     "the address %s can't be used in the subnet %s: %s", text, subnet_text,
			     reason);
}

static int compare(const void *a, const void *b)
{
	return net_address_compare(a, b);
}

/*
 * The first of first..last that is not in the sorted list; the work is that of the list, not of
 * the range, which may hold 2^64 addresses.
 */
static bool first_free(struct net_address first, const struct net_address *last,
		       const struct net_address *sorted, size_t count, struct net_address *ret)
{
	for (size_t i = 0; i < count && net_address_compare(&first, last) <= 0; i++) {
		const int order = net_address_compare(&sorted[i], &first);

		if (order > 0)
			break;
		if (order == 0 && !net_address_next(&first, &first))
			return false;
	}
	if (net_address_compare(&first, last) > 0)
		return false;
	*ret = first;
	return true;
}

int subnet_allocate(const struct net_prefix *subnet, const struct net_prefix *range,
		    const struct net_address *after, const struct net_address *taken, size_t count,
		    struct net_address *ret, struct cay_error *err)
{
	const struct net_prefix within =
		net_prefix_network(range && range->address.family ? range : subnet);
	const struct net_address last = net_prefix_last(&within);
	_cleanup_free_ struct net_address *sorted = xcalloc(count + 2, sizeof(*sorted));
	struct net_address start = within.address;
	char text[NET_PREFIX_TEXT_MAX];

	if (count > 0)
		memcpy(sorted, taken, count * sizeof(*sorted));
	sorted[count++] = net_prefix_network(subnet).address;
	if (subnet->address.family == AF_INET)
		sorted[count++] = net_prefix_last(subnet);
	qsort(sorted, count, sizeof(*sorted), compare);
	if (after && net_prefix_contains(&within, after))
		start = *after;
	if (first_free(start, &last, sorted, count, ret) ||
	    first_free(within.address, &last, sorted, count, ret))
		return 0;
	net_prefix_format(&within, text);
	return cay_error_set(err, CAY_NO_SPACE, ENOSPC,
			     "no address of %s is free: remove containers, or use a larger network",
			     text);
}
