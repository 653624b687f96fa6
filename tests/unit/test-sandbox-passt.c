/* SPDX-License-Identifier: Apache-2.0 */
/* passt's arguments, and what its failure looks like. */
#include "test.h"

#include "sandbox/passt.h"

#include "base/alloc.h"
#include "base/process.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static char *join(const struct sandbox_config *config)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct buf text = { 0 };

	passt_arguments(config, &config->interfaces[0], 3, &argv);
	for (size_t i = 0; i < argv.count; i++)
		buf_printf(&text, "%s%s", i == 0 ? "" : " ", argv.items[i]);
	return buf_steal(&text);
}

static void test_arguments(void **state)
{
	static char *addresses[] = { (char *)"10.1.0.5/16", (char *)"fd00::5/64",
				     (char *)"10.1.0.6/16" };
	static char *gateways[] = { (char *)"10.1.0.1" };
	struct sandbox_port ports[] = {
		{ .host_address = (char *)"0.0.0.0", .host_port = 8080, .container_port = 80 },
		{ .udp = true,
		  .host_address = (char *)"::1",
		  .host_port = 53,
		  .container_port = 5353 },
	};
	struct sandbox_interface interface = { .kind = SANDBOX_PASST };
	struct sandbox_config config = { .interfaces = &interface, .interface_count = 1 };
	_cleanup_free_ char *plain = join(&config), *full = NULL;

	assert_string_equal(plain,
			    "passt -q -e -F 3 --no-map-gw -a 10.0.2.100 -n 24 -g 10.0.2.2 "
			    "--dns-forward 10.0.2.2");
	interface.mtu = 65520;
	interface.addresses = (struct strv){ addresses, 3 };
	interface.gateways = (struct strv){ gateways, 1 };
	config.ports = ports;
	config.port_count = 2;
	full = join(&config);
	assert_string_equal(full,
			    "passt -q -e -F 3 --no-map-gw -m 65520 -a 10.1.0.5 -n 16 "
			    "-a fd00::5 -g 10.1.0.1 --dns-forward 10.1.0.1 "
			    "-t 0.0.0.0/8080:80 -u ::1/53:5353");
}

/* It does not start: its own words are the error, and nothing of it is left. */
static void test_failure(void **state)
{
	struct sandbox_port port = { .host_address = (char *)"not-an-address",
				     .host_port = 8080,
				     .container_port = 80 };
	struct sandbox_interface interface = { .kind = SANDBOX_PASST };
	struct sandbox_config config = {
		.interfaces = &interface, .interface_count = 1, .ports = &port, .port_count = 1
	};
	struct cay_error err = { 0 };
	int pair[2], output = -1;
	pid_t pid = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_ok(passt_spawn(&config, &interface, pair[1], &pid, &output, &err));
	assert_true(passt_wait(&pid, &output, &err) < 0);
	if (!strstr(err.message, "passt failed: ") || strstr(err.message, "it says nothing"))
		fail_msg("%s", err.message);
	assert_int_equal(pid, 0);
	assert_int_equal(output, -1);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

/* It refuses a second mapping of one port's number, for the other family too. */
static void test_both_families_are_one(void **state)
{
	struct sandbox_port ports[] = {
		{ .host_address = (char *)"0.0.0.0", .host_port = 8080, .container_port = 80 },
		{ .host_address = (char *)"::", .host_port = 8080, .container_port = 80 },
		{ .udp = true,
		  .host_address = (char *)"::",
		  .host_port = 53,
		  .container_port = 53 },
	};
	struct sandbox_interface interface = { .kind = SANDBOX_PASST };
	struct sandbox_config config = { .interfaces = &interface,
					 .interface_count = 1,
					 .ports = ports,
					 .port_count = ARRAY_SIZE(ports) };
	_cleanup_free_ char *text = join(&config);

	assert_non_null(strstr(text, " -t 8080:80 -u ::/53:53"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_both_families_are_one),
		cmocka_unit_test(test_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
