/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of volumes on a real root: names, use, removal, and what a daemon
 * makes of what a crash at any step left of its rows and directories.
 */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/events.h"
#include "daemon/volume-options.h"
#include "daemon/volumes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cay_error err;
static char root[64];
static struct daemon fake;

static void open_root(void)
{
	_cleanup_free_ char *path = path_join(root, "cay.db");

	fake = (struct daemon){ .options = { .root = root } };
	fake.events = events_new();
	assert_ok(database_open(path, &fake.database, &err));
	assert_ok(volumes_open(&fake, &fake.volumes, &err));
}

static void close_root(void)
{
	volumes_free(fake.volumes);
	database_close(fake.database);
	events_free(fake.events);
}

static int set_up(void **state)
{
	make_test_directory(root);
	open_root();
	return 0;
}

static int tear_down(void **state)
{
	close_root();
	return remove_tree(root, &err);
}

static void reopen(void)
{
	close_root();
	open_root();
}

static struct volume *make(const char *name, const char *user)
{
	struct volume *volume = NULL;

	assert_ok(volumes_create(fake.volumes, name, NULL, NULL, user, &volume, NULL, &err));
	return volume;
}

static bool exists(const char *name)
{
	_cleanup_volume_ struct volume *volume = NULL;

	return volumes_find(fake.volumes, name, &volume, &err) == 0;
}

static char *in_root(const char *format, ...) cay_printf(1, 2);

static char *in_root(const char *format, ...)
{
	_cleanup_free_ char *rest = NULL;
	va_list args;

	va_start(args, format);
	rest = xvasprintf(format, args);
	va_end(args);
	return path_join(root, rest);
}

static void put_file(const char *path, size_t size)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
}

/* ---- names ---- */

