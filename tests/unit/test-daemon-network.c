/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask of networks and ports: networks' and endpoints' documents, published ports. */
#include "test.h"

#include "base/json.h"
#include "daemon/network-spec.h"
#include "daemon/request.h"

static struct cay_error err;

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

/* ---- networks ---- */

static int try_spec(const char *text, struct network_spec *ret)
{
	_cleanup_json_ json_t *body = parse(text);

	cay_error_clear(&err);
	return network_spec_parse(body, ret, &err);
}

/* What is written is read as the same again. */
static void assert_lasts(const struct network_spec *spec)
{
	_cleanup_json_ json_t *first = json_object(), *second = json_object();
	_cleanup_network_spec_ struct network_spec again = { 0 };

	network_spec_to_json(spec, first);
	assert_ok(network_spec_parse(first, &again, &err));
	network_spec_to_json(&again, second);
	assert_true(json_equal(first, second));
}

static void test_plain_network(void **state)
{
	_cleanup_network_spec_ struct network_spec spec = { 0 };

	assert_ok(try_spec("{\"Name\":\"web\"}", &spec));
	assert_int_equal(spec.driver, NETWORK_BRIDGE);
	assert_true(spec.families[NETWORK_IPV4] && spec.families[NETWORK_IPV6]);
	assert_false(network_spec_has_addresses(&spec));
	assert_lasts(&spec);
}

static void test_whole_network(void **state)
{
	_cleanup_network_spec_ struct network_spec spec = { 0 };
	_cleanup_json_ json_t *shown = json_object();
	char text[NET_PREFIX_TEXT_MAX];

	assert_ok(try_spec(
		"{\"Name\":\"web\",\"Driver\":\"bridge\",\"EnableIPv6\":false,\"Internal\":true,"
		"\"Labels\":{\"a\":\"b\"},\"Options\":{\"com.docker.network.driver.mtu\":\"1400\","
		"\"com.docker.network.bridge.name\":\"web0\","
		"\"com.docker.network.bridge.enable_ip_masquerade\":\"false\","
		"\"cay.network.metadata\":\"true\"},"
		"\"IPAM\":{\"Driver\":\"default\",\"Config\":[{\"Subnet\":\"10.1.0.0/16\","
		"\"IPRange\":\"10.1.5.0/24\",\"Gateway\":\"10.1.0.254\","
		"\"AuxiliaryAddresses\":{\"printer\":\"10.1.5.1\"}},{\"Subnet\":\"fd01::/64\"}]}}",
		&spec));
	assert_true(spec.internal && spec.no_masquerade && spec.metadata);
	assert_int_equal(spec.mtu, 1400);
	assert_string_equal(spec.link, "web0");
	net_prefix_format(&spec.pools[NETWORK_IPV4].range, text);
	assert_string_equal(text, "10.1.5.0/24");
	/* a subnet says more than the flag that older clients always send */
	assert_true(spec.families[NETWORK_IPV6]);
	network_spec_to_json(&spec, shown);
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(json_object_get(shown, "IPAM"), "Config"),
				       0),
			"Gateway")),
		"10.1.0.254");
	assert_lasts(&spec);
}

static void test_lan_network(void **state)
{
	_cleanup_network_spec_ struct network_spec spec = { 0 };

	assert_ok(try_spec(
		"{\"Name\":\"lan\",\"Driver\":\"lan\",\"Options\":{\"parent\":\"eth0\"}}", &spec));
	assert_int_equal(spec.driver, NETWORK_LAN);
	assert_string_equal(spec.link, "eth0");
	assert_lasts(&spec);
}

