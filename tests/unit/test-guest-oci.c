/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI configuration: what is read into which member, and what is refused. */
#include "test.h"

#include "guest/capability.h"
#include "guest/oci.h"

#include "base/buf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MINIMAL_LINUX "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}"
#define ROOT          "\"root\":{\"path\":\"/r\"}"

static int parse(const char *text, struct oci_config *config, struct cay_error *err)
{
	return oci_config_parse(text, strlen(text), config, err);
}

static void test_whole(void **state)
{
	static const char text[] =
		"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"/run/r\",\"readonly\":true},"
		"\"hostname\":\"box\",\"domainname\":\"lan\","
		"\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":25,\"width\":80},"
		"\"user\":{\"uid\":1,\"gid\":2,\"umask\":23,\"additionalGids\":[3,4]},"
		"\"args\":[\"a\",\"b\"],\"env\":[\"X=1\"],\"cwd\":\"/w\","
		"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"]},"
		"\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":-1}],"
		"\"noNewPrivileges\":true,\"oomScoreAdj\":-5},"
		"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\","
		"\"options\":[\"ro\",\"nosuid\"]},{\"destination\":\"/x\"}],"
		"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},"
		"{\"type\":\"network\",\"path\":\"/proc/7/ns/net\"}],"
		"\"devices\":[{\"path\":\"/dev/d\",\"type\":\"b\",\"major\":8,\"minor\":1,"
		"\"fileMode\":416,\"uid\":5,\"gid\":6}],"
		"\"sysctl\":{\"net.core.somaxconn\":\"9\"},\"maskedPaths\":[\"/m\"],"
		"\"readonlyPaths\":[\"/o\",\"/p\"],\"rootfsPropagation\":\"rshared\","
		"\"cgroupsPath\":\"/cay/x\","
		"\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
		"{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"rw\"}],"
		"\"memory\":{\"limit\":100,\"swap\":150},\"cpu\":{\"quota\":5,\"cpus\":\"0-1\"},"
		"\"pids\":{\"limit\":7},\"blockIO\":{\"weight\":10,\"throttleReadBpsDevice\":"
		"[{\"major\":1,\"minor\":2,\"rate\":3}],\"throttleWriteIOPSDevice\":"
		"[{\"major\":1,\"minor\":2,\"rate\":4}]},\"unified\":{\"memory.high\":\"8\"}},"
		"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
		"\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_S390X\"],"
		"\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":1,\"value\":2,"
		"\"valueTwo\":3,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}}}";
	_cleanup_oci_config_ struct oci_config config = { 0 };
	struct cay_error err = { 0 };

	assert_ok(parse(text, &config, &err));
	assert_string_equal(config.root_path, "/run/r");
	assert_true(config.root_readonly);
	assert_string_equal(config.hostname, "box");
	assert_string_equal(config.domainname, "lan");
	assert_true(config.has_process && config.process.terminal);
	assert_int_equal(config.process.columns, 80);
	assert_int_equal(config.process.rows, 25);
	assert_int_equal(config.process.uid, 1);
	assert_int_equal(config.process.gid, 2);
	assert_int_equal(config.process.umask, 23);
	assert_int_equal(config.process.group_count, 2);
	assert_int_equal(config.process.groups[1], 4);
	assert_int_equal(config.process.args.count, 2);
	assert_string_equal(config.process.env.items[0], "X=1");
	assert_string_equal(config.process.cwd, "/w");
	assert_int_equal(config.process.capabilities[OCI_CAP_BOUNDING], 1 | 1 << 5);
	assert_int_equal(config.process.capabilities[OCI_CAP_EFFECTIVE], 0);
	assert_int_equal(config.process.rlimits[0].resource, RLIMIT_CORE);
	assert_int_equal(config.process.rlimits[0].soft, 1);
	assert_true(config.process.rlimits[0].hard == UINT64_MAX);
	assert_true(config.process.no_new_privileges);
	assert_int_equal(config.process.oom_score_adj, -5);
	assert_int_equal(config.mount_count, 2);
	assert_string_equal(config.mounts[0].options.items[1], "nosuid");
	assert_string_equal(config.mounts[1].type, "");
	assert_int_equal(config.namespace_count, 3);
	assert_int_equal(oci_new_namespaces(&config), CLONE_NEWPID | CLONE_NEWNS);
	assert_string_equal(config.namespaces[2].path, "/proc/7/ns/net");
	assert_int_equal(config.devices[0].mode, S_IFBLK | 0640);
	assert_int_equal(config.devices[0].gid, 6);
	assert_string_equal(config.sysctls[0].name, "net.core.somaxconn");
	assert_int_equal(config.readonly_paths.count, 2);
	assert_int_equal(config.propagation, MS_SHARED);
	assert_string_equal(config.cgroups_path, "/cay/x");
	assert_int_equal(config.resources.device_rule_count, 2);
	assert_int_equal(config.resources.device_rules[0].major, -1);
	assert_int_equal(config.resources.device_rules[1].access,
			 BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE);
	assert_int_equal(config.resources.memory_swap, 150);
	assert_true(config.resources.memory_reservation == OCI_UNSET);
	assert_string_equal(config.resources.cpus, "0-1");
	assert_int_equal(config.resources.block_rate_count, 1);
	assert_int_equal(config.resources.block_rates[0].read_bps, 3);
	assert_int_equal(config.resources.block_rates[0].write_iops, 4);
	assert_true(config.resources.block_rates[0].write_bps == OCI_UNSET);
	assert_string_equal(config.resources.unified[0].value, "8");
	assert_int_equal(config.seccomp->default_action, SCMP_ACT_ERRNO(38));
	assert_int_equal(config.seccomp->architecture_count, 1);
	assert_true(config.seccomp->log && !config.seccomp->spec_allow);
	assert_int_equal(config.seccomp->rules[0].action, SCMP_ACT_ALLOW);
	assert_int_equal(config.seccomp->rules[0].arguments[0].operation, SCMP_CMP_MASKED_EQ);
	assert_int_equal(config.seccomp->rules[0].arguments[0].value_two, 3);
}

