/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's configuration: round trip, and each fault told by name. */
#include "test.h"

#include "sandbox/config.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <string.h>

static const char whole[] =
	"{\"id\":\"abc-1\",\"purpose\":\"containers\",\"template\":\"/root/templates/k\","
	"\"translations\":\"/root/translations/k\",\"warm_rounds\":3,\"run_directory\":\"/run/cay/abc\",\"boot_log_path\":\"/b\","
	"\"kernel\":\"/k\",\"initramfs\":\"/i\",\"qemu\":\"qemu\",\"acceleration\":\"tcg\","
	"\"tsc_khz\":2100000,\"stock_kernel\":true,\"disposable\":true,\"vcpus\":2,\"memory_bytes\":268435456,\"vm_uid\":200001,"
	"\"disks\":[{\"read_only\":true,\"extents\":[{\"path\":\"/d1\",\"size\":4096},"
	"{\"path\":\"/d2\",\"size\":8192}]},{\"read_only\":false,\"extents\":"
	"[{\"path\":\"/s\",\"size\":65536}]}],"
	"\"interfaces\":[{\"kind\":\"tap\",\"device\":\"cayt0a.0\",\"parent\":\"cayb1\","
	"\"mac\":\"02:42:ac:11:00:02\",\"mtu\":1400,\"queues\":2,"
	"\"addresses\":[\"10.1.2.3/16\",\"fd00::3/64\"],\"gateways\":[\"10.1.0.1\",\"fd00::1\"],"
	"\"dhcp\":false,\"accept_ra\":false},"
	"{\"kind\":\"macvtap\",\"device\":\"cayt0a.1\",\"parent\":\"eth9\","
	"\"mac\":\"02:42:ac:11:00:03\",\"mtu\":0,\"queues\":1,\"addresses\":[],\"gateways\":[],"
	"\"dhcp\":true,\"accept_ra\":true,\"hostname\":\"web\",\"resolv_conf\":\"/run/r\"}],"
	"\"ports\":[{\"protocol\":\"udp\",\"host_address\":\"::\",\"host_port\":8053,"
	"\"container_address\":\"10.1.2.3\",\"container_port\":53}],"
	"\"files_program\":\"/cay-files\",\"shares\":[{\"source\":\"/srv/a\",\"read_only\":true,"
	"\"recursive\":true,\"slave\":true,\"cached\":true},{\"source\":\"/srv/b\","
	"\"read_only\":false,\"recursive\":false,\"slave\":false,\"cached\":false}],"
	"\"sockets\":[{\"publish\":false,\"host_path\":\"/run/a.sock\",\"guest_path\":\"/g\","
	"\"mode\":432,\"uid\":7,\"gid\":8},{\"publish\":true,\"host_path\":\"/run/b.sock\","
	"\"guest_path\":\"/srv/b\",\"container_id\":\"c1\",\"mode\":384,\"uid\":0,\"gid\":0}],"
	"\"containers\":[{\"id\":\"c1\",\"oci_config\":\"{\\\"process\\\":{}}\",\"user\":\"a:b\","
	"\"additional_groups\":[\"g\"],\"mounts\":[{\"type\":\"ext4\",\"source\":\"/dev/vdb\","
	"\"target\":\"/t\",\"options\":[\"ro\",\"x=1\"]},{\"type\":\"share\","
	"\"source\":\"1\",\"target\":\"/s1\",\"options\":[\"file\"]}],\"files\":[{\"path\":\"/f\","
	"\"data\":\"text\",\"mode\":420}],\"fills\":[{\"path\":\"/var/lib\","
	"\"target\":\"/s1\"}],\"files_only\":true,\"terminal\":true,\"open_stdin\":true,"
	"\"stdin_once\":false,\"use_init\":true,\"log_path\":\"/l\",\"log_max_size\":1000,"
	"\"log_max_files\":3,\"state_path\":\"/st\"}]}";

