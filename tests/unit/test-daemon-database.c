/* SPDX-License-Identifier: Apache-2.0 */
/* The database, and the table of containers with its names. */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/database.h"

#include <fcntl.h>
#include <sqlite3.h>

static struct cay_error err;
static char directory[64];
static char *path;

static int setup(void **state)
{
	make_test_directory(directory);
	path = path_join(directory, "cay.db");
	return 0;
}

static int teardown(void **state)
{
	free(path);
	return remove_tree(directory, &err);
}

static struct database *open_database(void)
{
	struct database *database = NULL;

	assert_ok(database_open(path, &database, &err));
	return database;
}

static const struct database_container row = {
	.id = "aa",
	.name = "one",
	.image_id = "sha256:x",
	.image_name = "x",
	.created_ns = 5,
	.vm_uid = 2000000001,
	.request = "{}",
	.status = "created",
	.error = "",
};

static int count_row(const struct database_container *found, void *user, struct cay_error *error)
{
	struct database_container *copy = user;

	copy->created_ns += found->created_ns;
	copy->exit_code = found->exit_code;
	copy->oom_killed = found->oom_killed;
	assert_string_equal(found->request, "{}");
	return 0;
}

static void test_rows_last(void **state)
{
	struct database *database = open_database();
	struct database_container sum = { 0 }, update = row;
	char id[ID_SIZE], again[ID_SIZE];

	assert_ok(database_root_id(database, id, &err));
	assert_ok(database_insert_container(database, &row, NULL, 0, &err));
	update.status = "exited";
	update.exit_code = 42;
	update.oom_killed = true;
	assert_ok(database_update_container(database, &update, &err));
	assert_ok(database_rename_container(database, "aa", "two", &err));
	database_close(database);
	database = open_database();
	assert_ok(database_each_container(database, count_row, &sum, &err));
	assert_int_equal(sum.created_ns, 5);
	assert_int_equal(sum.exit_code, 42);
	assert_true(sum.oom_killed);
	assert_ok(database_root_id(database, again, &err));
	assert_string_equal(id, again);
	assert_ok(database_delete_container(database, "aa", false, &err));
	assert_ok(database_delete_container(database, "aa", false, &err));
	sum = (struct database_container){ 0 };
	assert_ok(database_each_container(database, count_row, &sum, &err));
	assert_int_equal(sum.created_ns, 0);
	database_close(database);
}

/* A row that need not outlive a power cut is there like any other while there is none. */
static void test_fleeting(void **state)
{
	struct database *database = open_database();
	struct database_container sum = { 0 }, fleeting = row;

	fleeting.fleeting = true;
	assert_ok(database_insert_container(database, &fleeting, NULL, 0, &err));
	assert_true(database_insert_container(database, &fleeting, NULL, 0, &err) < 0);
	fleeting.exit_code = 3;
	assert_ok(database_update_container(database, &fleeting, &err));
	database_close(database);
	database = open_database();
	assert_ok(database_each_container(database, count_row, &sum, &err));
	assert_int_equal(sum.created_ns, 5);
	assert_int_equal(sum.exit_code, 3);
	assert_ok(database_delete_container(database, "aa", true, &err));
	sum = (struct database_container){ 0 };
	assert_ok(database_each_container(database, count_row, &sum, &err));
	assert_int_equal(sum.created_ns, 0);
	database_close(database);
}