static void test_defaults(void **state)
{
	_cleanup_oci_config_ struct oci_config config = { 0 };
	_cleanup_oci_process_ struct oci_process process = { 0 };
	struct cay_error err = { 0 };

	assert_ok(parse("{" ROOT "," MINIMAL_LINUX ",\"unknown\":[1]}", &config, &err));
	assert_false(config.has_process);
	assert_int_equal(config.propagation, MS_PRIVATE);
	assert_null(config.cgroups_path);
	assert_null(config.seccomp);
	assert_true(config.resources.memory_limit == OCI_UNSET);
	assert_ok(oci_process_parse("{\"args\":[\"x\"]}", 14, &process, &err));
	assert_string_equal(process.cwd, "/");
	assert_true(process.umask == OCI_UNSET && process.oom_score_adj == OCI_UNSET);
	assert_false(process.has_capabilities);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *word;
		enum cay_code code;
	} cases[] = {
		{ "[]", "not an object", CAY_INVALID },
		{ "{" MINIMAL_LINUX "}", "\"root\" is missing", CAY_INVALID },
		{ "{" ROOT "}", "\"linux\" is missing", CAY_INVALID },
		{ "{\"root\":{\"path\":\"r\"}," MINIMAL_LINUX "}", "not an absolute", CAY_INVALID },
		{ "{" ROOT "," MINIMAL_LINUX ",\"hooks\":{\"prestart\":[{}]}}", "prestart",
		  CAY_UNSUPPORTED },
		{ "{" ROOT "," MINIMAL_LINUX ",\"mounts\":[{\"destination\":\"x\"}]}", "mounts[0]",
		  CAY_INVALID },
		{ "{" ROOT "," MINIMAL_LINUX ",\"process\":{}}", "no command", CAY_INVALID },
		{ "{" ROOT "," MINIMAL_LINUX ",\"process\":{\"args\":[\"a\"],\"cwd\":\"w\"}}",
		  "working directory", CAY_INVALID },
		{ "{" ROOT "," MINIMAL_LINUX
		  ",\"process\":{\"args\":[\"a\"],\"user\":{\"uid\":4294967295}}}",
		  "uid", CAY_INVALID },
		{ "{" ROOT "," MINIMAL_LINUX ",\"process\":{\"args\":[\"a\"],\"rlimits\":"
		  "[{\"type\":\"RLIMIT_X\"}]}}",
		  "RLIMIT_X", CAY_INVALID },
		{ "{" ROOT "," MINIMAL_LINUX ",\"process\":{\"args\":[\"a\"],\"rlimits\":"
		  "[{\"type\":\"RLIMIT_CORE\",\"soft\":-1,\"hard\":1}]}}",
		  "soft is above", CAY_INVALID },
		{ "{" ROOT ",\"linux\":{}}", "mount namespace", CAY_UNSUPPORTED },
		{ "{" ROOT ",\"linux\":{\"namespaces\":[{\"type\":\"user\"}]}}", "user namespaces",
		  CAY_UNSUPPORTED },
		{ "{" ROOT
		  ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"mount\"}]}}",
		  "twice", CAY_INVALID },
		{ "{" ROOT ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],"
		  "\"cgroupsPath\":\"/a/../b\"}}",
		  "not a plain path", CAY_INVALID },
		{ "{" ROOT ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],"
		  "\"cgroupsPath\":\"a:b:c\"}}",
		  "not an absolute", CAY_INVALID },
		{ "{" ROOT ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],"
		  "\"resources\":{\"unified\":{\"../x\":\"1\"}}}}",
		  "no setting", CAY_INVALID },
		{ "{" ROOT ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],"
		  "\"resources\":{\"unified\":{\"cgroup.procs\":\"1\"}}}}",
		  "no setting", CAY_INVALID },
		{ "{" ROOT ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],"
		  "\"resources\":{\"memory\":{\"limit\":5,\"swap\":4}}}}",
		  "below", CAY_INVALID },
		{ "{" ROOT ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],"
		  "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_X\"}}}",
		  "SCMP_ACT_X", CAY_INVALID },
		{ "{" ROOT ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"seccomp\":"
		  "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],"
		  "\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":6}]}]}}}",
		  "index", CAY_INVALID },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_config config = { 0 };
		struct cay_error err = { 0 };

		if (parse(cases[i].text, &config, &err) >= 0)
			fail_msg("taken: %s", cases[i].text);
		if (err.code != cases[i].code || !strstr(err.message, cases[i].word))
			fail_msg("%s: %s", cases[i].text, err.message);
		assert_null(config.root_path);
	}
}

static void test_limits(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct oci_resources resources = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&text, "{\"devices\":[");
	for (int i = 0; i < 2000; i++)
		buf_puts(&text, i ? ",{}" : "{}");
	buf_puts(&text, "]}");
	assert_int_equal(oci_resources_parse(text.data, text.length, &resources, &err), -E2BIG);
	assert_int_equal(err.code, CAY_TOO_LARGE);
}

static void test_capability_names(void **state)
{
	assert_int_equal(capability_from_name("CAP_CHOWN"), 0);
	assert_int_equal(capability_from_name("CAP_SYS_ADMIN"), 21);
	assert_int_equal(capability_from_name("CAP_CHECKPOINT_RESTORE"), 40);
	assert_int_equal(capability_from_name("CHOWN"), -EINVAL);
	assert_int_equal(capability_from_name("CAP_"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_capability_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
