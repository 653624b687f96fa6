/* SPDX-License-Identifier: Apache-2.0 */
/* Create requests: what is taken, what is merged from the image, what is refused and how. */
#include "test.h"

#include "base/json.h"
#include "daemon/capability.h"
#include "daemon/request.h"
#include "daemon/signals.h"

#include <signal.h>

static struct cay_error err;

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static int try_request(const char *body, const char *image, struct request **ret)
{
	_cleanup_json_ json_t *body_json = parse(body), *image_json = image ? parse(image) : NULL;
	_cleanup_strv_ struct strv warnings = { 0 };

	cay_error_clear(&err);
	return request_parse(body_json, image_json, 2, ret, &warnings, &err);
}

static struct request *take(const char *body, const char *image)
{
	struct request *request = NULL;

	assert_ok(try_request(body, image, &request));
	return request;
}

static void test_defaults(void **state)
{
	_cleanup_request_ struct request *request = take("{\"Image\":\"a\",\"Cmd\":\"ls\"}", NULL);

	assert_int_equal(request->arguments.count, 1);
	assert_string_equal(request->arguments.items[0], "ls");
	assert_int_equal(request->stop_signal, SIGTERM);
	assert_int_equal(request->stop_timeout, 10);
	assert_true(request->log_kept);
	assert_int_equal(request->shm_size, 64 << 20);
	assert_true(request->capabilities == capabilities_default);
	assert_true(strv_contains(&request->masked_paths, "/proc/kcore"));
	assert_true(strv_contains(&request->readonly_paths, "/proc/sys"));
	/* docker's clients count on these members being there */
	assert_true(json_is_object(json_object_get(request->config, "Labels")));
	assert_true(json_is_array(json_object_get(request->config, "Env")));
	assert_string_equal(json_string_value(json_object_get(request->host_config, "NetworkMode")),
			    "default");
}

static const char image[] =
	"{\"config\":{\"Entrypoint\":[\"/init\"],\"Cmd\":[\"serve\"],\"Env\":[\"A=image\",\"B=image\"],"
	"\"User\":\"app\",\"WorkingDir\":\"/srv\",\"StopSignal\":\"SIGQUIT\",\"Labels\":{\"x\":\"i\","
	"\"y\":\"i\"},\"Volumes\":{\"/data\":{}},\"ExposedPorts\":{\"80/tcp\":{}}}}";

static void test_merge(void **state)
{
	_cleanup_request_ struct request *request =
		take("{\"Image\":\"a\",\"Env\":[\"A=mine\"],\"Labels\":{\"x\":\"m\"}}", image);
	const json_t *labels = json_object_get(request->config, "Labels");

	assert_int_equal(request->arguments.count, 2);
	assert_string_equal(request->arguments.items[1], "serve");
	assert_string_equal(request->user, "app");
	assert_string_equal(request->working_directory, "/srv");
	assert_int_equal(request->stop_signal, SIGQUIT);
	assert_int_equal(request->env.count, 2);
	assert_string_equal(request->env.items[0], "A=mine");
	assert_string_equal(request->env.items[1], "B=image");
	assert_string_equal(json_string_value(json_object_get(labels, "x")), "m");
	assert_string_equal(json_string_value(json_object_get(labels, "y")), "i");
}