static void test_round_trip(void **state)
{
	struct sandbox_config *config = NULL;
	struct cay_error err = { 0 };
	_cleanup_free_ char *printed = NULL;

	assert_ok(sandbox_config_parse(whole, sizeof(whole) - 1, &config, &err));
	printed = sandbox_config_print(config);
	assert_string_equal(printed, whole);
	assert_int_equal(config->purpose, SANDBOX_FOR_CONTAINERS);
	assert_string_equal(config->template_directory, "/root/templates/k");
	assert_string_equal(config->translations, "/root/translations/k");
	assert_int_equal(config->warm_rounds, 3);
	assert_int_equal(config->disk_count, 2);
	assert_int_equal(config->disks[0].extents[1].size, 8192);
	assert_true(config->disks[0].read_only);
	assert_int_equal(config->vm_uid, 200001);
	assert_string_equal(config->containers[0].mounts[0].options.items[1], "x=1");
	assert_int_equal(config->containers[0].files[0].mode, 0644);
	assert_int_equal(config->containers[0].log_max_files, 3);
	assert_int_equal(config->interface_count, 2);
	assert_int_equal(config->interfaces[0].kind, SANDBOX_TAP);
	assert_int_equal(config->interfaces[0].mac[5], 2);
	assert_int_equal(config->interfaces[0].mtu, 1400);
	assert_false(sandbox_interface_is_spare(&config->interfaces[0]));
	assert_int_equal(config->interfaces[1].kind, SANDBOX_MACVTAP);
	assert_string_equal(config->interfaces[1].hostname, "web");
	assert_true(config->ports[0].udp);
	assert_int_equal(config->ports[0].host_port, 8053);
	assert_int_equal(config->share_count, 2);
	assert_true(config->shares[0].slave);
	assert_false(config->shares[1].read_only);
	assert_string_equal(config->files_program, "/cay-files");
	assert_string_equal(config->containers[0].fills[0].path, "/var/lib");
	assert_int_equal(config->socket_count, 2);
	assert_false(config->sockets[0].publish);
	assert_int_equal(config->sockets[0].mode, 0660);
	assert_int_equal(config->sockets[0].gid, 8);
	assert_string_equal(config->sockets[1].container_id, "c1");
	assert_true(config->containers[0].files_only);
	sandbox_config_free(config);
}

/* What is absent has a default. */
static void test_defaults(void **state)
{
	static const char text[] =
		"{\"id\":\"a\",\"run_directory\":\"/r\",\"boot_log_path\":\"/b\",\"kernel\":\"/k\","
		"\"initramfs\":\"/i\",\"acceleration\":\"kvm\",\"memory_bytes\":67108864,"
		"\"containers\":[{\"id\":\"c\",\"oci_config\":\"{}\",\"state_path\":\"/s\"}]}";
	struct sandbox_config *config = NULL;
	struct cay_error err = { 0 };

	assert_ok(sandbox_config_parse(text, sizeof(text) - 1, &config, &err));
	assert_int_equal(config->purpose, SANDBOX_FOR_CONTAINERS);
	assert_null(config->template_directory);
	assert_null(config->translations);
	assert_null(config->recording);
	assert_int_equal(config->warm_rounds, 2);
	assert_null(config->qemu);
	assert_int_equal(config->vcpus, 1);
	assert_int_equal(config->tsc_khz, 0);
	assert_int_equal(config->disk_count, 0);
	assert_int_equal(config->interface_count, 0);
	assert_int_equal(config->port_count, 0);
	assert_int_equal(config->share_count, 0);
	assert_int_equal(config->socket_count, 0);
	assert_int_equal(config->containers[0].fill_count, 0);
	assert_false(config->containers[0].files_only);
	assert_null(config->containers[0].log_path);
	assert_int_equal(config->containers[0].log_max_files, 1);
	assert_string_equal(config->containers[0].user, "");
	assert_false(config->containers[0].open_stdin);
	sandbox_config_free(config);
}

