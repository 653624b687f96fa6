/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process runs as, by docker's rules. */
#include "test.h"

#include "guest/user.h"

#include <errno.h>
#include <string.h>

static const struct str passwd = STR("# a comment\n"
				     "root:x:0:0:root:/root:/bin/sh\n"
				     "broken:x:zero:0::/b:\n"
				     "short:x:5\n"
				     ":x:6:6::/nameless:\n"
				     "alice:x:1000:1001:A,,,:/home/alice:/bin/sh\n"
				     "alice:x:7:7::/second:\n"
				     "5000:x:42:43::/number:\n"
				     "nohome:x:60:61:::\n"
				     "last:x:70:71::/last");
static const struct str group = STR("root:x:0:\n"
				    "alice:x:1001:\n"
				    "video:x:44:bob,alice\n"
				    "bad:x::alice\n"
				    "audio:x:29:alice,\n"
				    "alic:x:30:alicea,xalice\n"
				    "77:x:78:\n");

struct expected {
	const char *spec;
	uid_t uid;
	gid_t gid;
	const char *home;
	gid_t groups[4];
	size_t group_count;
};

static void test_resolved(void **state)
{
	static const struct expected cases[] = {
		{ "", 0, 0, "/root", { 0 }, 1 },
		{ "root", 0, 0, "/root", { 0 }, 1 },
		{ "0", 0, 0, "/root", { 0 }, 1 },
		{ "alice", 1000, 1001, "/home/alice", { 1001, 44, 29 }, 3 },
		{ "1000", 1000, 1001, "/home/alice", { 1001, 44, 29 }, 3 },
		{ "alice:video", 1000, 44, "/home/alice", { 44 }, 1 },
		{ "alice:99", 1000, 99, "/home/alice", { 99 }, 1 },
		{ "alice:77", 1000, 78, "/home/alice", { 78 }, 1 },
		{ "alice:", 1000, 1001, "/home/alice", { 1001, 44, 29 }, 3 },
		{ "5000", 42, 43, "/number", { 43 }, 1 },
		{ "4999", 4999, 0, "/", { 0 }, 1 },
		{ "4999:4998", 4999, 4998, "/", { 4998 }, 1 },
		{ "nohome", 60, 61, "/", { 61 }, 1 },
		{ "last", 70, 71, "/last", { 71 }, 1 },
		{ "2147483647", INT32_MAX, 0, "/", { 0 }, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_user_ struct user user = { 0 };
		struct cay_error err = { 0 };

		assert_ok(user_resolve(cases[i].spec, NULL, passwd, group, &user, &err));
		assert_int_equal(user.uid, cases[i].uid);
		assert_int_equal(user.gid, cases[i].gid);
		assert_string_equal(user.home, cases[i].home);
		assert_int_equal(user.group_count, cases[i].group_count);
		assert_memory_equal(user.groups, cases[i].groups, user.group_count * sizeof(gid_t));
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *spec, *message;
	} cases[] = {
		{ "bob", "unable to find user bob: no matching entries in passwd file" },
		{ "broken", "unable to find user broken: no matching entries in passwd file" },
		{ "alice:nogroup",
		  "unable to find group nogroup: no matching entries in group file" },
		{ "2147483648", "uids and gids must be in range 0-2147483647" },
		{ "0:99999999999999999999", "uids and gids must be in range 0-2147483647" },
		{ "-1", "unable to find user -1: no matching entries in passwd file" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct user user = { 0 };
		struct cay_error err = { 0 };

		assert_true(user_resolve(cases[i].spec, NULL, passwd, group, &user, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
		assert_string_equal(err.message, cases[i].message);
		assert_null(user.groups);
	}
}

static void test_no_files(void **state)
{
	_cleanup_user_ struct user user = { 0 };
	struct cay_error err = { 0 };
	struct str none = { NULL, 0 };

	assert_ok(user_resolve("12:34", NULL, none, none, &user, &err));
	assert_int_equal(user.uid, 12);
	assert_int_equal(user.gid, 34);
	assert_true(user_resolve("root", NULL, none, none, &user, &err) < 0);
}

static void test_additional(void **state)
{
	char *names[] = { (char *)"audio", (char *)"123", (char *)"44", (char *)"77" };
	const struct strv additional = { names, ARRAY_SIZE(names) };
	static const gid_t expected[] = { 1001, 44, 29, 123, 78 };
	char *unknown[] = { (char *)"nobody" };
	const struct strv bad = { unknown, 1 };
	_cleanup_user_ struct user user = { 0 };
	struct cay_error err = { 0 };

	assert_ok(user_resolve("alice", &additional, passwd, group, &user, &err));
	assert_int_equal(user.group_count, ARRAY_SIZE(expected));
	assert_memory_equal(user.groups, expected, sizeof(expected));
	assert_true(user_add_groups(&user, &bad, group, &err) < 0);
	assert_string_equal(err.message,
			    "unable to find group nobody: no matching entries in group file");
}

static void test_home(void **state)
{
	_cleanup_free_ char *alice = user_home(1000, passwd), *none = user_home(9, passwd);

	assert_string_equal(alice, "/home/alice");
	assert_string_equal(none, "/");
}

static void test_file_kinds(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };

	assert_ok(user_read_file("/etc/no-such-file", &text, &err));
	assert_int_equal(text.length, 0);
	assert_ok(user_read_file("/etc/../etc/passwd", &text, &err));
	assert_true(text.length > 0);
	assert_true(user_read_file("/dev/null", &text, &err) < 0);
	assert_true(user_read_file("/etc", &text, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolved), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_files), cmocka_unit_test(test_additional),
		cmocka_unit_test(test_home),     cmocka_unit_test(test_file_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