static void test_commands(void **state)
{
	static const struct {
		const char *body;
		const char *arguments; /* joined by blanks */
	} cases[] = {
		{ "{\"Image\":\"a\"}", "/init serve" },
		{ "{\"Image\":\"a\",\"Cmd\":[\"x\"]}", "/init x" },
		/* an entrypoint of one's own loses the image's command */
		{ "{\"Image\":\"a\",\"Entrypoint\":[\"e\"]}", "e" },
		{ "{\"Image\":\"a\",\"Entrypoint\":[\"\"],\"Cmd\":[\"x\",\"y\"]}", "x y" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_request_ struct request *request = take(cases[i].body, image);
		_cleanup_buf_ struct buf text = { 0 };

		for (size_t j = 0; j < request->arguments.count; j++)
			buf_printf(&text, "%s%s", j > 0 ? " " : "", request->arguments.items[j]);
		assert_string_equal(text.data, cases[i].arguments);
	}
}

/* One line each: the body's member, and words the error must hold. */
static void test_refusals(void **state)
{
	static const struct {
		const char *body;
		enum cay_code code;
		const char *words;
	} cases[] = {
		{ "{}", CAY_INVALID, "no command specified" },
		{ "{\"Cmd\":[1]}", CAY_INVALID, "\"Cmd\"" },
		{ "{\"Cmd\":[\"a\"],\"Env\":\"x\"}", CAY_INVALID, "\"Env\"" },
		{ "{\"Cmd\":[\"a\"],\"Env\":[\"=x\"]}", CAY_INVALID, "environment variable" },
		{ "{\"Cmd\":[\"a\"],\"WorkingDir\":\"rel\"}", CAY_INVALID, "working directory" },
		{ "{\"Cmd\":[\"a\"],\"StopSignal\":\"SIGNOPE\"}", CAY_INVALID, "invalid signal" },
		{ "{\"Cmd\":[\"a\"],\"Hostname\":\"a b\"}", CAY_INVALID, "hostname" },
		{ "{\"Cmd\":[\"a\"],\"Volumes\":{\"d\":{}}}", CAY_INVALID,
		  "invalid volume spec \"d\"" },
		{ "{\"Cmd\":[\"a\"],\"HostConfig\":[]}", CAY_INVALID, "HostConfig" },
#define HOST(members) "{\"Cmd\":[\"a\"],\"HostConfig\":{" members "}}"
		{ HOST("\"Memory\":1000"), CAY_INVALID, "6MB" },
		{ HOST("\"Memory\":-5"), CAY_INVALID, "Memory" },
		{ HOST("\"NanoCpus\":3000000000"), CAY_INVALID, "only 2 CPUs" },
		{ HOST("\"NanoCpus\":1000000000,\"CpuQuota\":5000"), CAY_INVALID, "Conflicting" },
		{ HOST("\"PortBindings\":{\"0/tcp\":[{}]}"), CAY_INVALID, "0/tcp" },
		{ HOST("\"PortBindings\":{\"80-81/tcp\":[{}]}"), CAY_INVALID, "80-81/tcp" },
		{ HOST("\"PortBindings\":{\"80/sctp\":[{}]}"), CAY_UNSUPPORTED, "SCTP" },
		{ HOST("\"PortBindings\":{\"80/icmp\":[{}]}"), CAY_INVALID, "protocol" },
		{ HOST("\"PortBindings\":{\"80\":[{\"HostPort\":\"65536\"}]}"), CAY_INVALID,
		  "65536" },
		{ HOST("\"PortBindings\":{\"80\":[{\"HostPort\":\"9-8\"}]}"), CAY_INVALID, "9-8" },
		{ HOST("\"PortBindings\":{\"80\":[{\"HostIp\":\"localhost\"}]}"), CAY_INVALID,
		  "localhost" },
		{ HOST("\"PortBindings\":{\"80\":{}}"), CAY_INVALID, "not an array" },
		{ HOST("\"PortBindings\":{\"80\":[1]}"), CAY_INVALID, "not an object" },
		{ HOST("\"NetworkMode\":\"host\""), CAY_UNSUPPORTED, "publish its ports" },
		{ HOST("\"NetworkMode\":\"container:x\""), CAY_UNSUPPORTED, "container:x" },
		{ HOST("\"Links\":[\"a:b\"]"), CAY_UNSUPPORTED, "Links" },
		{ HOST("\"Dns\":[\"resolver\"]"), CAY_INVALID, "resolver" },
		{ HOST("\"PidMode\":\"container:x\""), CAY_UNSUPPORTED, "PidMode" },
		{ HOST("\"Devices\":[{}]"), CAY_UNSUPPORTED, "Devices" },
		{ HOST("\"CapAdd\":[\"NOPE\"]"), CAY_INVALID, "capability" },
		{ HOST("\"SecurityOpt\":[\"seccomp=/f\"]"), CAY_UNSUPPORTED, "seccomp" },
		{ HOST("\"Ulimits\":[{\"Name\":\"x\"}]"), CAY_INVALID, "ulimit" },
		{ HOST("\"Ulimits\":[{\"Name\":\"core\",\"Soft\":2,\"Hard\":1}]"), CAY_INVALID,
		  "soft limit" },
		{ HOST("\"Tmpfs\":{\"rel\":\"\"}"), CAY_INVALID, "absolute" },
		{ HOST("\"LogConfig\":{\"Type\":\"syslog\"}"), CAY_UNSUPPORTED, "syslog" },
		{ HOST("\"LogConfig\":{\"Config\":{\"max-file\":\"3\"}}"), CAY_INVALID,
		  "max-size" },
		{ HOST("\"LogConfig\":{\"Config\":{\"max-size\":\"x\"}}"), CAY_INVALID,
		  "max-size" },
		{ HOST("\"RestartPolicy\":{\"Name\":\"maybe\"}"), CAY_INVALID, "restart policy" },
		{ HOST("\"RestartPolicy\":{\"Name\":\"always\"},\"AutoRemove\":true"), CAY_INVALID,
		  "AutoRemove" },
		{ HOST("\"ExtraHosts\":[\"nohost\"]"), CAY_INVALID, "add-host" },
		{ HOST("\"ExtraHosts\":[\"a:1.2.3.4\\n5.6.7.8 b\"]"), CAY_INVALID, "add-host" },
		{ HOST("\"Dns\":[\"1.1.1.1\\noptions x\"]"), CAY_INVALID, "DNS" },
		{ HOST("\"Sysctls\":{\"a/b\":\"1\"}"), CAY_INVALID, "sysctl" },
		{ HOST("\"Sysctls\":{\"..x\":\"1\"}"), CAY_INVALID, "sysctl" },
#undef HOST
#define ENDPOINT(members) \
	"{\"Cmd\":[\"a\"],\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{" members "}}}}"
		{ ENDPOINT("\"MacAddress\":\"02:00:00:00:00\""), CAY_INVALID, "02:00:00:00:00" },
		{ ENDPOINT("\"MacAddress\":\"03:00:00:00:00:01\""), CAY_INVALID, "03:00" },
		{ ENDPOINT("\"IPAMConfig\":{\"IPv4Address\":\"fd00::1\"}"), CAY_INVALID,
		  "fd00::1" },
		{ ENDPOINT("\"IPAMConfig\":{\"IPv6Address\":\"x\"}"), CAY_INVALID, "IPv6 address" },
		{ ENDPOINT("\"Links\":[\"other\"]"), CAY_UNSUPPORTED, "links" },
		{ ENDPOINT("\"Aliases\":[\"a b\"]"), CAY_INVALID, "alias" },
		{ ENDPOINT("\"Aliases\":\"a\""), CAY_INVALID, "Aliases" },
#undef ENDPOINT
		{ "{\"Cmd\":[\"a\"],\"HostConfig\":{\"NetworkMode\":\"none\"},"
		  "\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{}}}}",
		  CAY_INVALID, "none" },
		{ "{\"Cmd\":[\"a\"],\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":1}}}",
		  CAY_INVALID, "network n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct request *request = NULL;

		if (try_request(cases[i].body, NULL, &request) >= 0)
			fail_msg("%s was taken", cases[i].body);
		assert_null(request);
		if (err.code != cases[i].code || !strstr(err.message, cases[i].words))
			fail_msg("%s: \"%s\" is %s", cases[i].body, err.message,
				 cay_code_name(err.code));
	}
}