/* A VM of the pool that boots cold may be recorded. */
static void test_recording(void **state)
{
	static const char text[] =
		"{\"id\":\"a\",\"purpose\":\"pool\",\"recording\":\"/o\",\"run_directory\":\"/r\","
		"\"boot_log_path\":\"/b\",\"kernel\":\"/k\",\"initramfs\":\"/i\","
		"\"acceleration\":\"tcg\",\"memory_bytes\":67108864}";
	struct sandbox_config *config = NULL;
	_cleanup_free_ char *printed = NULL;
	struct cay_error err = { 0 };

	assert_ok(sandbox_config_parse(text, sizeof(text) - 1, &config, &err));
	assert_string_equal(config->recording, "/o");
	printed = sandbox_config_print(config);
	assert_non_null(strstr(printed, "\"recording\":\"/o\""));
	sandbox_config_free(config);
}

/* What becomes a template has places for its disks, and nothing of a container. */
static void test_template(void **state)
{
	static const char text[] =
		"{\"id\":\"a\",\"purpose\":\"template\",\"template_output\":\"/o\","
		"\"run_directory\":\"/r\",\"boot_log_path\":\"/b\",\"kernel\":\"/k\","
		"\"initramfs\":\"/i\",\"acceleration\":\"tcg\",\"memory_bytes\":67108864,"
		"\"disks\":[{\"read_only\":true,\"extents\":[]},{\"extents\":[]}]}";
	struct sandbox_config *config = NULL;
	struct cay_error err = { 0 };

	assert_ok(sandbox_config_parse(text, sizeof(text) - 1, &config, &err));
	assert_int_equal(config->purpose, SANDBOX_FOR_TEMPLATE);
	assert_string_equal(config->template_output, "/o");
	assert_int_equal(config->disk_count, 2);
	assert_int_equal(config->disks[1].extent_count, 0);
	sandbox_config_free(config);
}

/* Replaces the first `from` in the whole document and expects a refusal that says `word`. */
static void expect_refusal(const char *from, const char *to, const char *word)
{
	struct sandbox_config *config = NULL;
	struct cay_error err = { 0 };
	_cleanup_buf_ struct buf text = { 0 };

	put_replaced(&text, whole, from, to);
	if (sandbox_config_parse(buf_text(&text), text.length, &config, &err) == 0)
		fail_msg("accepted: %s for %s", to, from);
	assert_null(config);
	assert_says(&err, word);
}

