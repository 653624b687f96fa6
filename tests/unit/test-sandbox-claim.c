/* SPDX-License-Identifier: Apache-2.0 */
/* Which machines can become which: each difference that matters is told, no other. */
#include "test.h"

#include "sandbox/claim.h"

#include "base/alloc.h"
#include "base/json.h"

#include <string.h>

static const char machine[] =
	"{\"id\":\"a\",\"run_directory\":\"/run/a\",\"boot_log_path\":\"/a/boot.log\","
	"\"kernel\":\"/k\",\"initramfs\":\"/i\",\"qemu\":\"/q\",\"acceleration\":\"tcg\","
	"\"tsc_khz\":2000000,\"vcpus\":2,\"memory_bytes\":134217728,\"vm_uid\":1,"
	"\"disks\":[{\"read_only\":true,\"extents\":[{\"path\":\"/d0\",\"size\":4096}]},"
	"{\"extents\":[{\"path\":\"/d1\",\"size\":8192}]}],"
	"\"interfaces\":[{\"kind\":\"tap\",\"device\":\"t0\",\"mac\":\"02:00:00:00:00:01\","
	"\"queues\":4}],"
	"\"containers\":[{\"id\":\"a\",\"oci_config\":\"{}\",\"state_path\":\"/a/state\"}]}";

/* The machine with some of its members changed; `changes` is a JSON object. */
static struct sandbox_config *make(const char *changes)
{
	_cleanup_json_ json_t *root = NULL, *other = NULL;
	struct sandbox_config *config = NULL;
	_cleanup_free_ char *text = NULL;
	struct cay_error err = { 0 };

	assert_ok(json_parse(machine, strlen(machine), "it", &root, &err));
	assert_ok(json_parse(changes, strlen(changes), "the changes", &other, &err));
	assert_int_equal(json_object_update(root, other), 0);
	text = json_print(root);
	assert_ok(sandbox_config_parse(text, strlen(text), &config, &err));
	return config;
}

static int check(const char *changes, struct cay_error *err)
{
	_cleanup_(sandbox_config_free_p) struct sandbox_config *have =
		make("{\"purpose\":\"pool\"}");
	_cleanup_(sandbox_config_free_p) struct sandbox_config *want = make(changes);

	return sandbox_claim_check(have, want, err);
}

static void test_fits(void **state)
{
	struct cay_error err = { 0 };

	assert_ok(check("{}", &err));
	assert_ok(check("{\"id\":\"b\",\"run_directory\":\"/run/b\",\"boot_log_path\":\"/b\","
			"\"vm_uid\":7,\"disposable\":true}",
			&err));
	assert_ok(check("{\"disks\":[{\"read_only\":true,\"extents\":[{\"path\":\"/x\",\"size\":"
			"4096},{\"path\":\"/y\",\"size\":4096}]},{\"extents\":[{\"path\":\"/z\","
			"\"size\":1099511627776}]}]}",
			&err));
	/* A card never has more queues than there are processors. */
	assert_ok(check("{\"interfaces\":[{\"kind\":\"tap\",\"device\":\"cayt1\",\"parent\":"
			"\"cayb0\",\"mac\":\"02:00:00:00:00:09\",\"queues\":2,\"addresses\":"
			"[\"10.0.0.2/24\"]}]}",
			&err));
}

static void test_differs(void **state)
{
	static const struct {
		const char *changes, *message;
	} cases[] = {
		{ "{\"purpose\":\"pool\"}", "another purpose" },
		{ "{\"kernel\":\"/k2\"}", "another kernel" },
		{ "{\"initramfs\":\"/k2\"}", "another kernel" },
		{ "{\"stock_kernel\":true}", "another kernel" },
		{ "{\"qemu\":\"/q2\"}", "another QEMU" },
		{ "{\"qemu\":null}", "another QEMU" },
		{ "{\"acceleration\":\"kvm\"}", "another QEMU" },
		{ "{\"tsc_khz\":2000001}", "another QEMU" },
		{ "{\"vcpus\":1}", "other processors or memory" },
		{ "{\"memory_bytes\":67108864}", "other processors or memory" },
		{ "{\"disks\":[]}", "another number of disks" },
		{ "{\"disks\":[{\"extents\":[{\"path\":\"/x\",\"size\":4096}]},"
		  "{\"extents\":[{\"path\":\"/z\",\"size\":4096}]}]}",
		  "other disks" },
		{ "{\"interfaces\":[]}", "another number of network cards" },
		{ "{\"interfaces\":[{\"kind\":\"tap\",\"device\":\"t\",\"mac\":"
		  "\"02:00:00:00:00:01\",\"queues\":1}]}",
		  "other network cards" },
		{ "{\"interfaces\":[{\"kind\":\"tap\",\"device\":\"t\",\"mac\":"
		  "\"02:00:00:00:00:01\",\"queues\":2,\"mtu\":1400}]}",
		  "other network cards" },
		{ "{\"interfaces\":[{\"kind\":\"macvtap\",\"device\":\"t\",\"parent\":\"e\","
		  "\"mac\":\"02:00:00:00:00:01\",\"queues\":2}]}",
		  "other network cards" },
		{ "{\"files_program\":\"/f\",\"shares\":[{\"source\":\"/s\"}]}",
		  "no device for shares" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cay_error err = { 0 };

		assert_true(check(cases[i].changes, &err) < 0);
		assert_int_equal(err.code, CAY_CONFLICT);
		if (!strstr(err.message, cases[i].message))
			fail_msg("%s: %s", cases[i].changes, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
