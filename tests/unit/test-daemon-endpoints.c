/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers' places on networks: which addresses they get, which ports of the
 * host, and which names find them. Nothing here touches the host's network.
 */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/networks-internal.h"
#include "daemon/placement.h"
#include "net/dns-server.h"

#include <errno.h>
#include <netinet/in.h>

static struct cay_error err;

static struct fixture {
	struct networks networks;
	struct container *containers[16];
	size_t container_count;
} fixture;

static int setup(void **state)
{
	fixture = (struct fixture){ 0 };
	(void)pthread_mutex_init(&fixture.networks.lock, NULL);
	return 0;
}

static int teardown(void **state)
{
	struct networks *networks = &fixture.networks;

	for (size_t i = 0; i < networks->endpoint_count; i++)
		endpoint_free(networks->endpoints[i]);
	for (size_t i = 0; i < networks->count; i++)
		network_unref(networks->items[i]);
	for (size_t i = 0; i < networks->placement_count; i++)
		placement_free(networks->placements[i]);
	for (size_t i = 0; i < fixture.container_count; i++)
		container_unref(fixture.containers[i]);
	free(networks->endpoints);
	free(networks->items);
	free(networks->placements);
	return 0;
}

static struct network *add_network(const char *name, const char *body)
{
	struct networks *networks = &fixture.networks;
	struct network *network = xcalloc(1, sizeof(*network));
	_cleanup_json_ json_t *parsed = json_loads(body, 0, NULL);

	json_set_string(parsed, "Name", name);
	assert_ok(network_spec_parse(parsed, &network->spec, &err));
	network->references = 1;
	(void)snprintf(network->id, sizeof(network->id), "id-of-%.50s", name);
	networks->items = xreallocarray(networks->items, networks->count + 1, sizeof(network));
	networks->items[networks->count++] = network;
	return network;
}

static struct container *add_container(const char *name, const char *members)
{
	static struct daemon *const nobody = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *body = NULL;
	_cleanup_strv_ struct strv warnings = { 0 };
	struct request *request = NULL;
	struct container *container;
	char id[ID_SIZE];

	assert_true(asprintf(&text, "{\"Cmd\":[\"a\"]%s%s}", *members ? "," : "", members) > 0);
	body = json_loads(text, 0, NULL);
	assert_ok(request_parse(body, NULL, 2, &request, &warnings, &err));
	id_make(id);
	container = xcalloc(1, sizeof(*container));
	container->daemon = nobody;
	container->references = 1;
	memcpy(container->id, id, sizeof(id));
	container->name = xstrdup(name);
	container->request = request;
	(void)pthread_mutex_init(&container->lock, NULL);
	fixture.containers[fixture.container_count++] = container;
	return container;
}

/* A place with addresses, or -errno. `settings` are docker's EndpointSettings. */
static int try_endpoint(struct container *container, struct network *network, const char *settings,
			struct endpoint **ret)
{
	_cleanup_json_ json_t *parsed = json_loads(settings, 0, NULL);
	struct endpoint_config config = { 0 };
	bool changed;

	assert_ok(endpoint_config_parse(network->spec.name, parsed, &config, &err));
	*ret = endpoint_new(container, network, &config, 0);
	networks_insert_endpoint(&fixture.networks, *ret);
	cay_error_clear(&err);
	return endpoint_allocate(&fixture.networks, network, *ret, &changed, &err);
}

static struct endpoint *add_endpoint(struct network *network, const char *name,
				     const char *settings)
{
	struct endpoint *endpoint = NULL;

	assert_ok(try_endpoint(add_container(name, ""), network, settings, &endpoint));
	endpoint->active = true;
	return endpoint;
}

static void assert_address(const struct endpoint *endpoint, unsigned int family, const char *text)
{
	char found[NET_ADDRESS_TEXT_MAX];

	net_address_format(&endpoint->addresses[family], found);
	assert_string_equal(found, text);
}

#define POOL "{\"IPAM\":{\"Config\":[{\"Subnet\":\"10.9.0.0/29\",\"Gateway\":\"10.9.0.1\"}]}}"

