/* SPDX-License-Identifier: Apache-2.0 */
/* Which names of containers a container may know, which the host, and whose questions leave. */
#include "test.h"

#include "base/alloc.h"
#include "daemon/networks-internal.h"
#include "net/dns-server.h"

enum { NETWORKS = 3, ENDPOINTS = 4 };

/*
 * "web" runs on the default network and on "dev", "Db" on "dev" only, "job" on "closed", an
 * internal network.
 */
static struct network nets[NETWORKS];
static struct container containers[3];
static struct request requests[3];
static struct endpoint endpoints[ENDPOINTS];
static struct network *net_list[NETWORKS];
static struct endpoint *endpoint_list[ENDPOINTS];
static struct networks all = { .lock = PTHREAD_MUTEX_INITIALIZER,
			       .items = net_list,
			       .count = NETWORKS,
			       .endpoints = endpoint_list,
			       .endpoint_count = ENDPOINTS };

static struct net_address address_of(const char *text)
{
	struct net_address address;

	assert_int_equal(net_address_parse(text, &address, NULL), 0);
	return address;
}

static void make_endpoint(size_t index, size_t container, const char *name, const char *network,
			  const char *address)
{
	static char short_name[] = "host1";

	requests[container].hostname = short_name;
	containers[container].request = &requests[container];
	(void)snprintf(containers[container].id, sizeof(containers[container].id),
		       "%zuabcdef01234567", container);
	endpoints[index] = (struct endpoint){ .container = &containers[container],
					      .container_name = xstrdup(name),
					      .config.network = xstrdup(network),
					      .active = true };
	endpoints[index].addresses[NETWORK_IPV4] = address_of(address);
	endpoint_list[index] = &endpoints[index];
}

static int setup(void **state)
{
	static const char *const names[NETWORKS] = { "bridge", "dev", "closed" };

	for (size_t i = 0; i < NETWORKS; i++) {
		struct network_pool *pool = &nets[i].spec.pools[NETWORK_IPV4];

		(void)snprintf(nets[i].id, sizeof(nets[i].id), "net%zu", i);
		nets[i].spec.name = xstrdup(names[i]);
		nets[i].spec.driver = NETWORK_BRIDGE;
		nets[i].spec.internal = i == 2;
		pool->subnet.address = address_of("10.0.0.0");
		pool->subnet.address.bytes[1] = (uint8_t)i;
		pool->subnet.bits = 16;
		net_list[i] = &nets[i];
	}
	make_endpoint(0, 0, "web", "bridge", "10.0.0.2");
	make_endpoint(1, 0, "web", "dev", "10.1.0.2");
	make_endpoint(2, 1, "Db", "dev", "10.1.0.3");
	make_endpoint(3, 2, "job", "closed", "10.2.0.2");
	strv_add(&endpoints[2].config.aliases, "sql");
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < NETWORKS; i++)
		free(nets[i].spec.name);
	for (size_t i = 0; i < ENDPOINTS; i++) {
		free(endpoints[i].container_name);
		free(endpoints[i].config.network);
		strv_done(&endpoints[i].config.aliases);
	}
	return 0;
}

static struct dns_client client(const char *network, const struct net_address *address, bool host)
{
	return (struct dns_client){
		.network = network, .gateway = address, .address = address, .host = host
	};
}

/* "" for a name that is not ours, "absent", or its addresses. */
static void assert_name(const char *network, const char *from, const char *name,
			const char *expected)
{
	struct dns_addresses addresses = { .count = 0 };
	struct net_address address = address_of(from);
	struct dns_client asks = client(network, &address, ends_with(from, ".0.1"));
	enum dns_verdict verdict = network_names.lookup(&all, &asks, name, &addresses);
	_cleanup_buf_ struct buf text = { .length = 0 };
	char one[NET_ADDRESS_TEXT_MAX];

	if (verdict == DNS_ABSENT)
		buf_puts(&text, "absent");
	for (size_t i = 0; i < addresses.count; i++) {
		net_address_format(&addresses.items[i], one);
		buf_printf(&text, "%s%s", i ? " " : "", one);
	}
	assert_string_equal(buf_text(&text), expected);
	assert_int_equal(verdict == DNS_FOUND, addresses.count > 0);
}