static void test_refused_networks(void **state)
{
#define POOL(members)      "{\"Name\":\"n\",\"IPAM\":{\"Config\":[{" members "}]}}"
#define OPTION(key, value) "{\"Name\":\"n\",\"Options\":{\"" key "\":\"" value "\"}}"
	static const struct {
		const char *body, *words;
		enum cay_code code;
	} cases[] = {
		{ "{}", "name", CAY_INVALID },
		{ "{\"Name\":\"../x\"}", "../x", CAY_INVALID },
		{ "{\"Name\":\"n\",\"Driver\":\"overlay\"}", "overlay", CAY_NOT_FOUND },
		{ "{\"Name\":\"n\",\"Driver\":\"lan\"}", "parent", CAY_INVALID },
		{ "{\"Name\":\"n\",\"EnableIPv4\":false,\"EnableIPv6\":false}", "IPv4 or IPv6",
		  CAY_INVALID },
		{ "{\"Name\":\"n\",\"EnableIPv4\":false,\"IPAM\":{\"Config\":[{\"Subnet\":"
		  "\"10.0.0.0/24\"}]}}",
		  "family", CAY_INVALID },
		{ "{\"Name\":\"n\",\"Ingress\":true}", "Ingress", CAY_UNSUPPORTED },
		{ "{\"Name\":\"n\",\"IPAM\":{\"Driver\":\"dhcp\"}}", "dhcp", CAY_UNSUPPORTED },
		{ "{\"Name\":\"n\",\"IPAM\":{\"Config\":[1]}}", "Config", CAY_INVALID },
		{ POOL("\"Subnet\":\"10.0.0.1/24\""), "10.0.0", CAY_INVALID },
		{ POOL("\"Subnet\":\"10.0.0.0\""), "10.0.0.0", CAY_INVALID },
		{ POOL("\"Subnet\":\"127.0.0.0/8\""), "127.0.0.0", CAY_INVALID },
		{ POOL("\"Subnet\":\"10.0.0.0/32\""), "10.0.0.0/32", CAY_INVALID },
		{ POOL("\"Gateway\":\"10.0.0.1\""), "subnet", CAY_INVALID },
		{ POOL("\"Subnet\":\"10.0.0.0/24\",\"Gateway\":\"10.0.1.1\""), "gateway",
		  CAY_INVALID },
		{ POOL("\"Subnet\":\"10.0.0.0/24\",\"IPRange\":\"10.0.0.0/16\""), "range",
		  CAY_INVALID },
		{ POOL("\"Subnet\":\"10.0.0.0/24\"},{\"Subnet\":\"10.1.0.0/24\""), "more than one",
		  CAY_UNSUPPORTED },
		{ POOL("\"Subnet\":\"10.0.0.0/24\",\"Gateway\":\"10.0.0.9\","
		       "\"AuxiliaryAddresses\":{\"a\":\"10.0.0.9\"}"),
		  "gateway", CAY_INVALID },
		{ POOL("\"Subnet\":\"10.0.0.0/24\",\"AuxiliaryAddresses\":{\"a\":\"10.0.0.1\"}"),
		  "gateway", CAY_INVALID },
		{ "{\"Name\":\"n\",\"Scope\":\"swarm\"}", "swarm", CAY_UNSUPPORTED },
		{ OPTION("com.docker.network.driver.mtu", "70000"), "mtu", CAY_INVALID },
		{ OPTION("com.docker.network.driver.mtu", "68"), "mtu", CAY_INVALID },
		{ OPTION("com.docker.network.bridge.name", "a/b"), "a/b", CAY_INVALID },
		{ OPTION("com.docker.network.bridge.name", "zz%d"), "zz%d", CAY_INVALID },
		{ OPTION("com.docker.network.bridge.name", "eth*"), "eth*", CAY_INVALID },
		{ OPTION("com.docker.network.bridge.name", "eth+"), "eth+", CAY_INVALID },
		{ OPTION("com.docker.network.bridge.name", "sixteen-letters-"), "sixteen",
		  CAY_INVALID },
		{ OPTION("com.docker.network.bridge.enable_icc", "false"), "enable_icc",
		  CAY_UNSUPPORTED },
		{ OPTION("cay.network.metadata", "maybe"), "maybe", CAY_INVALID },
		{ OPTION("parent", "eth0"), "parent", CAY_UNSUPPORTED },
		{ "{\"Name\":\"n\",\"Options\":{\"a\":1}}", "strings", CAY_INVALID },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct network_spec spec = { 0 };

		if (try_spec(cases[i].body, &spec) >= 0)
			fail_msg("%s was taken", cases[i].body);
		if (err.code != cases[i].code || !strstr(err.message, cases[i].words))
			fail_msg("%s: \"%s\" is %s", cases[i].body, err.message,
				 cay_code_name(err.code));
		assert_null(spec.name);
	}
}

/* ---- containers ---- */

static struct request *take(const char *members)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *body = NULL;
	_cleanup_strv_ struct strv warnings = { 0 };
	struct request *request = NULL;

	assert_true(asprintf(&text, "{\"Cmd\":[\"a\"],%s}", members) > 0);
	body = parse(text);
	assert_ok(request_parse(body, NULL, 2, &request, &warnings, &err));
	return request;
}

