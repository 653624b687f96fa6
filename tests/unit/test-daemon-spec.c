/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI runtime configuration that comes of a request. */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/spec.h"

static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static struct cay_error err;

static struct request *take(const char *body)
{
	_cleanup_json_ json_t *json = json_loads(body, 0, NULL);
	_cleanup_strv_ struct strv warnings = { 0 };
	struct request *request = NULL;

	assert_non_null(json);
	assert_ok(request_parse(json, NULL, 4, &request, &warnings, &err));
	return request;
}

static json_t *make(const char *body)
{
	_cleanup_request_ struct request *request = take(body);
	_cleanup_free_ char *text = spec_make(request, id, &(struct spec_mounts){ 0 });
	json_t *spec = json_loads(text, 0, NULL);

	assert_non_null(spec);
	return spec;
}

/* The member at a path of keys and indexes, "process/args/0". */
static json_t *at(json_t *value, const char *path)
{
	struct str rest = str_from(path);

	while (rest.length > 0) {
		struct str part = str_split(rest, '/', &rest);
		_cleanup_free_ char *key = str_dup(part);
		uint64_t index;

		if (json_is_array(value) && parse_u64(key, 1000, &index) == 0)
			value = json_array_get(value, index);
		else
			value = json_object_get(value, key);
	}
	return value;
}

static const char *text_at(json_t *value, const char *path)
{
	return json_string_value(at(value, path)) ?: "(none)";
}

static bool has_text(json_t *array, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(array, i, item) {
		if (strcmp(json_string_value(item) ?: "", text) == 0)
			return true;
	}
	return false;
}

static json_t *mount_at(json_t *spec, const char *target)
{
	json_t *mount;
	size_t i;

	json_array_foreach(at(spec, "mounts"), i, mount) {
		if (strcmp(text_at(mount, "destination"), target) == 0)
			return mount;
	}
	return NULL;
}

