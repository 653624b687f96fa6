/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the kernel that vminitd reads: /dev/kmsg, /proc/PID/stat, /proc/net/dev; mount options.
 */
#include "test.h"

#include "guest/kernel-log.h"
#include "guest/mounts.h"
#include "guest/stats.h"

#include <string.h>
#include <sys/mount.h>

static void assert_record(const char *record, const char *expected)
{
	_cleanup_buf_ struct buf text = { 0 };

	kernel_log_format(record, strlen(record), &text);
	assert_string_equal(buf_text(&text), expected);
}

static void test_kernel_log(void **state)
{
	assert_record("6,339,5140900,-;NET: Registered\n", "[    5.140900] NET: Registered\n");
	assert_record("30,340,5690716,-,caller=T1;a;b, c\n SUBSYSTEM=acpi\n DEVICE=+acpi:x\n",
		      "[    5.690716] a;b, c\n");
	assert_record("6,1,0,-;\n", "[    0.000000] \n");
	assert_record("6,1,12345678901234,-;late\n", "[12345678.901234] late\n");
	assert_record("", "");
	assert_record("no record", "");
	assert_record("6,1,x,-;text\n", "");
}

static void test_process_stat(void **state)
{
	static const char line[] =
		"42 (a) b (c)) S 7 42 42 34817 42 4194304 1 0 0 0 12 34 0 0 20 0 1 0 5678 "
		"1000000 99 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n";
	struct process_stat stat;

	assert_true(process_stat_parse((struct str){ line, strlen(line) }, &stat));
	assert_true(str_equals(stat.name, "a) b (c)"));
	assert_int_equal(stat.state, 'S');
	assert_int_equal(stat.ppid, 7);
	assert_int_equal(stat.terminal, 34817);
	assert_int_equal(stat.user_ticks, 12);
	assert_int_equal(stat.system_ticks, 34);
	assert_int_equal(stat.start_ticks, 5678);
	assert_int_equal(stat.resident_pages, 99);
	for (size_t cut = 0; cut < 40; cut++)
		assert_false(process_stat_parse((struct str){ line, cut }, &stat));
}

static void test_network_line(void **state)
{
	uint64_t n[16];
	struct str name;

	assert_true(network_line_parse(
		STR("  eth0:  100 2 3 4 5 6 7 8    900 10 11 12 13 14 15 16"), &name, n));
	assert_true(str_equals(name, "eth0"));
	assert_int_equal(n[0], 100);
	assert_int_equal(n[8], 900);
	assert_int_equal(n[11], 12);
	assert_false(network_line_parse(
		STR(" face |bytes    packets errs drop fifo frame compressed multicast|bytes"),
		&name, n));
	assert_false(network_line_parse(STR("Inter-|   Receive  |  Transmit"), &name, n));
	assert_false(network_line_parse(STR("eth0: 1 2 3"), &name, n));
	assert_false(network_line_parse(STR(""), &name, n));
}

static void test_mount_options(void **state)
{
	char *items[] = { (char *)"ro",     (char *)"nosuid",   (char *)"suid",    (char *)"rbind",
			  (char *)"rslave", (char *)"size=64k", (char *)"mode=755" };
	const struct strv list = { items, ARRAY_SIZE(items) };
	char *many[] = { (char *)"private", (char *)"private", (char *)"private", (char *)"private",
			 (char *)"private" };
	const struct strv too_many = { many, ARRAY_SIZE(many) };
	_cleanup_mount_options_ struct mount_options options = { 0 };
	struct cay_error err = { 0 };

	assert_ok(mount_options_parse(&list, &options, &err));
	assert_int_equal(options.flags, MS_RDONLY | MS_BIND | MS_REC);
	assert_int_equal(options.propagation_count, 1);
	assert_int_equal(options.propagation[0], MS_SLAVE | MS_REC);
	assert_string_equal(buf_text(&options.data), "size=64k,mode=755");
	assert_false(options.recursive_readonly);
	assert_true(mount_options_parse(&too_many, &options, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_log),
		cmocka_unit_test(test_process_stat),
		cmocka_unit_test(test_network_line),
		cmocka_unit_test(test_mount_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