static void test_refusals(void **state)
{
	expect_refusal("\"id\":\"abc-1\"", "\"id\":\"../x\"", "id");
	expect_refusal("\"id\":\"abc-1\"", "\"id\":\"\"", "id");
	expect_refusal("\"id\":\"abc-1\"", "\"id\":\"abc-1\",\"member\":\"../x\"", "member");
	expect_refusal("\"id\":\"abc-1\",", "", "id: is missing");
	expect_refusal("\"/run/cay/abc\"", "\"run\"", "run_directory: is not an absolute path");
	expect_refusal("\"kernel\":\"/k\",", "", "kernel: is missing");
	expect_refusal("\"initramfs\":\"/i\"", "\"initramfs\":7", "initramfs");
	expect_refusal("\"tcg\"", "\"hvf\"", "acceleration");
	expect_refusal("2100000", "-1", "tsc_khz");
	expect_refusal("\"vcpus\":2", "\"vcpus\":0", "vcpus");
	expect_refusal("268435456", "1024", "memory_bytes");
	expect_refusal("\"memory_bytes\":268435456,", "", "memory_bytes");
	expect_refusal("200001", "\"root\"", "vm_uid");
	expect_refusal("\"containers\",\"template\"", "\"other\",\"template\"", "purpose");
	expect_refusal("\"containers\",\"template\"", "\"template\",\"template\"",
		       "template_output");
	expect_refusal("\"containers\",\"template\"",
		       "\"template\",\"template_output\":\"/o\",\"template\"", "template");
	expect_refusal("\"template\":\"/root/templates/k\"", "\"template_output\":\"/o\"",
		       "template_output");
	expect_refusal("\"containers\",\"template\":\"/root/templates/k\"",
		       "\"template\",\"template_output\":\"/o\"", "nothing of a container");
	expect_refusal("/root/translations/k", "k", "translations: is not an absolute path");
	expect_refusal("\"translations\":\"/root/translations/k\"", "\"recording\":\"/r\"",
		       "recording: is for a VM of the pool");
	expect_refusal("\"containers\",\"template\":\"/root/templates/k\"",
		       "\"pool\",\"template\":\"/k\",\"recording\":\"/r\"",
		       "recording: is for a VM of the pool");
	expect_refusal("\"warm_rounds\":3", "\"warm_rounds\":0", "warm_rounds");
	expect_refusal("\"size\":8192", "\"size\":8193", "extents 1: size");
	expect_refusal("\"size\":8192", "\"size\":-4096", "size");
	expect_refusal("\"path\":\"/d2\",", "", "disks 0: extents 1: path");
	expect_refusal("\"read_only\":true", "\"read_only\":false", "read_only");
	expect_refusal("[{\"path\":\"/s\",\"size\":65536}]", "[]", "disks 1: extents");
	expect_refusal("\"disks\":[{", "\"disks\":[{},{},{},{},{", "more than 4 items");
	expect_refusal("{\\\"process\\\":{}}", "{", "oci_config");
	expect_refusal("{\\\"process\\\":{}}", "[]", "oci_config: is not an object");
	expect_refusal("\"target\":\"/t\"", "\"target\":\"t\"", "mounts 0: target");
	expect_refusal("\"mode\":420", "\"mode\":4096", "files 0: \"mode\"");
	expect_refusal("\"state_path\":\"/st\"", "\"state_path\":null", "containers 0: state_path");
	expect_refusal("\"log_max_files\":3", "\"log_max_files\":0", "log_max_files");
	expect_refusal("\"terminal\":true", "\"terminal\":1", "terminal");
}

static void test_network_refusals(void **state)
{
	expect_refusal("\"kind\":\"tap\"", "\"kind\":\"slirp\"", "interfaces 0: kind");
	expect_refusal("\"kind\":\"tap\"", "\"kind\":\"passt\"", "device: is not for passt");
	expect_refusal("cayt0a.0", "cayt0/a", "device: is not the name");
	expect_refusal("cayt0a.0", "a-name-of-sixteen", "device: is not the name");
	expect_refusal("\"device\":\"cayt0a.1\",", "", "interfaces 1: device: is missing");
	expect_refusal("\"parent\":\"eth9\",", "", "interfaces 1: parent: is missing");
	expect_refusal("\"parent\":\"cayb1\",", "", "parent: is needed where addresses are given");
	expect_refusal("02:42:ac:11:00:02", "02:42:ac:11:00:2", "mac");
	expect_refusal("02:42:ac:11:00:02", "02:42:ac:11:00:021", "mac");
	expect_refusal("02:42:ac:11:00:02", "03:42:ac:11:00:02", "mac: is a group's");
	expect_refusal("02:42:ac:11:00:02", "02:42:AC:11:00:03", "two have the same mac");
	expect_refusal("\"mtu\":1400", "\"mtu\":67", "mtu");
	expect_refusal("\"queues\":2", "\"queues\":9", "queues");
	expect_refusal("10.1.2.3/16", "10.1.2.3/33", "addresses");
	expect_refusal("10.1.2.3/16", "10.1.2.3", "addresses");
	expect_refusal("fd00::3/64", "fd00::3/", "addresses");
	expect_refusal("\"fd00::1\"]", "\"10.1.0.2\"]", "gateways");
	expect_refusal("\"resolv_conf\":\"/run/r\"", "\"resolv_conf\":\"r\"", "resolv_conf");
	expect_refusal("\"interfaces\":[{", "\"interfaces\":[{},{},{},{", "more than 4 items");
	expect_refusal("\"protocol\":\"udp\"", "\"protocol\":\"icmp\"", "ports 0: protocol");
	expect_refusal("\"host_port\":8053", "\"host_port\":0", "host_port");
	expect_refusal("\"host_port\":8053,", "", "host_port: is missing");
	expect_refusal("\"container_port\":53", "\"container_port\":65536", "container_port");
	expect_refusal("\"container_address\":\"10.1.2.3\",", "", "ports: one has no");
	expect_refusal("\"host_address\":\"::\"", "\"host_address\":\"\"", "host_address");
}