static void test_addresses_in_turn(void **state)
{
	struct network *network = add_network(
		"web",
		"{\"IPAM\":{\"Config\":[{\"Subnet\":\"10.9.0.0/24\",\"Gateway\":\"10.9.0.1\","
		"\"IPRange\":\"10.9.0.16/30\",\"AuxiliaryAddresses\":{\"a\":\"10.9.0.17\"}},"
		"{\"Subnet\":\"fd09::/64\",\"Gateway\":\"fd09::1\"}]}}");
	struct endpoint *one = add_endpoint(network, "one", "{}");
	struct endpoint *two = add_endpoint(network, "two", "{}");

	assert_address(one, NETWORK_IPV4, "10.9.0.16");
	assert_address(two, NETWORK_IPV4, "10.9.0.18");
	assert_address(one, NETWORK_IPV6, "fd09::2");
	assert_address(two, NETWORK_IPV6, "fd09::3");
	/* one that has just become free is not the next one's */
	networks_drop_endpoint(&fixture.networks, two);
	assert_address(add_endpoint(network, "three", "{}"), NETWORK_IPV4, "10.9.0.19");
	assert_address(add_endpoint(network, "four", "{}"), NETWORK_IPV4, "10.9.0.18");
}

static void test_address_asked_for(void **state)
{
	struct network *network = add_network("web", POOL);
	struct endpoint *first = add_endpoint(network, "first", "{}"), *second = NULL;
	static const char same[] = "{\"IPAMConfig\":{\"IPv4Address\":\"10.9.0.2\"}}";

	assert_address(first, NETWORK_IPV4, "10.9.0.2");
	assert_true(try_endpoint(add_container("second", ""), network, same, &second) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	assert_non_null(strstr(err.message, "Address already in use"));
	assert_non_null(strstr(err.message, "first"));
	/* a stopped container gives it up, and gets another when it starts again */
	first->active = false;
	networks_drop_endpoint(&fixture.networks, second);
	second = add_endpoint(network, "second", same);
	assert_address(second, NETWORK_IPV4, "10.9.0.2");
	assert_address(first, NETWORK_IPV4, "");
	bool changed = false;
	assert_ok(endpoint_allocate(&fixture.networks, network, first, &changed, &err));
	assert_true(changed);
	assert_address(first, NETWORK_IPV4, "10.9.0.3");
}

static void test_impossible_addresses(void **state)
{
	static const char *const settings[] = {
		"{\"IPAMConfig\":{\"IPv4Address\":\"10.9.1.2\"}}", /* of another subnet */
		"{\"IPAMConfig\":{\"IPv4Address\":\"10.9.0.1\"}}", /* the gateway's */
		"{\"IPAMConfig\":{\"IPv4Address\":\"10.9.0.7\"}}", /* broadcast */
		"{\"IPAMConfig\":{\"IPv6Address\":\"fd09::9\"}}",  /* no such family */
	};
	struct network *network = add_network("web", POOL);

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		struct endpoint *endpoint;

		if (try_endpoint(add_container("c", ""), network, settings[i], &endpoint) >= 0)
			fail_msg("%s was taken", settings[i]);
		networks_drop_endpoint(&fixture.networks, endpoint);
	}
}

/* Five addresses: the sixth container gets that of one that does not run. */
static void test_exhaustion(void **state)
{
	struct network *network = add_network("web", POOL);
	struct endpoint *endpoints[5], *last = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		endpoints[i] = add_endpoint(network, "c", "{}");
	assert_true(try_endpoint(add_container("last", ""), network, "{}", &last) < 0);
	assert_int_equal(err.code, CAY_NO_SPACE);
	networks_drop_endpoint(&fixture.networks, last);
	endpoints[3]->active = false;
	assert_address(add_endpoint(network, "last", "{}"), NETWORK_IPV4, "10.9.0.5");
	assert_address(endpoints[3], NETWORK_IPV4, "");
}

/*
 * As after a daemon that was killed: what a container lost is in its row still, so that two have it
 * on record. Whoever runs has it.
 */
