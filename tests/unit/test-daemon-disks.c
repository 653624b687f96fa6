/* SPDX-License-Identifier: Apache-2.0 */
/* What a client may ask of disks and of memory as file systems, and in which words it is refused.
 */
#include "test.h"

#include "base/json.h"
#include "daemon/request.h"
#include "daemon/volume-options.h"

static struct cay_error err;

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static int try_host(const char *host_config, struct request **ret)
{
	_cleanup_json_ json_t *body = json_pack("{s:s, s:[s], s:o}", "Image", "a", "Cmd", "a",
						"HostConfig", parse(host_config));
	_cleanup_strv_ struct strv warnings = { 0 };

	cay_error_clear(&err);
	return request_parse(body, NULL, 2, ret, &warnings, &err);
}

static void refuse_host(const char *host_config, const char *words)
{
	struct request *request = NULL;

	assert_true(try_host(host_config, &request) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	if (!strstr(err.message, words))
		fail_msg("%s: %s", host_config, err.message);
}

static uint64_t storage_size(const char *text)
{
	_cleanup_request_ struct request *request = NULL;

	assert_ok(try_host(text, &request));
	return request->storage_size;
}

static void test_storage(void **state)
{
	assert_true(storage_size("{}") == 0);
	assert_true(storage_size("{\"StorageOpt\":{}}") == 0);
	assert_true(storage_size("{\"StorageOpt\":{\"size\":\"0\"}}") == 0);
	assert_true(storage_size("{\"StorageOpt\":{\"size\":\"10g\"}}") == 10 * GIB);
	assert_true(storage_size("{\"StorageOpt\":{\"Size\":\"1.5 GiB\"}}") == 3 * GIB / 2);
	assert_true(storage_size("{\"StorageOpt\":{\"size\":\"1t\"}}") == 1024 * GIB);
	refuse_host("{\"StorageOpt\":{\"size\":\"\"}}", "invalid size: ''");
	refuse_host("{\"StorageOpt\":{\"size\":\"ten\"}}", "invalid size: 'ten'");
	refuse_host("{\"StorageOpt\":{\"size\":\"15m\"}}", "between 16 MiB and 1024 GiB");
	refuse_host("{\"StorageOpt\":{\"size\":\"1025g\"}}", "between");
	refuse_host("{\"StorageOpt\":{\"size\":\"99999999999999999999g\"}}", "invalid size");
	refuse_host("{\"StorageOpt\":{\"inodes\":\"5\"}}", "Unknown option inodes");
	refuse_host("{\"StorageOpt\":{\"size\":5}}", "StorageOpt");
}

static void expect_tmpfs(const char *host_config, const char *target, const char *const *words,
			 const char *const *missing)
{
	_cleanup_request_ struct request *request = NULL;

	assert_ok(try_host(host_config, &request));
	assert_int_equal(request->tmpfs_count, 1);
	assert_string_equal(request->tmpfs[0].target, target);
	for (; *words; words++)
		assert_true(strv_contains(&request->tmpfs[0].options, *words));
	for (; *missing; missing++)
		assert_false(strv_contains(&request->tmpfs[0].options, *missing));
}

static void test_tmpfs(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const defaults[] = { "noexec", "nosuid", "nodev", NULL };
	static const char *const asked[] = { "rw",       "exec",      "suid", "nodev",
					     "size=64m", "mode=1770", NULL };
	static const char *const gone[] = { "noexec", "nosuid", NULL };
	static const char *const mount[] = { "ro", "size=1048576", "mode=700", "noexec", NULL };

	expect_tmpfs("{\"Tmpfs\":{\"/t\":\"\"}}", "/t", defaults, none);
	expect_tmpfs("{\"Tmpfs\":{\"/t\":\"rw,exec,suid,size=64m,mode=1770\"}}", "/t", asked, gone);
	expect_tmpfs("{\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\",\"ReadOnly\":true,"
		     "\"TmpfsOptions\":{\"SizeBytes\":1048576,\"Mode\":448}}]}",
		     "/t", mount, none);
	expect_tmpfs("{\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\","
		     "\"TmpfsOptions\":{\"Options\":[[\"exec\"]]}}]}",
		     "/t", (const char *const[]){ "exec", "nosuid", NULL },
		     (const char *const[]){ "noexec", NULL });
	refuse_host("{\"Tmpfs\":{\"t\":\"\"}}", "mount path must be absolute");
	refuse_host("{\"Tmpfs\":{\"/\":\"\"}}", "destination can't be '/'");
	refuse_host("{\"Tmpfs\":{\"/t\":\"lowerdir=/\"}}", "invalid tmpfs option");
	refuse_host("{\"Tmpfs\":{\"/t\":\"sizes\"}}", "invalid tmpfs option [\"sizes\"]");
	refuse_host("{\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\",\"Source\":\"x\"}]}",
		    "field Source must not be specified");
	refuse_host("{\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\","
		    "\"TmpfsOptions\":{\"Options\":[[\"size\",\"1m\"]]}}]}",
		    "invalid option: size");
	refuse_host("{\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\","
		    "\"TmpfsOptions\":{\"SizeBytes\":-1}}]}",
		    "SizeBytes");
	refuse_host("{\"ShmSize\":-1}", "SHM size can not be less than 0");
}

static void test_volumes(void **state)
{
	static const struct {
		const char *options, *words;
	} bad[] = {
		{ "{\"type\":\"block\",\"size\":\"x\"}", "volume: invalid size: 'x'" },
		{ "{\"type\":\"block\",\"size\":\"8m\"}", "between" },
		{ "{\"type\":\"block\",\"device\":\"/dev/sda\"}", "invalid option: \"device\"" },
		{ "{\"type\":\"block\",\"o\":\"ro\"}", "invalid option: \"o\"" },
		{ "{\"type\":\"block\",\"size\":null}", "invalid option: \"size\"" },
	};
	static const struct {
		const char *options;
		uint64_t size;
	} good[] = { { "{\"type\":\"block\"}", 10 * GIB },
		     { "{\"type\":\"block\",\"size\":\"512m\"}", 512 * MIB } };
	enum volume_kind kind = VOLUME_DIRECTORY;
	uint64_t size = 0;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_json_ json_t *options = parse(good[i].options);

		assert_ok(volume_options_check(options, &kind, &size, &err));
		assert_int_equal(kind, VOLUME_BLOCK);
		assert_true(size == good[i].size);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *options = parse(bad[i].options);

		assert_true(volume_options_check(options, &kind, &size, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
		if (!strstr(err.message, bad[i].words))
			fail_msg("%s: %s", bad[i].options, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_storage),
		cmocka_unit_test(test_tmpfs),
		cmocka_unit_test(test_volumes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