/* What docker's client sends for a plain "docker run" holds empty members for all of these. */
static void test_empty_members_are_fine(void **state)
{
	_cleanup_request_ struct request *request = take(
		"{\"Image\":\"a\",\"Cmd\":[\"a\"],\"Volumes\":{},\"HostConfig\":{\"Binds\":null,"
		"\"PortBindings\":{},\"NetworkMode\":\"bridge\",\"Devices\":[],\"Mounts\":[],"
		"\"CgroupnsMode\":\"\",\"BlkioDeviceReadBps\":[],\"RestartPolicy\":{\"Name\":\"no\","
		"\"MaximumRetryCount\":0}},\"NetworkingConfig\":{\"EndpointsConfig\":{\"default\":"
		"{\"IPAMConfig\":null,\"Links\":null,\"Aliases\":null,\"MacAddress\":\"\"}}}}",
		NULL);

	assert_non_null(request);
}

static void test_stored_form_is_the_same(void **state)
{
	_cleanup_request_ struct request *first = take(
		"{\"Image\":\"a\",\"Cmd\":[\"a\",\"b c\"],\"Tty\":true,\"HostConfig\":{\"Memory\":67108864,"
		"\"CapDrop\":[\"ALL\"],\"CapAdd\":[\"NET_RAW\"],\"Tmpfs\":{\"/t\":\"size=1m,exec\"},"
		"\"MaskedPaths\":[],\"LogConfig\":{\"Type\":\"none\"},\"AutoRemove\":true}}",
		image);
	_cleanup_request_ struct request *second = NULL;
	_cleanup_free_ char *text = request_print(first), *again = NULL;

	assert_ok(request_load(text, &second, &err));
	again = request_print(second);
	assert_string_equal(text, again);
	assert_true(second->tty && second->auto_remove && !second->log_kept);
	assert_int_equal(second->memory, 67108864);
	assert_true(second->capabilities == UINT64_C(1) << 13);
	assert_int_equal(second->masked_paths.count, 0);
	assert_int_equal(second->tmpfs_count, 1);
	assert_true(strv_contains(&second->tmpfs[0].options, "exec"));
	assert_false(strv_contains(&second->tmpfs[0].options, "noexec"));
	assert_true(strv_contains(&second->tmpfs[0].options, "nodev"));
}