static void test_ports(void **state)
{
	_cleanup_request_ struct request *request = take(
		"\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"9/sctp\":{},\"7000-7002/tcp\":{}},"
		"\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\","
		"\"HostPort\":\"8080\"},{\"HostIp\":\"::1\",\"HostPort\":\"8081-8085\"}],"
		"\"443\":[{}],\"22/tcp\":[]}}");

	assert_int_equal(request->port_count, 3);
	assert_int_equal(request->ports[0].host_first, 8080);
	assert_int_equal(request->ports[0].host_address.family, AF_INET);
	assert_int_equal(request->ports[1].host_last, 8085);
	assert_int_equal(request->ports[2].container_port, 443);
	assert_int_equal(request->ports[2].host_first, 0);
	assert_false(net_address_is_set(&request->ports[2].host_address));
	assert_int_equal(request->exposed_count, 8);
}

static void test_publish_all(void **state)
{
	_cleanup_request_ struct request *request = take(
		"\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"9/sctp\":{}},\"HostConfig\":"
		"{\"PublishAllPorts\":true,\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"1\"}]}}");

	assert_int_equal(request->port_count, 2);
	assert_int_equal(request->ports[1].container_port, 53);
	assert_int_equal(request->ports[1].protocol, REQUEST_UDP);
	assert_int_equal(request->ports[1].host_first, 0);
}

static void assert_networks(const char *members, const char *expected)
{
	_cleanup_request_ struct request *request = take(members);
	_cleanup_buf_ struct buf text = { 0 };

	for (size_t i = 0; i < request->endpoint_count; i++)
		buf_printf(&text, "%s ", request->endpoints[i].network);
	assert_string_equal(buf_text(&text), expected);
}

/* The mode's network is the first, and there without being named again. */
static void test_which_networks(void **state)
{
	assert_networks("\"Tty\":false", "bridge ");
	assert_networks("\"HostConfig\":{\"NetworkMode\":\"none\"}", "none ");
	assert_networks("\"NetworkDisabled\":true", "none ");
	assert_networks("\"HostConfig\":{\"NetworkMode\":\"web\"}", "web ");
	assert_networks("\"NetworkingConfig\":{\"EndpointsConfig\":{\"db\":{}}}", "db ");
	assert_networks("\"NetworkingConfig\":{\"EndpointsConfig\":{\"default\":{}}}", "bridge ");
	assert_networks("\"HostConfig\":{\"NetworkMode\":\"web\"},\"NetworkingConfig\":"
			"{\"EndpointsConfig\":{\"db\":{},\"web\":null}}",
			"web db ");
}

static void test_endpoint(void **state)
{
	_cleanup_request_ struct request *request = take(
		"\"NetworkingConfig\":{\"EndpointsConfig\":{\"web\":{\"IPAMConfig\":"
		"{\"IPv4Address\":\"10.0.0.7\",\"IPv6Address\":\"FD00:0::7\"},\"Aliases\":"
		"[\"www\"],\"MacAddress\":\"02-00-00-00-00-0A\",\"GwPriority\":3,\"DriverOpts\":"
		"{\"a\":\"b\"}}}}");
	_cleanup_json_ json_t *written = endpoint_config_to_json(&request->endpoints[0]);
	_cleanup_free_ char *text = json_print(written);

	assert_string_equal(text,
			    "{\"IPAMConfig\":{\"IPv4Address\":\"10.0.0.7\",\"IPv6Address\":"
			    "\"fd00::7\"},\"Aliases\":[\"www\"],\"MacAddress\":"
			    "\"02:00:00:00:00:0a\",\"GwPriority\":3,\"DriverOpts\":{\"a\":\"b\"}}");
}

/* Older clients give it for the container. */
static void test_own_mac(void **state)
{
	_cleanup_request_ struct request *request = take("\"MacAddress\":\"02:00:00:00:00:01\"");

	assert_int_equal(request->endpoints[0].mac.bytes[5], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_network),  cmocka_unit_test(test_whole_network),
		cmocka_unit_test(test_lan_network),    cmocka_unit_test(test_refused_networks),
		cmocka_unit_test(test_ports),          cmocka_unit_test(test_publish_all),
		cmocka_unit_test(test_which_networks), cmocka_unit_test(test_endpoint),
		cmocka_unit_test(test_own_mac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
