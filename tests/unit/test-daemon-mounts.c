/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of create requests: docker's syntaxes, their checks, what is stored, the order. */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/request.h"
#include "daemon/spec.h"

static struct cay_error err;
static struct strv warnings;

static int try_host(const char *members, const char *image, struct request **ret)
{
	_cleanup_free_ char *text = xasprintf("{\"Cmd\":[\"a\"],\"HostConfig\":{%s}}", members);
	_cleanup_json_ json_t *body = json_loads(text, 0, NULL);
	_cleanup_json_ json_t *config = image ? json_loads(image, 0, NULL) : NULL;

	assert_non_null(body);
	cay_error_clear(&err);
	strv_done(&warnings);
	return request_parse(body, config, 2, ret, &warnings, &err);
}

static struct request *take(const char *members)
{
	struct request *request = NULL;

	assert_ok(try_host(members, NULL, &request));
	return request;
}

/* ---- -v ---- */

static void test_binds(void **state)
{
	static const struct {
		const char *bind;
		enum mount_type type;
		const char *source, *target, *mode;
		bool read_only, cached, no_copy;
		enum mount_propagation propagation;
	} cases[] = {
		{ "/a:/b", MOUNT_BIND, "/a", "/b", "", .propagation = MOUNT_RPRIVATE },
		{ "/a/../x//y/:/b/.", MOUNT_BIND, "/x/y", "/b", "" },
		{ "/a:/b:ro", MOUNT_BIND, "/a", "/b", "ro", .read_only = true },
		{ "/a:/b:ro,Z,rslave,cached", MOUNT_BIND, "/a", "/b", "ro,Z,rslave,cached",
		  .read_only = true, .cached = true, .propagation = MOUNT_RSLAVE },
		{ "/a:/b:consistent", MOUNT_BIND, "/a", "/b", "consistent" },
		{ "/a:/b:delegated", MOUNT_BIND, "/a", "/b", "delegated", .cached = true },
		{ "/a:/b:shared", MOUNT_BIND, "/a", "/b", "shared", .propagation = MOUNT_SHARED },
		{ "data:/b", MOUNT_VOLUME, "data", "/b", "z" },
		{ "data:/b:nocopy,ro", MOUNT_VOLUME, "data", "/b", "nocopy,ro", .read_only = true,
		  .no_copy = true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *members = xasprintf("\"Binds\":[\"%s\"]", cases[i].bind);
		_cleanup_request_ struct request *request = take(members);
		const struct mount_point *point = &request->mounts[0];

		assert_int_equal(request->mount_count, 1);
		assert_int_equal(point->type, cases[i].type);
		assert_string_equal(point->type == MOUNT_BIND ? point->source : point->name,
				    cases[i].source);
		assert_string_equal(point->target, cases[i].target);
		assert_string_equal(point->mode, cases[i].mode);
		assert_int_equal(point->read_only, cases[i].read_only);
		assert_int_equal(point->cached, cases[i].cached);
		assert_int_equal(point->no_copy, cases[i].no_copy);
		assert_int_equal(point->propagation, cases[i].propagation);
		assert_int_equal(point->create_source, point->type == MOUNT_BIND);
		assert_int_equal(warnings.count, cases[i].propagation == MOUNT_SHARED);
	}
}

static void test_anonymous(void **state)
{
	_cleanup_request_ struct request *request = take("\"Binds\":[\"/data\"]");

	assert_true(request->mounts[0].anonymous);
	assert_int_equal(strlen(request->mounts[0].name), 64);
	assert_string_equal(request->mounts[0].mode, "");
}

/* ---- refusals, in docker's words ---- */

static void test_refusals(void **state)
{
	static const struct {
		const char *members, *message;
	} cases[] = {
		{ "\"Binds\":[\"\"]", "invalid volume specification: ''" },
		{ "\"Binds\":[\"/a:/b:ro:x\"]", "invalid volume specification: '/a:/b:ro:x'" },
		{ "\"Binds\":[\"/a:ro\"]", "invalid volume specification: '/a:ro'" },
		{ "\"Binds\":[\":/b\"]", "invalid volume specification: ':/b'" },
		{ "\"Binds\":[\"/a:/b:nope\"]", "invalid mode: nope" },
		{ "\"Binds\":[\"/a:/b:ro,rw\"]", "invalid mode: ro,rw" },
		{ "\"Binds\":[\"/a:/b:ro,\"]", "invalid mode: ro," },
		{ "\"Binds\":[\"/a:b\"]",
		  "invalid volume specification: '/a:b': invalid mount config for type \"bind\": "
		  "invalid mount path: 'b' mount path must be absolute" },
		{ "\"Binds\":[\"/a:/\"]",
		  "invalid volume specification: '/a:/': invalid mount config for type \"bind\": "
		  "invalid specification: destination can't be '/'" },
		{ "\"Binds\":[\"/a:/x/..\"]",
		  "invalid volume specification: '/a:/x/..': invalid mount config for type "
		  "\"bind\": invalid specification: destination can't be '/'" },
		{ "\"Binds\":[\"v:/b:rslave\"]",
		  "invalid volume specification: 'v:/b:rslave': invalid mount config for type "
		  "\"volume\": field BindOptions must not be specified" },
		{ "\"Binds\":[\"/a:/b\",\"/c:/b/\"]", "Duplicate mount point: /b" },
		{ "\"Binds\":[\"/a:/b\"],\"Tmpfs\":{\"/b\":\"\"}", "Duplicate mount point: /b" },
		{ "\"Binds\":[\"/a:/b\"],\"Tmpfs\":{\"/b/\":\"\"}", "Duplicate mount point: /b" },
		{ "\"Binds\":[\"/a:/b\"],\"Tmpfs\":{\"/x/../b\":\"\"}",
		  "Duplicate mount point: /b" },
		{ "\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/b\"},"
		  "{\"Type\":\"tmpfs\",\"Target\":\"/b/\"}]",
		  "Duplicate mount point: /b" },
		{ "\"Binds\":[\"/a:/b\"],\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/b\"}]",
		  "Duplicate mount point: /b" },
#define MOUNT(members) "\"Mounts\":[{" members "}]"
		{ MOUNT("\"Type\":\"bind\",\"Source\":\"/a\""),
		  "invalid mount config for type \"bind\": field Target must not be empty" },
		{ MOUNT("\"Type\":\"bind\",\"Target\":\"/b\""),
		  "invalid mount config for type \"bind\": field Source must not be empty" },
		{ MOUNT("\"Type\":\"bind\",\"Source\":\"a\",\"Target\":\"/b\""),
		  "invalid mount config for type \"bind\": invalid mount path: 'a' mount path must "
		  "be absolute" },
		{ MOUNT("\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\",\"VolumeOptions\":{}"),
		  "invalid mount config for type \"bind\": field VolumeOptions must not be "
		  "specified" },
		{ MOUNT("\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\","
			"\"BindOptions\":{\"Propagation\":\"x\"}"),
		  "invalid mount config for type \"bind\": invalid propagation mode: x" },
		{ MOUNT("\"Type\":\"volume\",\"Source\":\"v\",\"Target\":\"/b\",\"BindOptions\":{}"),
		  "invalid mount config for type \"volume\": field BindOptions must not be "
		  "specified" },
		{ MOUNT("\"Type\":\"volume\",\"Target\":\"/b\",\"ReadOnly\":true"),
		  "invalid mount config for type \"volume\": must not set ReadOnly mode when using "
		  "anonymous volumes" },
		{ MOUNT("\"Type\":\"volume\",\"Target\":\"/b\",\"VolumeOptions\":{\"Labels\":{\"a\":1}}"),
		  "invalid mount config for type \"volume\": \"Labels\" is not an object of "
		  "strings" },
		{ MOUNT("\"Type\":\"volume\",\"Target\":\"/b\",\"VolumeOptions\":{\"Subpath\":\"x\"}"),
		  "invalid mount config for type \"volume\": must not set Subpath when using "
		  "anonymous volumes" },
		{ MOUNT("\"Type\":\"volume\",\"Source\":\"v\",\"Target\":\"/b\","
			"\"VolumeOptions\":{\"Subpath\":\"x/../../y\"}"),
		  "invalid mount config for type \"volume\": subpath must be a relative path "
		  "within the volume" },
		{ MOUNT("\"Type\":\"volume\",\"Source\":\"v\",\"Target\":\"/b\","
			"\"VolumeOptions\":{\"DriverConfig\":{\"Name\":\"x\"}}"),
		  "invalid mount config for type \"volume\": error looking up volume plugin x: "
		  "plugin \"x\" not found" },
		{ MOUNT("\"Type\":\"tmpfs\",\"Source\":\"v\",\"Target\":\"/b\""),
		  "invalid mount config for type \"tmpfs\": field Source must not be specified" },
		{ MOUNT("\"Type\":\"npipe\",\"Target\":\"/b\""),
		  "invalid mount config for type \"npipe\": mount type unknown" },
		{ "\"VolumeDriver\":\"flocker\"",
		  "error looking up volume plugin flocker: plugin \"flocker\" not found" },
		{ "\"PublishSockets\":[\"/a\"]",
		  "publishing a socket as HOST:CONTAINER: \"\" is not an absolute path" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct request *request = NULL;

		assert_true(try_host(cases[i].members, NULL, &request) < 0);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void test_too_many(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct request *request = NULL;

	buf_puts(&text, "\"Binds\":[");
	for (int i = 0; i <= REQUEST_MOUNTS_MAX; i++)
		buf_printf(&text, "%s\"/a:/b%d\"", i > 0 ? "," : "", i);
	buf_puts(&text, "]");
	assert_true(try_host(buf_text(&text), NULL, &request) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
}

/* ---- --mount ---- */

static void test_mounts(void **state)
{
	_cleanup_request_ struct request *request =
		take("\"Mounts\":["
		     "{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\",\"ReadOnly\":true,"
		     "\"BindOptions\":{\"NonRecursive\":true,\"CreateMountpoint\":true}},"
		     "{\"Type\":\"volume\",\"Source\":\"v\",\"Target\":\"/c\",\"VolumeOptions\":"
		     "{\"NoCopy\":true,\"Subpath\":\"x/y\",\"Labels\":{\"k\":\"v\"},"
		     "\"DriverConfig\":{\"Name\":\"local\",\"Options\":{\"type\":\"tmpfs\"}}}},"
		     "{\"Type\":\"volume\",\"Target\":\"/d\"},"
		     "{\"Type\":\"tmpfs\",\"Target\":\"/e\"}]");
	const struct mount_point *points = request->mounts;

	assert_int_equal(request->mount_count, 3);
	assert_true(points[0].read_only && points[0].non_recursive && points[0].create_source);
	assert_true(points[1].no_copy);
	assert_string_equal(points[1].subpath, "x/y");
	assert_non_null(json_object_get(points[1].labels, "k"));
	assert_non_null(json_object_get(points[1].options, "type"));
	assert_true(points[2].anonymous);
	assert_int_equal(request->tmpfs_count, 1);
	assert_true(request->tmpfs[0].is_mount);
}

/* ---- volumes of images ---- */

static void test_declared(void **state)
{
	static const char image[] =
		"{\"config\":{\"Volumes\":{\"/one\":{},\"/two/\":{},\"three\":{},\"/four\":{}}}}";
	_cleanup_request_ struct request *request = NULL;
	struct request *refused = NULL;

	assert_ok(
		try_host("\"Binds\":[\"mine:/two\"],\"Tmpfs\":{\"/four\":\"\"}", image, &request));
	assert_int_equal(request->mount_count, 3);
	assert_string_equal(request_find_mount(request, "/two")->name, "mine");
	assert_true(request_find_mount(request, "/one")->anonymous);
	assert_true(request_find_mount(request, "/one")->declared);
	assert_true(request_find_mount(request, "/three")->anonymous);
	assert_null(request_find_mount(request, "/four"));
	assert_true(try_host("", "{\"config\":{\"Volumes\":{\"/\":{}}}}", &refused) < 0);
	assert_non_null(strstr(err.message, "destination can't be '/'"));
}

static void test_volumes_from(void **state)
{
	_cleanup_free_ char *name = NULL, *other = NULL;
	bool read_only = false;

	assert_ok(request_parse_volumes_from("db:ro", &name, &read_only, &err));
	assert_string_equal(name, "db");
	assert_true(read_only);
	assert_ok(request_parse_volumes_from("db", &other, &read_only, &err));
	assert_false(read_only);
	assert_true(request_parse_volumes_from("", &name, &read_only, &err) < 0);
	assert_true(request_parse_volumes_from("db:rslave", &name, &read_only, &err) < 0);
	assert_string_equal(err.message, "invalid mode: rslave");
	assert_true(request_parse_volumes_from("db:nocopy", &name, &read_only, &err) < 0);
}

/* ---- what is kept ---- */

static void test_stored(void **state)
{
	_cleanup_request_ struct request *request =
		take("\"Binds\":[\"/a:/b:ro,rslave,cached\",\"v:/c\",\"/anonymous\"],"
		     "\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"w\",\"Target\":\"/d\","
		     "\"VolumeOptions\":{\"Subpath\":\"s\",\"NoCopy\":true}}],"
		     "\"PublishSockets\":[\"/h.sock:/c.sock\"]");
	_cleanup_request_ struct request *again = NULL;
	_cleanup_free_ char *text = request_print(request), *second = NULL;

	assert_ok(request_load(text, &again, &err));
	second = request_print(again);
	assert_string_equal(text, second);
	assert_int_equal(again->mount_count, 4);
	assert_string_equal(again->mounts[2].name, request->mounts[2].name);
	assert_true(again->mounts[2].anonymous);
	assert_true(again->mounts[0].cached && again->mounts[0].create_source);
	assert_string_equal(again->publish_sockets[0].container, "/c.sock");
	assert_true(request_load("{\"Config\":{\"Cmd\":[\"a\"]},\"HostConfig\":{},\"Mounts\":[{}]}",
				 &again, &err) < 0);
	assert_int_equal(err.code, CAY_CORRUPT);
}

static void test_clean(void **state)
{
	static const char *const cases[][2] = {
		{ "", "." },           { "/", "/" },        { "//a//b/", "/a/b" },
		{ "/a/./b", "/a/b" },  { "/a/../b", "/b" }, { "/../..", "/" },
		{ "a/..", "." },       { "../a", "../a" },  { "a/../../b", "../b" },
		{ "../../", "../.." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *clean = mount_path_clean(cases[i][0]);

		assert_string_equal(clean, cases[i][1]);
	}
}

/* ---- the order in the container ---- */

static void test_order(void **state)
{
	_cleanup_request_ struct request *request =
		take("\"Tmpfs\":{\"/a/b\":\"\",\"/proc\":\"\"},\"ShmSize\":1048576");
	_cleanup_spec_mounts_ struct spec_mounts mounts = { 0 };
	_cleanup_json_ json_t *array = NULL;
	_cleanup_buf_ struct buf order = { 0 };
	json_t *item;
	size_t i;

	spec_mounts_add_bind(&mounts, xstrdup("/s0"), "/a/b/c", true);
	spec_mounts_add_bind(&mounts, xstrdup("/s1"), "/etc", false);
	spec_mounts_add_bind(&mounts, xstrdup("/s2"), "/etc/hosts", false);
	spec_mounts_add_bind(&mounts, xstrdup("/s3"), "/dev", false);
	array = spec_mounts_to_json(request, "id", &mounts);
	json_array_foreach(array, i, item)
		buf_printf(&order, "%s ", json_string_value(json_object_get(item, "destination")));
	/* The client's /proc, /dev and /etc/hosts take the place of ours; none covers another. */
	assert_string_equal(buf_text(&order),
			    "/sys /sys/fs/cgroup /proc /etc /dev "
			    "/etc/resolv.conf /etc/hostname /a/b /etc/hosts "
			    "/a/b/c ");
}

static void test_where_paths_lead(void **state)
{
	char directory[64];

	make_test_directory(directory);
	_cleanup_free_ char *real = realpath(directory, NULL);
	_cleanup_free_ char *there = path_join(real, "there");
	_cleanup_free_ char *link = path_join(real, "link");
	_cleanup_free_ char *by_link = path_join(link, "a/b");
	_cleanup_free_ char *wanted = path_join(there, "a/b");
	assert_ok(make_dirs(there, 0700, &err));
	assert_int_equal(symlink("there", link), 0);
	_cleanup_free_ char *whole = mount_path_resolve(link);
	assert_string_equal(whole, there);
	_cleanup_free_ char *part = mount_path_resolve(by_link);
	assert_string_equal(part, wanted);
	_cleanup_free_ char *none = mount_path_resolve("/no such directory/a");
	assert_string_equal(none, "/no such directory/a");
	_cleanup_free_ char *root = mount_path_resolve("/");
	assert_string_equal(root, "/");
	_cleanup_free_ char *slashes = mount_path_resolve("/no such directory/a//");
	assert_string_equal(slashes, "/no such directory/a");
	assert_true(mount_path_is_below(there, real));
	assert_true(mount_path_is_below(there, "/"));
	assert_false(mount_path_is_below(there, there));
	assert_false(mount_path_is_below("/ab", "/a"));
	assert_ok(remove_tree(directory, &err));
}

static void test_published_sockets_are_stored(void **state)
{
	_cleanup_request_ struct request *request =
		take("\"PublishSockets\":[\"/a/b.sock:/c\",\"/d/e.sock:/f\"]");
	_cleanup_request_ struct request *loaded = NULL;
	_cleanup_free_ char *text = NULL;

	request->publish_sockets[1].resolved = xstrdup("/real");
	text = request_print(request);
	assert_ok(request_load(text, &loaded, &err));
	assert_int_equal(loaded->publish_socket_count, 2);
	assert_string_equal(loaded->publish_sockets[0].host, "/a/b.sock");
	assert_null(loaded->publish_sockets[0].resolved);
	assert_string_equal(loaded->publish_sockets[1].resolved, "/real");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_paths_lead),
		cmocka_unit_test(test_published_sockets_are_stored),
		cmocka_unit_test(test_binds),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_declared),
		cmocka_unit_test(test_volumes_from),
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_order),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	strv_done(&warnings);
	return failed;
}