static void test_share_refusals(void **state)
{
	expect_refusal("\"source\":\"/srv/a\",", "", "shares 0: source: is missing");
	expect_refusal("/srv/b", "b", "shares 1: source: is not an absolute path");
	expect_refusal("\"slave\":true", "\"slave\":\"yes\"", "shares 0: \"slave\"");
	expect_refusal("\"files_program\":\"/cay-files\",", "", "files_program: is missing");
	expect_refusal("\"source\":\"1\"", "\"source\":\"2\"",
		       "containers 0: mounts: one is of a share");
	expect_refusal("\"source\":\"1\"", "\"source\":\"-1\"", "mounts");
	expect_refusal("\"path\":\"/var/lib\",", "", "fills 0: path: is missing");
	expect_refusal("\"target\":\"/s1\"}],\"files_only", "\"target\":\"s\"}],\"files_only",
		       "fills 0: target");
	expect_refusal("\"files_only\":true", "\"files_only\":1", "files_only");
}

static void test_socket_refusals(void **state)
{
	expect_refusal("\"host_path\":\"/run/a.sock\",", "", "sockets 0: host_path: is missing");
	expect_refusal("\"guest_path\":\"/g\"", "\"guest_path\":\"g\"", "sockets 0: guest_path");
	expect_refusal("\"mode\":432", "\"mode\":4096", "sockets 0: \"mode\"");
	expect_refusal("\"publish\":true", "\"publish\":1", "sockets 1: \"publish\"");
	expect_refusal("\"container_id\":\"c1\",", "", "sockets: one is served by no container");
	expect_refusal("\"container_id\":\"c1\"", "\"container_id\":\"c2\"", "sockets");
}

static void test_twins_and_size(void **state)
{
	static const char twins[] =
		"{\"id\":\"a\",\"run_directory\":\"/r\",\"boot_log_path\":\"/b\",\"kernel\":\"/k\","
		"\"initramfs\":\"/i\",\"acceleration\":\"kvm\",\"memory_bytes\":67108864,"
		"\"containers\":[{\"id\":\"c\",\"oci_config\":\"{}\",\"state_path\":\"/s\"},"
		"{\"id\":\"c\",\"oci_config\":\"{}\",\"state_path\":\"/t\"}]}";
	struct sandbox_config *config = NULL;
	struct cay_error err = { 0 };
	_cleanup_free_ char *large = xmalloc(SANDBOX_CONFIG_MAX + 1);

	assert_true(sandbox_config_parse(twins, sizeof(twins) - 1, &config, &err) < 0);
	assert_non_null(strstr(err.message, "same id"));
	memset(large, ' ', SANDBOX_CONFIG_MAX + 1);
	assert_true(sandbox_config_parse(large, SANDBOX_CONFIG_MAX + 1, &config, &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
	assert_true(sandbox_config_parse("[]", 2, &config, &err) < 0);
	assert_true(sandbox_config_load("/no/such/file", &config, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_recording),      cmocka_unit_test(test_template),
		cmocka_unit_test(test_refusals),       cmocka_unit_test(test_network_refusals),
		cmocka_unit_test(test_share_refusals), cmocka_unit_test(test_socket_refusals),
		cmocka_unit_test(test_twins_and_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
