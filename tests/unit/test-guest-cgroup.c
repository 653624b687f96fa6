/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of cgroup v2: settings from OCI resources, and counters. */
#include "test.h"

#include "guest/cgroup.h"

#include "base/buf.h"

#include <string.h>

static void collect(const char *file, const char *value, bool optional, void *user)
{
	buf_printf(user, "%s=%s%s;", file, value, optional ? "?" : "");
}

static void assert_settings(const char *json, const char *expected)
{
	_cleanup_oci_resources_ struct oci_resources resources = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };

	assert_ok(oci_resources_parse(json, strlen(json), &resources, &err));
	cgroup_settings(&resources, collect, &text);
	assert_string_equal(buf_text(&text), expected);
}

static void test_settings(void **state)
{
	assert_settings("{}", "");
	assert_settings("{\"memory\":{\"limit\":100,\"reservation\":50,\"swap\":150}}",
			"memory.low=50;memory.max=100;memory.swap.max=50?;");
	assert_settings("{\"memory\":{\"limit\":100,\"swap\":100}}",
			"memory.max=100;memory.swap.max=0?;");
	assert_settings("{\"memory\":{\"limit\":-1,\"swap\":-1}}",
			"memory.max=max;memory.swap.max=max?;");
	assert_settings("{\"memory\":{\"limit\":0}}", "");
	assert_settings("{\"cpu\":{\"shares\":1024}}", "cpu.weight=39;");
	assert_settings("{\"cpu\":{\"shares\":2}}", "cpu.weight=1;");
	assert_settings("{\"cpu\":{\"shares\":262144}}", "cpu.weight=10000;");
	assert_settings("{\"cpu\":{\"shares\":9000000000}}", "cpu.weight=10000;");
	assert_settings("{\"cpu\":{\"quota\":50000}}", "cpu.max=50000 100000;");
	assert_settings("{\"cpu\":{\"quota\":-1,\"period\":50000}}", "cpu.max=max 50000;");
	assert_settings("{\"cpu\":{\"cpus\":\"0-3\",\"mems\":\"0\"}}",
			"cpuset.cpus=0-3;cpuset.mems=0;");
	assert_settings("{\"pids\":{\"limit\":10}}", "pids.max=10;");
	assert_settings("{\"pids\":{\"limit\":0}}", "pids.max=max;");
	assert_settings(
		"{\"blockIO\":{\"weight\":1000,\"weightDevice\":[{\"major\":8,\"minor\":0,"
		"\"weight\":10}],\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,"
		"\"rate\":5}],\"throttleWriteIOPSDevice\":[{\"major\":9,\"minor\":1,"
		"\"rate\":0}]}}",
		"io.weight=10000?;io.weight=8:0 1?;io.max=8:0 rbps=5;io.max=9:1 wiops=max;");
	assert_settings("{\"unified\":{\"memory.high\":\"7\"}}", "memory.high=7;");
}

static void test_numbers(void **state)
{
	static const char events[] =
		"low 0\nhigh 3\nmax 12\noom 2\noom_kill 18446744073709551615\n";
	uint64_t value = 5;

	assert_true(cgroup_number(events, "max", &value));
	assert_int_equal(value, 12);
	assert_true(cgroup_number(events, "oom_kill", &value));
	assert_true(value == UINT64_MAX);
	assert_false(cgroup_number(events, "oom_", &value));
	assert_false(cgroup_number("", "max", &value));
	assert_false(cgroup_number("max\n", "max", &value));
	assert_false(cgroup_number("max x\n", "max", &value));
	value = 9;
	assert_false(cgroup_single("max\n", &value));
	assert_int_equal(value, 9);
	assert_true(cgroup_single("4096\n", &value));
	assert_int_equal(value, 4096);
	assert_false(cgroup_single("99999999999999999999999\n", &value));
}

static void test_io(void **state)
{
	static const char text[] = "254:0 rbytes=100 wbytes=0 rios=3 wios=0 dbytes=0 dios=0\n"
				   "254:16 rbytes=11 wbytes=22 rios=1 wios=2 dbytes=7 dios=9\n"
				   "253:0 \n";

	assert_int_equal(cgroup_io_sum(text, "rbytes"), 111);
	assert_int_equal(cgroup_io_sum(text, "wbytes"), 22);
	assert_int_equal(cgroup_io_sum(text, "rios"), 4);
	assert_int_equal(cgroup_io_sum("", "rios"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_io),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