static void test_one_address_twice_on_record(void **state)
{
	struct network *network = add_network("web", POOL);
	struct endpoint *first = add_endpoint(network, "first", "{}");
	struct endpoint *second = add_endpoint(network, "second", "{}"), *third = NULL;
	static const char same[] = "{\"IPAMConfig\":{\"IPv4Address\":\"10.9.0.2\"}}";
	bool changed = false;

	first->active = false;
	second->addresses[NETWORK_IPV4] = first->addresses[NETWORK_IPV4];
	assert_ok(endpoint_allocate(&fixture.networks, network, first, &changed, &err));
	assert_true(changed);
	assert_address(first, NETWORK_IPV4, "10.9.0.4");
	/* nor does it go to one that asks for it, whichever of the two is found first */
	first->addresses[NETWORK_IPV4] = second->addresses[NETWORK_IPV4];
	assert_true(try_endpoint(add_container("third", ""), network, same, &third) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	second->active = false;
	assert_ok(endpoint_allocate(&fixture.networks, network, third, &changed, &err));
	assert_address(third, NETWORK_IPV4, "10.9.0.2");
	assert_address(first, NETWORK_IPV4, "");
	assert_address(second, NETWORK_IPV4, "");
}

/* ---- names ---- */

static enum dns_verdict lookup(const struct endpoint *asker, const struct network *network,
			       const char *name, char text[NET_ADDRESS_TEXT_MAX])
{
	struct dns_addresses found = { 0 };
	const struct dns_client client = {
		.network = network->id,
		.gateway = &network->spec.pools[NETWORK_IPV4].gateway,
		.address = asker ? &asker->addresses[NETWORK_IPV4]
				 : &network->spec.pools[NETWORK_IPV4].gateway,
		.host = !asker,
	};
	enum dns_verdict verdict = network_names.lookup(&fixture.networks, &client, name, &found);

	text[0] = '\0';
	if (found.count > 0)
		net_address_format(&found.items[0], text);
	return verdict;
}

static void test_names(void **state)
{
	struct network *web = add_network("web", POOL);
	struct network *standard = add_network(
		"bridge",
		"{\"IPAM\":{\"Config\":[{\"Subnet\":\"10.8.0.0/24\",\"Gateway\":\"10.8.0.1\"}]}}");
	struct endpoint *a = add_endpoint(web, "alpha", "{\"Aliases\":[\"www\"]}");
	struct endpoint *b = add_endpoint(web, "beta", "{}");
	struct endpoint *other = add_endpoint(standard, "gamma", "{}");
	const struct {
		const struct endpoint *asker;
		const struct network *network;
		const char *name, *address;
		enum dns_verdict verdict;
	} cases[] = {
		{ b, web, "alpha", "10.9.0.2", DNS_FOUND },
		{ b, web, "www", "10.9.0.2", DNS_FOUND },
		{ b, web, "www.web", "10.9.0.2", DNS_FOUND },
		{ b, web, "alpha.web.cay", "10.9.0.2", DNS_FOUND },
		{ b, web, "nobody.web", "", DNS_NOT_OURS }, /* perhaps a name outside */
		{ b, web, "alpha.cay", "", DNS_NOT_OURS },  /* the default network's form */
		{ b, web, "gamma", "", DNS_NOT_OURS },      /* of another network */
		{ other, standard, "alpha", "", DNS_NOT_OURS },
		{ other, standard, "alpha.web", "", DNS_NOT_OURS },
		{ b, web, "example.org", "", DNS_NOT_OURS },
		{ NULL, standard, "gamma.cay", "10.8.0.2", DNS_FOUND },
		{ NULL, standard, "gamma.bridge.cay", "10.8.0.2", DNS_FOUND },
		{ NULL, standard, "alpha.web.cay", "10.9.0.2", DNS_FOUND },
		{ NULL, standard, "alpha", "", DNS_NOT_OURS }, /* the host's own search list */
		{ NULL, standard, "alpha.web", "", DNS_NOT_OURS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[NET_ADDRESS_TEXT_MAX];

		if (lookup(cases[i].asker, cases[i].network, cases[i].name, text) !=
			    cases[i].verdict ||
		    strcmp(text, cases[i].address) != 0)
			fail_msg("case %zu, %s: \"%s\"", i, cases[i].name, text);
	}
	char text[NET_ADDRESS_TEXT_MAX], short_id[ID_SHORT_LENGTH + 1];

	(void)snprintf(short_id, sizeof(short_id), "%.*s", ID_SHORT_LENGTH, a->container->id);
	assert_int_equal(lookup(b, web, short_id, text), DNS_FOUND);
	/* one that does not run has no name */
	a->active = false;
	assert_int_equal(lookup(b, web, "alpha", text), DNS_NOT_OURS);
	/* nor has one that asks from an address that is nobody's */
	b->active = false;
	a->active = true;
	assert_int_equal(lookup(b, web, "alpha", text), DNS_NOT_OURS);
}

static void test_reverse(void **state)
{
	struct network *web = add_network("web", POOL);
	struct endpoint *a = add_endpoint(web, "alpha", "{}"), *b = add_endpoint(web, "beta", "{}");
	struct dns_client client = { .network = web->id,
				     .gateway = &web->spec.pools[NETWORK_IPV4].gateway,
				     .address = &b->addresses[NETWORK_IPV4] };
	struct net_address address;
	char name[DNS_NAME_TEXT_MAX];

	assert_int_equal(network_names.reverse(&fixture.networks, &client,
					       &a->addresses[NETWORK_IPV4], name),
			 DNS_FOUND);
	assert_string_equal(name, "alpha.web");
	client.host = true;
	assert_int_equal(network_names.reverse(&fixture.networks, &client,
					       &a->addresses[NETWORK_IPV4], name),
			 DNS_FOUND);
	assert_string_equal(name, "alpha.web.cay");
	assert_ok(net_address_parse("10.9.0.6", &address, &err));
	assert_int_equal(network_names.reverse(&fixture.networks, &client, &address, name),
			 DNS_ABSENT);
	assert_ok(net_address_parse("10.10.0.6", &address, &err));
	assert_int_equal(network_names.reverse(&fixture.networks, &client, &address, name),
			 DNS_NOT_OURS);
}

static void test_upstreams(void **state)
{
	struct network *inner = add_network(
		"inner",
		"{\"Internal\":true,\"IPAM\":{\"Config\":[{\"Subnet\":\"10.7.0.0/24\"}]}}");
	struct network *web = add_network("web", POOL);
	struct endpoint *shut = add_endpoint(inner, "shut", "{}"), *own = NULL, *second = NULL;
	struct container *asking =
		add_container("asking", "\"HostConfig\":{\"Dns\":[\"9.9.9.9\"]}");
	struct dns_client client = { .network = inner->id,
				     .gateway = &inner->spec.pools[NETWORK_IPV4].gateway,
				     .address = &shut->addresses[NETWORK_IPV4] };
	struct dns_upstreams servers = { 0 };

	assert_int_equal(network_names.upstreams(&fixture.networks, &client, &servers),
			 DNS_FORWARD_NEVER);
	assert_ok(try_endpoint(asking, inner, "{}", &own));
	own->active = true;
	client.address = &own->addresses[NETWORK_IPV4];
	assert_int_equal(network_names.upstreams(&fixture.networks, &client, &servers),
			 DNS_FORWARD_NEVER);
	/* another of its networks leads out */
	assert_ok(try_endpoint(asking, web, "{}", &second));
	second->active = true;
	assert_int_equal(network_names.upstreams(&fixture.networks, &client, &servers),
			 DNS_FORWARD_LIST);
	assert_int_equal(servers.count, 1);
	/* an address that nobody has asks nothing outside */
	client.address = &web->spec.pools[NETWORK_IPV4].gateway;
	assert_int_equal(network_names.upstreams(&fixture.networks, &client, &servers),
			 DNS_FORWARD_NEVER);
}

/* ---- ports ---- */

static struct placement *add_placement(const char *ports)
{
	struct networks *networks = &fixture.networks;
	struct placement *placement = xcalloc(1, sizeof(*placement));
	_cleanup_free_ char *members = NULL;

	assert_true(asprintf(&members, "\"HostConfig\":{\"PortBindings\":{%s}}", ports) > 0);
	placement->container = container_ref(add_container("c", members));
	networks->placements = xreallocarray(networks->placements, networks->placement_count + 1,
					     sizeof(placement));
	networks->placements[networks->placement_count++] = placement;
	return placement;
}

/* A port of the host that a socket of this test has. */
static uint16_t occupy(int *ret_fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);

	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(bind(*ret_fd, (struct sockaddr *)&address, length), 0);
	assert_return_code(listen(*ret_fd, 1), 0);
	assert_return_code(getsockname(*ret_fd, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.sin_port);
}

static void test_ephemeral_ports(void **state)
{
	struct placement *placement = add_placement("\"80/tcp\":[{}],\"53/udp\":[{}]");

	assert_ok(placement_choose_ports(&fixture.networks, placement, &err));
	/* one for each family, by the same number; a host without IPv6 has one */
	assert_true(placement->port_count == 4 || placement->port_count == 2);
	assert_true(placement->ports[0].host_port > 0);
	assert_int_equal(placement->ports[0].port, 80);
	assert_int_equal(placement->ports[placement->port_count - 1].protocol, IPPROTO_UDP);
	if (placement->port_count == 4)
		assert_int_equal(placement->ports[0].host_port, placement->ports[1].host_port);
}

static void test_ports_in_use(void **state)
{
	_cleanup_free_ char *text = NULL, *again = NULL;
	_cleanup_close_ int fd = -1;
	uint16_t number = occupy(&fd);
	struct placement *placement;

	assert_true(asprintf(&text, "\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"%u\"}]",
			     number) > 0);
	placement = add_placement(text);
	assert_true(placement_choose_ports(&fixture.networks, placement, &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	assert_non_null(strstr(err.message, "port is already allocated"));
	assert_non_null(strstr(err.message, "127.0.0.1"));
	/* a range goes on to its next, which the following container can't have */
	assert_true(asprintf(&again,
			     "\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"%u-%u\"}]",
			     number, number + 40) > 0);
	placement = add_placement(again);
	assert_ok(placement_choose_ports(&fixture.networks, placement, &err));
	assert_true(placement->ports[0].host_port > number);
	struct placement *second = add_placement(again);
	assert_ok(placement_choose_ports(&fixture.networks, second, &err));
	assert_int_not_equal(second->ports[0].host_port, placement->ports[0].host_port);
}

/* A card for it, as at a start. */
static void add_card(struct placement *placement, struct endpoint *endpoint)
{
	placement->cards = xreallocarray(placement->cards, placement->card_count + 1,
					 sizeof(*placement->cards));
	placement->cards[placement->card_count++] = (struct placement_card){ .endpoint = endpoint };
}

static struct endpoint *add_place(struct container *container, struct network *network)
{
	struct endpoint *endpoint = NULL;

	assert_ok(try_endpoint(container, network, "{}", &endpoint));
	return endpoint;
}

static const char lan_body[] = "{\"Driver\":\"lan\",\"Options\":{\"parent\":\"eth0\"}}";

/* This host doesn't reach a container on a LAN, so ports lead to its bridge network. */
static void test_ports_beside_a_lan(void **state)
{
	struct placement *placement = add_placement("\"80/tcp\":[{}]");
	struct endpoint *on_lan = add_place(placement->container, add_network("lan", lan_body));
	struct endpoint *on_bridge = add_place(placement->container, add_network("web", POOL));
	struct net_port *ports = NULL;
	_cleanup_strv_ struct strv warnings = { 0 };

	networks_warn_ports(&fixture.networks, placement->container, &warnings);
	assert_int_equal(warnings.count, 0);
	add_card(placement, on_lan);
	assert_null(placement_choose_publisher(&fixture.networks, placement));
	add_card(placement, on_bridge);
	assert_ptr_equal(placement_choose_main(&fixture.networks, placement, NETWORK_IPV4), on_lan);
	placement->publisher = placement_choose_publisher(&fixture.networks, placement);
	assert_ptr_equal(placement->publisher, on_bridge);
	assert_ok(placement_choose_ports(&fixture.networks, placement, &err));
	/* the answers would leave by the LAN: only the relay leads there */
	assert_int_equal(placement_routed_ports(&fixture.networks, placement, on_bridge, &ports),
			 0);
	free(ports);
	on_bridge->config.gateway_priority = 1;
	assert_int_equal(placement_routed_ports(&fixture.networks, placement, on_bridge, &ports),
			 1);
	assert_int_equal(ports[0].host.family, AF_INET);
	free(ports);
	assert_int_equal(placement_routed_ports(&fixture.networks, placement, on_lan, &ports), 0);
	free(ports);
}

static void test_ports_on_a_lan_only(void **state)
{
	struct placement *placement = add_placement("\"80/tcp\":[{}]");
	_cleanup_strv_ struct strv warnings = { 0 };

	(void)add_place(placement->container, add_network("lan", lan_body));
	networks_warn_ports(&fixture.networks, placement->container, &warnings);
	assert_int_equal(warnings.count, 1);
	assert_non_null(strstr(warnings.items[0], "network lan "));
}

/* Only where a LAN's server gives the addresses a guest is believed what it was given. */
static void test_learned_addresses(void **state)
{
	struct container *container = add_container("guest", "");
	struct endpoint *on_lan = add_place(container, add_network("lan", lan_body));
	struct endpoint *on_bridge = add_place(container, add_network("web", POOL));
	struct endpoint *fixed =
		add_place(container,
			  add_network("fixed",
				      "{\"Driver\":\"lan\",\"Options\":{\"parent\":\"eth1\"},"
				      "\"IPAM\":{\"Config\":[{\"Subnet\":\"10.8.0.0/24\"}]}}"));
	struct endpoint *all[] = { on_lan, on_bridge, fixed };

	fixture.networks.privileged = true;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char mac[NET_MAC_TEXT_MAX];

		all[i]->active = true;
		net_mac_format(&all[i]->mac, mac);
		networks_learn_address(&fixture.networks, container, mac, "10.9.0.3/29",
				       "10.9.0.1");
		assert_int_equal(net_address_is_set(&all[i]->leases[NETWORK_IPV4].address), i == 0);
		assert_int_equal(net_address_is_set(&all[i]->lease_gateway), i == 0);
	}
}

static void test_port_of_the_name_server(void **state)
{
	struct network *network =
		add_network("local", "{\"IPAM\":{\"Config\":[{\"Subnet\":\"10.9.0.0/24\"}]}}");
	struct placement *placement;
	struct cay_error ignored;
	int fd;

	/* The gateway stands for any address of the host's with a server on its port 53. */
	assert_ok(net_address_parse("127.0.0.53", &network->spec.pools[NETWORK_IPV4].gateway,
				    &ignored));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_in server = { .sin_family = AF_INET,
					    .sin_port = htons(53),
					    .sin_addr.s_addr = htonl(0x7f000035) };
	if (bind(fd, (const struct sockaddr *)&server, sizeof(server)) < 0 && errno == EACCES)
		skip();
	placement = add_placement("\"53/udp\":[{\"HostPort\":\"53\"}]");
	assert_true(placement_choose_ports(&fixture.networks, placement, &err) < 0);
	assert_null(strstr(err.message, "name server"));
	network->has_names = true;
	cay_error_clear(&err);
	placement = add_placement("\"53/udp\":[{\"HostPort\":\"53\"}]");
	assert_true(placement_choose_ports(&fixture.networks, placement, &err) < 0);
	assert_non_null(strstr(err.message, "port is already allocated: cay's name server"));
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_addresses_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_impossible_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exhaustion, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_address_twice_on_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reverse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upstreams, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ephemeral_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports_beside_a_lan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports_on_a_lan_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_learned_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_port_of_the_name_server, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