static void test_size_limits(void **state)
{
	_cleanup_json_ json_t *body = parse("{\"Image\":\"a\",\"Cmd\":[\"a\"]}");
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *long_text = malloc(REQUEST_MAX + 1);
	struct request *request = NULL;
	json_t *env = json_array();

	for (size_t i = 0; i <= REQUEST_ITEMS_MAX; i++)
		json_array_append_new(env, json_string("A=b"));
	json_set(body, "Env", env);
	assert_true(request_parse(body, NULL, 2, &request, &warnings, &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
	memset(long_text, 'a', REQUEST_MAX);
	long_text[REQUEST_MAX] = '\0';
	json_set(body, "Env", json_array());
	json_set_string(body, "User", long_text);
	assert_true(request_parse(body, NULL, 2, &request, &warnings, &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
}

static void test_capabilities(void **state)
{
	_cleanup_strv_ struct strv none = { 0 }, all = { 0 }, chown = { 0 };
	uint64_t set = capabilities_default;

	strv_add(&all, "all");
	strv_add(&chown, "cap_chown");
	assert_ok(capabilities_tweak(&all, &chown, &set, &err));
	assert_true(set == (capabilities_all & ~UINT64_C(1)));
	assert_ok(capabilities_tweak(&chown, &all, &set, &err));
	assert_true(set == 1);
	set = capabilities_default;
	assert_ok(capabilities_tweak(&none, &chown, &set, &err));
	assert_true(set == (capabilities_default & ~UINT64_C(1)));
}

static void test_signals(void **state)
{
	assert_int_equal(signal_parse("SIGTERM"), SIGTERM);
	assert_int_equal(signal_parse("term"), SIGTERM);
	assert_int_equal(signal_parse("9"), SIGKILL);
	assert_int_equal(signal_parse("SIGRTMIN+3"), 37);
	assert_int_equal(signal_parse("RTMAX-1"), 63);
	assert_int_equal(signal_parse("RTMAX"), 64);
	assert_true(signal_parse("0") < 0);
	assert_true(signal_parse("65") < 0);
	assert_true(signal_parse("RTMIN-1") < 0);
	assert_true(signal_parse("SIGRTMIN+31") < 0);
	assert_true(signal_parse("") < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_empty_members_are_fine),
		cmocka_unit_test(test_stored_form_is_the_same),
		cmocka_unit_test(test_size_limits),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