static void test_plain(void **state)
{
	_cleanup_json_ json_t *spec = make("{\"Image\":\"a\",\"Cmd\":[\"sh\",\"-c\",\"x y\"]}");

	assert_string_equal(text_at(spec, "process/args/2"), "x y");
	assert_string_equal(text_at(spec, "process/cwd"), "/");
	assert_string_equal(text_at(spec, "hostname"), "0123456789ab");
	assert_true(has_text(at(spec, "process/env"), "HOSTNAME=0123456789ab"));
	assert_true(has_text(at(spec, "process/env"),
			     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
	assert_false(has_text(at(spec, "process/env"), "TERM=xterm"));
	assert_true(has_text(at(spec, "process/capabilities/bounding"), "CAP_CHOWN"));
	assert_false(has_text(at(spec, "process/capabilities/bounding"), "CAP_SYS_ADMIN"));
	assert_true(json_is_false(at(spec, "root/readonly")));
	assert_string_equal(text_at(mount_at(spec, "/dev/shm"), "type"), "tmpfs");
	assert_true(has_text(at(mount_at(spec, "/sys"), "options"), "ro"));
	assert_string_equal(text_at(mount_at(spec, "/etc/hosts"), "type"), "bind");
	assert_true(has_text(at(spec, "linux/maskedPaths"), "/proc/kcore"));
	assert_null(at(spec, "linux/resources/memory/limit"));
	assert_null(at(spec, "linux/resources/cpu/quota"));
}

static void test_env(void **state)
{
	_cleanup_json_ json_t *spec = make("{\"Image\":\"a\",\"Cmd\":[\"a\"],\"Tty\":true,"
					   "\"Env\":[\"PATH=/x\",\"A=1\",\"A=2\",\"TERM\"]}");
	json_t *env = at(spec, "process/env");

	assert_true(has_text(env, "PATH=/x"));
	assert_true(has_text(env, "A=2"));
	assert_false(has_text(env, "A=1"));
	assert_false(has_text(env, "TERM=xterm")); /* a name alone takes it away */
	assert_int_equal(json_array_size(env), 3);
}

static void test_limits(void **state)
{
	_cleanup_json_ json_t *spec = make(
		"{\"Image\":\"a\",\"Cmd\":[\"a\"],\"HostConfig\":{\"Memory\":67108864,"
		"\"NanoCpus\":1500000000,\"PidsLimit\":50,\"ShmSize\":1048576,\"Ulimits\":[{\"Name\":"
		"\"nofile\",\"Soft\":10,\"Hard\":20}],\"Sysctls\":{\"net.core.somaxconn\":\"99\"},"
		"\"ReadonlyRootfs\":true,\"SecurityOpt\":[\"no-new-privileges\"],\"OomScoreAdj\":5,"
		"\"Tmpfs\":{\"/t\":\"size=1m\",\"/dev/shm\":\"\"}}}");

	assert_int_equal(json_integer_value(at(spec, "linux/resources/memory/limit")), 67108864);
	assert_int_equal(json_integer_value(at(spec, "linux/resources/cpu/quota")), 150000);
	assert_int_equal(json_integer_value(at(spec, "linux/resources/cpu/period")), 100000);
	assert_int_equal(json_integer_value(at(spec, "linux/resources/pids/limit")), 50);
	assert_string_equal(text_at(spec, "process/rlimits/0/type"), "RLIMIT_NOFILE");
	assert_int_equal(json_integer_value(at(spec, "process/rlimits/0/hard")), 20);
	assert_string_equal(
		json_string_value(json_object_get(at(spec, "linux/sysctl"), "net.core.somaxconn")),
		"99");
	assert_true(json_is_true(at(spec, "root/readonly")));
	assert_true(has_text(at(mount_at(spec, "/etc/hosts"), "options"), "ro"));
	assert_true(json_is_true(at(spec, "process/noNewPrivileges")));
	assert_int_equal(json_integer_value(at(spec, "process/oomScoreAdj")), 5);
	assert_true(has_text(at(mount_at(spec, "/t"), "options"), "size=1m"));
	/* the client's mount stands in the place of the default one */
	assert_string_equal(text_at(mount_at(spec, "/dev/shm"), "source"), "tmpfs");
}

static void test_privileged(void **state)
{
	_cleanup_json_ json_t *spec = make("{\"Image\":\"a\",\"Cmd\":[\"a\"],\"HostConfig\":"
					   "{\"Privileged\":true,\"PidMode\":\"host\"}}");
	json_t *namespaces = at(spec, "linux/namespaces"), *item;
	size_t i;

	assert_true(has_text(at(spec, "process/capabilities/effective"), "CAP_SYS_ADMIN"));
	assert_int_equal(json_array_size(at(spec, "linux/maskedPaths")), 0);
	assert_int_equal(json_array_size(at(spec, "linux/readonlyPaths")), 0);
	assert_true(has_text(at(mount_at(spec, "/sys"), "options"), "rw"));
	assert_true(json_is_true(at(spec, "linux/resources/devices/0/allow")));
	json_array_foreach(namespaces, i, item)
		assert_string_not_equal(text_at(item, "type"), "pid");
}

static void test_exec(void **state)
{
	_cleanup_request_ struct request *request =
		take("{\"Image\":\"a\",\"Cmd\":[\"a\"],\"Env\":[\"A=1\"],\"WorkingDir\":\"/w\"}");
	_cleanup_strv_ struct strv arguments = { 0 }, env = { 0 };
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *process = NULL;

	strv_add(&arguments, "id");
	strv_add(&env, "B=2");
	text = spec_make_exec(request, id,
			      &(struct spec_exec){ .arguments = &arguments,
						   .env = &env,
						   .tty = true,
						   .columns = 80,
						   .rows = 24 });
	process = json_loads(text, 0, NULL);
	assert_string_equal(text_at(process, "args/0"), "id");
	assert_string_equal(text_at(process, "cwd"), "/w");
	assert_true(has_text(at(process, "env"), "A=1"));
	assert_true(has_text(at(process, "env"), "B=2"));
	assert_true(has_text(at(process, "env"), "TERM=xterm"));
	assert_int_equal(json_integer_value(at(process, "consoleSize/width")), 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),  cmocka_unit_test(test_env),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_privileged),
		cmocka_unit_test(test_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
