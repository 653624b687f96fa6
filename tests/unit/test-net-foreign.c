/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our networks beside other firewalls that drop by default, as Docker and ufw
 * set iptables up. Needs root and iptables.
 */
#include "net-guests.h"

#include "base/clock.h"

static struct world {
	struct firewall *firewall;
	int host, outside, docker;
	struct guest guest;
} world;

static const struct net_port published = { { AF_INET, { 0 } }, IPPROTO_TCP, 8080, 80 };

/* As dockerd 20.10 and later set it up, as far as it concerns forwarding. */
static const char docker_rules[] =
	"for i in iptables ip6tables; do $i -P FORWARD DROP && $i -N DOCKER-USER &&"
	" $i -A DOCKER-USER -j RETURN && $i -N DOCKER && $i -A FORWARD -j DOCKER-USER &&"
	" $i -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT &&"
	" $i -A FORWARD -o docker0 -j DOCKER && $i -A FORWARD -i docker0 ! -o docker0 -j ACCEPT &&"
	" $i -A FORWARD -i docker0 -o docker0 -j ACCEPT || exit 1; done";

static const char drop_all[] = "for i in iptables ip6tables; do $i -P FORWARD DROP &&"
			       " $i -P INPUT DROP || exit 1; done";

static const char accept_all[] = "nft flush ruleset";

static int make_world(void **state)
{
	struct bridge_spec spec = { .name = "cayba", .owner = OWNER };
	struct net_network network = { .link = "cayba" };
	struct net_endpoint endpoint;
	struct cay_error err = { 0 };
	char command[512];

	world.host = open_space();
	world.outside = make_space();
	world.docker = make_space();
	assert_ok(net_prefix_parse("172.30.0.1/24", &spec.gateways[0], &err));
	assert_ok(net_prefix_parse("fd00:a::1/64", &spec.gateways[1], &err));
	assert_ok(bridge_ensure(&spec, &err));
	for (size_t i = 0; i < 2; i++)
		network.gateways[i] = spec.gateways[i].address;
	world.guest = make_guest("cayta1", "cayba", 1, "172.30.0.2", "fd00:a::2", "172.30.0.1",
				 "fd00:a::1");
	endpoint = endpoint_of(&world.guest);
	endpoint.ports = &published;
	endpoint.port_count = 1;
	(void)snprintf(command, sizeof(command),
		       "ip link set lo up; ip link add uplink type veth peer name eth0 netns "
		       "/proc/%d/fd/%d && ip link set uplink up && ip addr add 10.99.0.1/24 dev "
		       "uplink && ip addr add fd00:99::1/64 dev uplink nodad &&"
		       "ip link add docker0 type veth peer name eth0 netns /proc/%d/fd/%d &&"
		       "ip link set docker0 up && ip addr add 172.17.0.1/24 dev docker0",
		       (int)getpid(), world.outside, (int)getpid(), world.docker);
	shell(command);
	shell_in(world.outside,
		 "ip link set eth0 up && ip addr add 10.99.0.2/24 dev eth0 &&"
		 "ip addr add fd00:99::2/64 dev eth0 nodad");
	shell_in(world.docker,
		 "ip link set eth0 up && ip addr add 172.17.0.2/24 dev eth0 &&"
		 "ip route add default via 172.17.0.1");
	assert_ok(firewall_new(TAG, &world.firewall, &err));
	assert_ok(firewall_start(world.firewall, &err));
	assert_ok(firewall_add_network(world.firewall, &network, &err));
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	return 0;
}

static int end_world(void **state)
{
	struct cay_error err = { 0 };

	assert_ok(firewall_remove_network(world.firewall, "cayba", &err));
	assert_ok(firewall_destroy(world.firewall, &err));
	firewall_free(world.firewall);
	return 0;
}

#define OURS "--comment " OWNER

/* Waits until a command's output holds the text, or no longer does. */
static bool becomes(const char *command, const char *text, bool there)
{
	const int64_t end = clock_monotonic_ms() + 5000;

	while (shell_says(command, text) != there) {
		if (clock_monotonic_ms() > end)
			return false;
		(void)usleep(20000);
	}
	return true;
}

/*
 * Waits until both families' rules have ours in both chains. Each is looked at by itself and maybe
 * in the middle of being set up, so that none of them tells of another.
 */
static bool passes_chains(void)
{
	return becomes("iptables -S", "FORWARD -o cayba -m comment " OURS, true) &&
		becomes("iptables -S", "INPUT -i cayba -m comment " OURS, true) &&
		becomes("ip6tables -S", "FORWARD -o cayba -m comment " OURS, true) &&
		becomes("ip6tables -S", "INPUT -i cayba -m comment " OURS, true);
}

static void expect_works(void)
{
	_cleanup_close_ int v4 = serve(world.outside, SOCK_STREAM, "10.99.0.2", 80);
	_cleanup_close_ int v6 = serve(world.outside, SOCK_STREAM, "fd00:99::2", 80);
	_cleanup_close_ int inside = serve(world.guest.space, SOCK_STREAM, "172.30.0.2", 80);
	_cleanup_close_ int dns = serve(world.host, SOCK_DGRAM, "172.30.0.1", 53);
	_cleanup_close_ int dns6 = serve(world.host, SOCK_DGRAM, "fd00:a::1", 53);

	assert_int_equal(reach(world.guest.space, "10.99.0.2", 80), 0);
	assert_int_equal(reach(world.guest.space, "fd00:99::2", 80), 0);
	assert_int_equal(reach(world.outside, "10.99.0.1", 8080), 0);
	assert_true(echoes(world.guest.space, "172.30.0.1", 53, dns));
	assert_true(echoes(world.guest.space, "fd00:a::1", 53, dns6));
}