static void test_names(void **state)
{
	static const struct {
		const char *name, *message;
	} cases[] = {
		{ "a",
		  "create a: volume name is too short, names should be at least two "
		  "alphanumeric characters" },
		{ "a/b",
		  "create a/b: \"a/b\" includes invalid characters for a local volume name, "
		  "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a "
		  "host directory, use absolute path" },
		{ "..", "create ..: \"..\" includes invalid characters" },
		{ ".making-x", "create .making-x: \".making-x\" includes invalid" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct volume *volume = NULL;

		assert_true(volumes_create(fake.volumes, cases[i].name, NULL, NULL, NULL, &volume,
					   NULL, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
		assert_int_equal(strncmp(err.message, cases[i].message, strlen(cases[i].message)),
				 0);
	}
}

static void test_create(void **state)
{
	_cleanup_json_ json_t *labels = json_pack("{s:s}", "k", "v");
	_cleanup_volume_ struct volume *volume = NULL, *again = NULL, *nameless = NULL;
	struct stat status;
	mode_t mask = umask(0077);
	bool made = false;

	assert_ok(volumes_create(fake.volumes, "data", NULL, labels, NULL, &volume, &made, &err));
	(void)umask(mask);
	assert_true(made);
	assert_int_equal(stat(volume->mountpoint, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0755); /* whatever the umask */
	/* As docker's: the second time is the first. */
	assert_ok(volumes_create(fake.volumes, "data", NULL, NULL, NULL, &again, &made, &err));
	assert_false(made);
	assert_ptr_equal(again, volume);
	assert_ok(volumes_create(fake.volumes, NULL, NULL, NULL, NULL, &nameless, &made, &err));
	assert_int_equal(strlen(nameless->name), 64);
	assert_non_null(json_object_get(nameless->labels, VOLUME_ANONYMOUS_LABEL));
}

static void test_options(void **state)
{
	static const struct {
		const char *options, *message;
		enum cay_code code;
	} cases[] = {
		{ "{\"foo\":\"x\"}", "create vv: invalid option: \"foo\"", CAY_INVALID },
		{ "{\"type\":\"tmpfs\"}", "create vv: missing required option: \"device\"",
		  CAY_INVALID },
		{ "{\"device\":\"/x\"}", "create vv: missing required option: \"type\"",
		  CAY_INVALID },
		{ "{\"o\":\"bind\"}", "create vv: missing required option: \"device\"",
		  CAY_INVALID },
		{ "{\"type\":\"none\",\"device\":\"/x\"}", "create vv: a volume with type=none",
		  CAY_INVALID },
		{ "{\"type\":\"none\",\"o\":\"bind\",\"device\":\"x\"}",
		  "create vv: device \"x\" is not an absolute path", CAY_INVALID },
		{ "{\"type\":\"ext4\",\"device\":\"/dev/sdz\"}",
		  "create vv: volume type ext4:", CAY_UNSUPPORTED },
		{ "{\"type\":[]}", "create vv: option \"type\" is not a string", CAY_INVALID },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *options = json_loads(cases[i].options, 0, NULL);
		struct volume *volume = NULL;

		assert_true(volumes_create(fake.volumes, "vv", options, NULL, NULL, &volume, NULL,
					   &err) < 0);
		assert_int_equal(strncmp(err.message, cases[i].message, strlen(cases[i].message)),
				 0);
		assert_int_equal(err.code, cases[i].code);
		assert_false(exists("vv"));
	}
}

/* ---- use and removal ---- */

static void test_in_use(void **state)
{
	_cleanup_volume_ struct volume *volume = make("data", "c1"), *again = make("data", "c2");

	assert_int_equal(volumes_count_users(fake.volumes, "data"), 2);
	assert_true(volumes_remove(fake.volumes, "data", &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	assert_string_equal(err.message, "remove data: volume is in use - [c1, c2]");
	volumes_release(fake.volumes, "data", "c1");
	assert_true(volumes_remove(fake.volumes, "data", &err) < 0);
	volumes_release(fake.volumes, "data", "c2");
	assert_ok(volumes_remove(fake.volumes, "data", &err));
	assert_false(file_exists(volume->directory));
	assert_true(volumes_remove(fake.volumes, "data", &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_string_equal(err.message, "get data: no such volume");
	assert_true(volumes_hold(fake.volumes, "data", "c1", &err) < 0);
}

static void test_usage(void **state)
{
	_cleanup_volume_ struct volume *volume = make("data", NULL);
	_cleanup_free_ char *one = path_join(volume->mountpoint, "one");
	_cleanup_free_ char *two = path_join(volume->mountpoint, "two");
	_cleanup_free_ char *below = path_join(volume->mountpoint, "below");
	_cleanup_free_ char *link = path_join(below, "link"), *up = path_join(below, "up");
	_cleanup_free_ char *three = path_join(below, "three");

	put_file(one, 1000);
	assert_int_equal(mkdir(below, 0700), 0);
	put_file(three, 500);
	assert_int_equal(linkat(AT_FDCWD, one, AT_FDCWD, two, 0), 0);
	assert_int_equal(symlink("/usr", link), 0);
	assert_int_equal(symlink("..", up), 0);
	/* Each file once, and links not followed. */
	assert_int_equal(volume_usage(volume), 1500 + strlen("/usr") + strlen(".."));
}

static void test_list_is_sorted(void **state)
{
	_cleanup_volume_list_ struct volume_list list = { 0 };
	static const char *const names[] = { "bb", "aa", "cc", "ab" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		volume_unref(make(names[i], NULL));
	volumes_list(fake.volumes, &list);
	assert_int_equal(list.count, 4);
	assert_string_equal(list.items[0]->name, "aa");
	assert_string_equal(list.items[1]->name, "ab");
	assert_string_equal(list.items[3]->name, "cc");
}

/* ---- after a crash ---- */

static void test_reopened(void **state)
{
	_cleanup_json_ json_t *labels = json_pack("{s:s}", "k", "v");
	_cleanup_json_ json_t *options =
		json_pack("{s:s, s:s}", "type", "tmpfs", "device", "tmpfs");
	_cleanup_volume_ struct volume *volume = NULL, *found = NULL;

	assert_ok(volumes_create(fake.volumes, "data", options, labels, NULL, &volume, NULL, &err));
	reopen();
	assert_ok(volumes_find(fake.volumes, "data", &found, &err));
	assert_int_equal(found->kind, VOLUME_MOUNT);
	assert_int_equal(found->created_ns, volume->created_ns);
	assert_true(json_equal(found->labels, labels));
	assert_true(json_equal(found->options, options));
}

/* Each state between two steps of making and removing a volume. */
static void test_crashes(void **state)
{
	_cleanup_free_ char *making = in_root("volumes/.making-x");
	_cleanup_free_ char *making_data = in_root("volumes/.making-x/_data");
	_cleanup_free_ char *fresh = in_root("volumes/fresh");
	_cleanup_free_ char *fresh_data = in_root("volumes/fresh/_data");
	_cleanup_free_ char *found = in_root("volumes/found");
	_cleanup_free_ char *found_data = in_root("volumes/found/_data");
	_cleanup_free_ char *found_file = in_root("volumes/found/_data/file");
	_cleanup_free_ char *removing = in_root("volumes/.removing-x");
	_cleanup_volume_ struct volume *gone = make("gone", NULL);

	/* made, not renamed; renamed, no row; the same with contents; renamed away, the row there
	 */
	assert_int_equal(mkdir(making, 0700) | mkdir(making_data, 0700), 0);
	assert_int_equal(mkdir(fresh, 0700) | mkdir(fresh_data, 0700), 0);
	assert_int_equal(mkdir(found, 0700) | mkdir(found_data, 0700), 0);
	put_file(found_file, 1);
	assert_int_equal(rename(gone->directory, removing), 0);
	reopen();
	assert_false(file_exists(making) || file_exists(fresh) || file_exists(removing));
	assert_false(exists("gone") || exists("fresh"));
	assert_true(exists("found"));
	assert_true(file_exists(found_file));
	/* All names are usable, and what was found is a volume for good. */
	volume_unref(make("gone", NULL));
	volume_unref(make("fresh", NULL));
	reopen();
	assert_true(exists("gone") && exists("fresh") && exists("found"));
	assert_true(file_exists(found_file));
}

/* A disk that is found without its row is shown as large as it is. */
static void test_found_disk(void **state)
{
	_cleanup_json_ json_t *options = json_pack("{s:s, s:s}", "type", "block", "size", "48m");
	struct volume *volume = NULL;

	assert_ok(volumes_create(fake.volumes, "disk", options, NULL, NULL, &volume, NULL, &err));
	assert_true(volume->size == 48 * MIB);
	volume_unref(volume);
	assert_ok(database_delete_volume(fake.database, "disk", &err));
	reopen();
	assert_ok(volumes_find(fake.volumes, "disk", &volume, &err));
	assert_int_equal(volume->kind, VOLUME_BLOCK);
	assert_true(volume->size == 48 * MIB);
	volume_unref(volume);
}

static void test_bad_row(void **state)
{
	const struct database_volume row = { .name = "../x", .created_ns = 1, .document = "{}" };
	const struct database_volume torn = { .name = "torn",
					      .created_ns = 1,
					      .document = "{\"Op" };

	volume_unref(make("good", NULL));
	assert_ok(database_store_volume(fake.database, &row, &err));
	assert_ok(database_store_volume(fake.database, &torn, &err));
	reopen();
	assert_true(exists("good"));
	assert_false(exists("../x") || exists("torn"));
}

/* A full or broken place: nothing is left behind. */
static void test_failed_create(void **state)
{
	_cleanup_free_ char *blocker = in_root("volumes/data");
	_cleanup_free_ char *inner = in_root("volumes/data/x");
	_cleanup_volume_list_ struct volume_list list = { 0 };
	struct volume *volume = NULL;

	assert_int_equal(mkdir(blocker, 0700) | mkdir(inner, 0700), 0);
	assert_true(volumes_create(fake.volumes, "data", NULL, NULL, NULL, &volume, NULL, &err) <
		    0);
	volumes_list(fake.volumes, &list);
	assert_int_equal(list.count, 0);
	assert_int_equal(rmdir(inner) | rmdir(blocker), 0);
	volume_unref(make("data", NULL));
}

/* A database that takes nothing: a volume that is not removed keeps what it holds. */
static void test_failed_removal(void **state)
{
	_cleanup_volume_ struct volume *volume = make("data", NULL);
	_cleanup_free_ char *file = path_join(volume->mountpoint, "file");
	struct rlimit before, none;

	put_file(file, 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_true(volumes_remove(fake.volumes, "data", &err) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(exists("data") && file_exists(file));
	reopen();
	assert_true(exists("data") && file_exists(file));
	assert_ok(volumes_remove(fake.volumes, "data", &err));
	assert_false(file_exists(volume->directory));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_names),    TEST(test_create),        TEST(test_options),
		TEST(test_in_use),   TEST(test_usage),         TEST(test_list_is_sorted),
		TEST(test_reopened), TEST(test_crashes),       TEST(test_found_disk),
		TEST(test_bad_row),  TEST(test_failed_create), TEST(test_failed_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