static void test_containers(void **state)
{
	assert_name("net1", "10.1.0.3", "web", "10.1.0.2");
	assert_name("net1", "10.1.0.3", "web.dev", "10.1.0.2");
	assert_name("net1", "10.1.0.3", "web.dev.cay", "10.1.0.2");
	assert_name("net1", "10.1.0.3", "db", "10.1.0.3");
	assert_name("net1", "10.1.0.3", "sql.dev", "10.1.0.3");
	assert_name("net1", "10.1.0.3", "1abcdef01234", "10.1.0.3");
	/* Of the network that it is not on, and of what is not there. */
	assert_name("net1", "10.1.0.3", "web.bridge", "");
	assert_name("net1", "10.1.0.3", "job", "");
	assert_name("net2", "10.2.0.2", "web", "");
	/* On both networks, whichever gateway it asks. */
	assert_name("net0", "10.0.0.2", "web", "10.0.0.2 10.1.0.2");
	assert_name("net0", "10.0.0.2", "db", "10.1.0.3");
	/* Nobody we know: an address that no container has. */
	assert_name("net1", "10.1.0.9", "web", "");
}

/* Other people's names may end like a network's: they are not ours. */
static void test_foreign_names(void **state)
{
	assert_name("net1", "10.1.0.3", "example.dev", "");
	assert_name("net0", "10.0.0.2", "www.example.dev", "");
	assert_name("net0", "10.0.0.2", "nobody.bridge", "");
}

static void test_host(void **state)
{
	assert_name("net0", "10.0.0.1", "web.cay", "10.0.0.2");
	assert_name("net0", "10.0.0.1", "web.dev.cay", "10.1.0.2");
	assert_name("net1", "10.1.0.1", "job.closed.cay", "10.2.0.2");
	assert_name("net0", "10.0.0.1", "db.cay", "");
	assert_name("net0", "10.0.0.1", "web", "");
	assert_name("net0", "10.0.0.1", "web.dev", "");
}

static void assert_reverse(const char *network, const char *from, const char *of,
			   const char *expected)
{
	struct net_address address = address_of(from), asked = address_of(of);
	struct dns_client asks = client(network, &address, ends_with(from, ".0.1"));
	char name[DNS_NAME_TEXT_MAX] = "";
	enum dns_verdict verdict = network_names.reverse(&all, &asks, &asked, name);

	assert_string_equal(verdict == DNS_ABSENT ? "absent" : name, expected);
}

static void test_reverse(void **state)
{
	assert_reverse("net1", "10.1.0.3", "10.1.0.2", "web.dev");
	assert_reverse("net0", "10.0.0.1", "10.1.0.3", "Db.dev.cay");
	assert_reverse("net0", "10.0.0.1", "10.0.0.2", "web.cay");
	assert_reverse("net1", "10.1.0.3", "10.1.0.77", "absent");
	assert_reverse("net1", "10.1.0.3", "10.2.0.2", "absent");
	assert_reverse("net1", "10.1.0.3", "192.0.2.1", "");
}

static enum dns_forwarding forwarding(const char *network, const char *from, size_t *ret_count)
{
	struct net_address address = address_of(from);
	struct dns_client asks = client(network, &address, false);
	struct dns_upstreams servers = { .count = 0 };
	enum dns_forwarding result = network_names.upstreams(&all, &asks, &servers);

	*ret_count = servers.count;
	return result;
}

static void test_upstreams(void **state)
{
	size_t count;

	assert_int_equal(forwarding("net1", "10.1.0.3", &count), DNS_FORWARD_HOST);
	assert_int_equal(forwarding("net2", "10.2.0.2", &count), DNS_FORWARD_NEVER);
	assert_int_equal(forwarding("net1", "10.1.0.9", &count), DNS_FORWARD_NEVER);
	strv_add(&requests[1].dns, "192.0.2.53");
	strv_add(&requests[1].dns, "2001:db8::53");
	assert_int_equal(forwarding("net1", "10.1.0.3", &count), DNS_FORWARD_LIST);
	assert_int_equal(count, 2);
	strv_done(&requests[1].dns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_containers), cmocka_unit_test(test_foreign_names),
		cmocka_unit_test(test_host),       cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_upstreams),
	};

	return cmocka_run_group_tests_name("names", tests, setup, teardown);
}