static void test_nobody(void **state)
{
	/* Where no other firewall is, nothing of ours is in its place. */
	assert_false(shell_says("iptables -S", OURS));
	expect_works();
}

static void test_drop_all(void **state)
{
	_cleanup_close_ int ssh = serve(world.host, SOCK_STREAM, "172.30.0.1", 22);

	/* Set up while we run: noticed, for both families. */
	shell(drop_all);
	assert_true(passes_chains());
	expect_works();
	/* Our own rules go on refusing what they refuse. */
	assert_int_equal(reach(world.guest.space, "172.30.0.1", 22), ECONNREFUSED);
	/* Put back where it was: ours are not needed any more, and go. */
	shell("for i in iptables ip6tables; do $i -P FORWARD ACCEPT; $i -P INPUT ACCEPT; done");
	assert_true(becomes("iptables -S", OURS, false));
	assert_true(becomes("ip6tables -S", OURS, false));
	shell(accept_all);
}

static void test_reload(void **state)
{
	shell(drop_all);
	assert_true(becomes("iptables -S", OURS, true));
	/* A reload: all is flushed, and set up again. */
	shell(accept_all);
	shell(drop_all);
	assert_true(passes_chains());
	assert_true(becomes("nft list ruleset", "table inet " OWNER, true));
	expect_works();
	shell(accept_all);
	assert_true(becomes("nft list ruleset", "table inet " OWNER, true));
}

static void test_docker(void **state)
{
	_cleanup_close_ int theirs = serve(world.docker, SOCK_STREAM, "172.17.0.2", 80);

	shell(docker_rules);
	assert_true(becomes("iptables -S", "DOCKER-USER -o cayba -m comment " OURS, true));
	assert_true(becomes("ip6tables -S", "DOCKER-USER -i cayba -m comment " OURS, true));
	assert_true(becomes("iptables -S", "DOCKER-USER -i cayba -o docker0 -m comment", true));
	expect_works();
	/* Docker's containers stay Docker's: its rules are asked, which let nobody in. */
	assert_int_equal(reach(world.host, "172.17.0.2", 80), 0);
	assert_int_equal(reach(world.guest.space, "172.17.0.2", 80), ETIMEDOUT);
	assert_int_equal(reach(world.docker, "172.30.0.2", 80), ETIMEDOUT);
	/* When it lets somebody in by its own rules, that is for ours as well. */
	shell("iptables -A DOCKER -d 172.17.0.2 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT");
	assert_int_equal(reach(world.guest.space, "172.17.0.2", 80), 0);
	shell(accept_all);
	assert_true(becomes("nft list ruleset", "table inet " OWNER, true));
}

/*
 * By hand, where firewalld and a bus of its own run in the namespace that this is started in:
 * CAY_TEST_FIREWALLD=1 DBUS_SYSTEM_BUS_ADDRESS=... test-net-foreign
 */
static void test_firewalld(void **state)
{
	static const char zones[] = "nft list chain inet firewalld filter_INPUT_ZONES";
	static const char reload[] =
		"busctl --system call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 "
		"org.fedoraproject.FirewallD1 reload";
	struct net_network second = { .link = "caybb", .gateways = { address("172.31.0.1") } };
	struct cay_error err = { 0 };

	assert_true(becomes(zones, "cayba", true));
	expect_works();
	shell(reload);
	assert_true(becomes(zones, "cayba", true));
	expect_works();
	assert_ok(firewall_add_network(world.firewall, &second, &err));
	assert_true(shell_says(zones, "caybb"));
	assert_ok(firewall_remove_network(world.firewall, "caybb", &err));
	assert_false(shell_says(zones, "caybb"));
	assert_ok(firewall_destroy(world.firewall, &err));
	assert_false(shell_says(zones, "cay"));
}

static void test_taken_away(void **state)
{
	struct net_network second = { .link = "caybb", .gateways = { address("172.31.0.1") } };
	struct cay_error err = { 0 };

	shell(docker_rules);
	assert_true(becomes("iptables -S", OURS, true));
	assert_ok(firewall_add_network(world.firewall, &second, &err));
	assert_true(shell_says("iptables -S", "DOCKER-USER -i caybb -m comment " OURS));
	assert_ok(firewall_remove_network(world.firewall, "caybb", &err));
	assert_false(shell_says("iptables -S", "caybb"));
	assert_true(shell_says("iptables -S", "cayba"));
	assert_ok(firewall_destroy(world.firewall, &err));
	assert_false(shell_says("iptables -S; ip6tables -S", "cay"));
	assert_false(shell_says("nft list ruleset", "cay"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody),     cmocka_unit_test(test_drop_all),
		cmocka_unit_test(test_reload),     cmocka_unit_test(test_docker),
		cmocka_unit_test(test_taken_away),
	};
	const struct CMUnitTest with_firewalld[] = { cmocka_unit_test(test_firewalld) };

	/* A firewalld has to be started beforehand, in a namespace made for it. */
	if (getenv("CAY_TEST_FIREWALLD"))
		return cmocka_run_group_tests(with_firewalld, make_world, end_world);
	if (!enter_network())
		return 77; /* meson's word for a test that was skipped */
	if (try_shell("iptables -S && ip6tables -S", NULL) != 0) {
		print_message("SKIPPED: there is no iptables here\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_world, end_world);
}