static void test_unique(void **state)
{
	struct database *database = open_database();
	struct database_container other = row;

	assert_ok(database_insert_container(database, &row, NULL, 0, &err));
	other.id = "bb";
	other.vm_uid++;
	assert_true(database_insert_container(database, &other, NULL, 0, &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	other.name = "two";
	other.vm_uid = row.vm_uid;
	assert_true(database_insert_container(database, &other, NULL, 0, &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	/* many may have no uid */
	other.vm_uid = 0;
	assert_ok(database_insert_container(database, &other, NULL, 0, &err));
	other.id = "cc";
	other.name = "three";
	assert_ok(database_insert_container(database, &other, NULL, 0, &err));
	assert_true(database_rename_container(database, "cc", "two", &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	database_close(database);
}

static int sum_endpoint(const struct database_endpoint *found, void *user, struct cay_error *error)
{
	struct buf *text = user;

	buf_printf(text, "%s@%s#%d %s %s %s;", found->container_id, found->network, found->position,
		   found->mac, found->ipv4, found->ipv6);
	return 0;
}

static void assert_endpoints(struct database *database, const char *expected)
{
	_cleanup_buf_ struct buf text = { 0 };

	assert_ok(database_each_endpoint(database, sum_endpoint, &text, &err));
	assert_string_equal(buf_text(&text), expected);
}

static void test_endpoints(void **state)
{
	struct database *database = open_database();
	struct database_container other = row;
	struct database_endpoint endpoints[] = {
		{ "aa", "two", 1, "e2", "{}", "m2", "", "fd00::2" },
		{ "aa", "one", 0, "e1", "{}", "m1", "10.0.0.1", "" },
	};

	assert_ok(database_insert_container(database, &row, endpoints, 2, &err));
	assert_endpoints(database, "aa@one#0 m1 10.0.0.1 ;aa@two#1 m2  fd00::2;");
	endpoints[0].ipv4 = "10.0.0.9";
	assert_ok(database_store_endpoint(database, &endpoints[0], &err));
	assert_ok(database_delete_endpoint(database, "aa", "one", &err));
	assert_ok(database_delete_endpoint(database, "aa", "none of them", &err));
	assert_endpoints(database, "aa@two#1 m2 10.0.0.9 fd00::2;");
	/* whole or not at all: the second row is the first once more */
	other.id = "bb";
	other.name = "two";
	other.vm_uid = 0;
	endpoints[0].container_id = "nobody";
	assert_true(database_insert_container(database, &other, endpoints, 1, &err) < 0);
	assert_ok(database_insert_container(database, &other, NULL, 0, &err));
	assert_ok(database_delete_container(database, "aa", false, &err));
	assert_endpoints(database, "");
	database_close(database);
}

static int sum_network(const struct database_network *found, void *user, struct cay_error *error)
{
	buf_printf(user, "%s %s %d %s;", found->id, found->name, (int)found->created_ns,
		   found->document);
	return 0;
}

static void test_networks(void **state)
{
	struct database *database = open_database();
	struct database_network network = { "n1", "web", 7, "{}" };
	_cleanup_buf_ struct buf text = { 0 };
	char value[8];

	assert_ok(database_store_network(database, &network, &err));
	network.id = "n2";
	network.document = "{1}";
	assert_ok(database_store_network(database, &network, &err));
	assert_ok(database_each_network(database, sum_network, &text, &err));
	assert_string_equal(buf_text(&text), "n2 web 7 {1};");
	assert_ok(database_delete_network(database, "n2", &err));
	buf_clear(&text);
	assert_ok(database_each_network(database, sum_network, &text, &err));
	assert_string_equal(buf_text(&text), "");
	assert_int_equal(database_get_meta(database, "ula", value, sizeof(value), &err), 0);
	assert_ok(database_set_meta(database, "ula", "fd", &err));
	assert_int_equal(database_get_meta(database, "ula", value, sizeof(value), &err), 1);
	assert_string_equal(value, "fd");
	database_close(database);
}

/* A root of the time before there were networks. */
static void test_upgrade(void **state)
{
	static const char old[] =
		"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
		"CREATE TABLE containers(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
		" image_id TEXT NOT NULL, image_name TEXT NOT NULL, created_ns INTEGER NOT NULL,"
		" vm_uid INTEGER UNIQUE, request TEXT NOT NULL, status TEXT NOT NULL,"
		" started_ns INTEGER NOT NULL, finished_ns INTEGER NOT NULL,"
		" exit_code INTEGER NOT NULL, oom_killed INTEGER NOT NULL, error TEXT NOT NULL);"
		"INSERT INTO containers VALUES('a','a','','',1,NULL,'{\"HostConfig\":"
		"{\"NetworkMode\":\"default\"}}','exited',1,2,0,0,'');"
		"INSERT INTO containers VALUES('b','b','','',1,NULL,'{\"HostConfig\":"
		"{\"NetworkMode\":\"none\"}}','exited',1,2,0,0,'');"
		"INSERT INTO containers VALUES('c','c','','',1,NULL,'{}','exited',1,2,0,0,'');"
		"INSERT INTO containers VALUES('d','d','','',1,NULL,'{\"Host','exited',1,2,0,0,'');"
		"PRAGMA user_version = 1;";
	struct database *database;
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, old, NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(handle);
	database = open_database();
	assert_endpoints(database, "a@bridge#0   ;c@bridge#0   ;");
	database_close(database);
}

static void test_foreign_files(void **state)
{
	struct database *database = NULL;
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "PRAGMA user_version = 9999", NULL, NULL, NULL),
			 SQLITE_OK);
	(void)sqlite3_close(handle);
	assert_true(database_open(path, &database, &err) < 0);
	assert_int_equal(err.code, CAY_UNSUPPORTED);
	assert_non_null(strstr(err.message, "newer"));
	assert_ok(file_write_atomic(path, "this is no database at all, but long enough to be one",
				    53, 0600, &err));
	assert_true(database_open(path, &database, &err) < 0);
	assert_int_equal(err.code, CAY_CORRUPT);
}

/* ---- the table ---- */

static struct daemon fake = { .options = { .root = (char *)"/root", .run = (char *)"/run" } };

static struct container *add(struct containers *containers, char first, const char *name)
{
	_cleanup_free_ char *reserved = NULL;
	struct container *container;
	char id[ID_SIZE];

	memset(id, '0', ID_LENGTH);
	id[0] = first;
	id[ID_LENGTH] = '\0';
	assert_ok(containers_reserve(containers, name, id, &reserved, &err));
	container = container_new(&fake, id, reserved, "", "", NULL);
	containers_add(containers, container);
	container_unref(container); /* the table's is left */
	return container;
}

static struct container *find(struct containers *containers, const char *name)
{
	struct container *container = NULL;

	cay_error_clear(&err);
	(void)containers_find(containers, name, &container, &err);
	container_unref(container); /* the table's is left */
	return container;
}

static void test_resolution(void **state)
{
	struct containers *containers = containers_new();
	struct container *a = add(containers, 'a', "/web"), *b = add(containers, 'b', "db");
	struct container *named_like_an_id = add(containers, 'c', "b0");
	char *name;

	assert_ptr_equal(find(containers, "web"), a);
	assert_ptr_equal(find(containers, "/web"), a);
	assert_ptr_equal(find(containers, "a"), a);
	assert_ptr_equal(find(containers, b->id), b);
	assert_ptr_equal(find(containers, "b0"), named_like_an_id); /* a name before a prefix */
	assert_ptr_equal(find(containers, "b00"), b);
	assert_null(find(containers, "nope"));
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_string_equal(err.message, "No such container: nope");
	assert_null(find(containers, ""));
	assert_null(find(containers, "/"));
	memcpy(b->id, "a1", 2);
	assert_null(find(containers, "a"));
	assert_int_equal(err.code, CAY_INVALID);
	assert_ptr_equal(find(containers, "a1"), b);
	assert_true(containers_reserve(containers, "web", "x", &name, &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	assert_non_null(strstr(err.message, "is already in use by container \"a0"));
	assert_true(containers_reserve(containers, "a b", "x", &name, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	containers_free(containers);
}

static void test_names_come_back(void **state)
{
	struct containers *containers = containers_new();
	struct container *a = add(containers, 'a', "web");
	char *name = NULL;

	/* only the owner gives a name back */
	containers_release(containers, "web", "other");
	assert_true(containers_reserve(containers, "web", "x", &name, &err) < 0);
	assert_ok(containers_reserve(containers, "new", a->id, &name, &err));
	containers_rename(containers, a, name);
	assert_string_equal(a->name, "new");
	free(name);
	assert_ok(containers_reserve(containers, "web", "x", &name, &err));
	free(name);
	containers_release(containers, "web", "x");
	containers_remove(containers, a);
	assert_ok(containers_reserve(containers, "new", "y", &name, &err));
	free(name);
	for (int i = 0; i < 5000; i++) { /* more than there are pairs of words */
		assert_ok(containers_reserve(containers, NULL, "z", &name, &err));
		assert_true(name_is_valid(name));
		free(name);
	}
	containers_free(containers);
}

static void test_watch(void **state)
{
	struct containers *containers = containers_new();
	struct container *a = add(containers, 'a', "web");
	struct container_watch watch;
	uint64_t count;

	assert_ok(container_watch_add(a, &watch, &err));
	assert_true(read(watch.fd, &count, sizeof(count)) < 0);
	container_set_status(a, CONTAINER_STARTING);
	container_set_status(a, CONTAINER_RUNNING);
	assert_int_equal(read(watch.fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 2);
	assert_int_equal(a->exits, 0);
	container_set_status(a, CONTAINER_EXITED);
	assert_int_equal(a->exits, 1);
	container_watch_clear(&watch);
	assert_true(read(watch.fd, &count, sizeof(count)) < 0);
	container_watch_remove(a, &watch);
	assert_int_equal(watch.fd, -1);
	containers_free(containers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fleeting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unique, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endpoints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_networks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
		cmocka_unit_test(test_resolution),
		cmocka_unit_test(test_names_come_back),
		cmocka_unit_test(test_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
