/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the DNS responder alone, for tests with other people's clients and for
 * bench/dns.py: dns-serve PORT FORWARD RESOLV_CONF LINK ADDRESS …
 *
 * Each ADDRESS is a gateway of the network "net", on the interface LINK, of
 * which systemd-resolved is told ("-": no interface). Known are hN and hN.cay
 * (10.9.x.y and fd00:9::x:y, N up to 65535) with their reverse names; other
 * names go to RESOLV_CONF's servers, nowhere if FORWARD is "never", or to
 * FORWARD's port on 127.0.0.1. Ends at the end of its standard input.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "net/dns-server.h"
#include "net/resolved.h"

#include <net/if.h>

static struct dns_endpoint upstream;

static bool number_of(const char *name, uint64_t *ret_number)
{
	struct str rest, host = str_split(str_from(name), '.', &rest);

	if (host.length < 2 || host.data[0] != 'h' || (rest.length && !str_equals(rest, "cay")))
		return false;
	return str_to_u64((struct str){ host.data + 1, host.length - 1 }, UINT16_MAX, ret_number) ==
		0;
}

static enum dns_verdict lookup(void *user, const struct dns_client *client, const char *name,
			       struct dns_addresses *ret_addresses)
{
	uint64_t number;
	struct net_address address;

	if (!number_of(name, &number))
		return DNS_NOT_OURS;
	address = net_address_from_bytes(
		AF_INET, (uint8_t[]){ 10, 9, (uint8_t)(number >> 8), (uint8_t)number });
	dns_addresses_add(ret_addresses, &address);
	address = net_address_from_bytes(
		AF_INET6,
		(uint8_t[16]){ 0xfd, 0, 0,
			       9, [14] = (uint8_t)(number >> 8), [15] = (uint8_t)number });
	dns_addresses_add(ret_addresses, &address);
	return DNS_FOUND;
}

static enum dns_verdict reverse(void *user, const struct dns_client *client,
				const struct net_address *address, char ret_name[DNS_NAME_TEXT_MAX])
{
	const uint8_t *bytes = address->bytes;

	if (address->family != AF_INET || bytes[0] != 10 || bytes[1] != 9)
		return DNS_NOT_OURS;
	(void)snprintf(ret_name, DNS_NAME_TEXT_MAX, "h%d.net", bytes[2] << 8 | bytes[3]);
	return DNS_FOUND;
}

static enum dns_forwarding upstreams(void *user, const struct dns_client *client,
				     struct dns_upstreams *ret_servers)
{
	const char *forward = user;

	if (strcmp(forward, "never") == 0)
		return DNS_FORWARD_NEVER;
	if (strcmp(forward, "host") == 0)
		return DNS_FORWARD_HOST;
	dns_upstreams_add(ret_servers, &upstream);
	return DNS_FORWARD_LIST;
}

/* Prints whether systemd-resolved was there to be told. */
static void tell_resolved(const char *link, const struct net_address *servers, size_t count)
{
	_cleanup_strv_ struct strv domains = { .count = 0 };
	struct cay_error err = { .code = CAY_OK };
	int r;

	strv_add(&domains, "cay");
	strv_add(&domains, "9.10.in-addr.arpa");
	r = resolved_set_link(if_nametoindex(link), servers, count, &domains, &err);
	if (r < 0)
		die("%s", err.message);
	puts(r ? "told systemd-resolved" : "no systemd-resolved");
}

int main(int argc, char **argv)
{
	static const struct dns_names names = { lookup, reverse, upstreams };
	struct dns_options options = { .names = &names };
	struct cay_error err = { .code = CAY_OK };
	struct dns_server *server = NULL;
	struct net_address servers[RESOLVED_SERVERS_MAX];
	size_t count = 0;
	uint64_t port, forward_port;

	log_init("dns-serve", LOG_LEVEL_INFO);
	if (argc < 6 || argc - 5 > RESOLVED_SERVERS_MAX ||
	    parse_u64(argv[1], UINT16_MAX, &port) < 0)
		die("usage: dns-serve PORT never|host|PORT RESOLV_CONF LINK ADDRESS …");
	options.port = (uint16_t)port;
	options.user = argv[2];
	options.resolv_conf = argv[3];
	upstream.address = net_address_from_bytes(AF_INET, (uint8_t[]){ 127, 0, 0, 1 });
	if (parse_u64(argv[2], UINT16_MAX, &forward_port) == 0)
		upstream.port = (uint16_t)forward_port;
	if (dns_server_new(&options, &server, &err) < 0)
		die("%s", err.message);
	for (int i = 5; i < argc; i++, count++)
		if (net_address_parse(argv[i], &servers[count], &err) < 0 ||
		    dns_server_add(server, "net", &servers[count], &err) < 0)
			die("%s", err.message);
	if (strcmp(argv[4], "-") != 0)
		tell_resolved(argv[4], servers, count);
	puts("ready");
	(void)fflush(stdout);
	while (getchar() != EOF)
		continue;
	dns_server_free(server);
	return 0;
}
