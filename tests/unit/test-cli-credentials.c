/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's config.json and credential helpers: what is read, what is written, what is left alone.
 */
#include "test.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/secret.h"
#include "cli/credential-helper.h"
#include "cli/credentials.h"

#include <errno.h>
#include <sys/stat.h>

struct place {
	char directory[64];
	char *config; /* the file */
	char *path;   /* PATH as it was */
};

/* A helper that keeps one file a verb: what it was told, and answers from what stands there. */
static const char helper[] = "#!/bin/sh\n"
			     "cd \"$HELPER_DIRECTORY\" || exit 9\n"
			     "echo \"$@\" >>calls\n"
			     "cat >\"got-$1\"\n"
			     "[ -e \"say-$1\" ] && cat \"say-$1\"\n"
			     "[ ! -e \"fail-$1\" ]\n";

static void write_file(const struct place *place, const char *name, const char *text, mode_t mode)
{
	_cleanup_free_ char *path = path_join(place->directory, name);
	struct cay_error err = { 0 };

	assert_ok(file_write_volatile(path, text, strlen(text), mode, &err));
}

static char *read_file(const struct place *place, const char *name)
{
	_cleanup_free_ char *path = path_join(place->directory, name);
	struct cay_error err = { 0 };
	struct buf text = { 0 };

	assert_ok(file_read(path, 65536, &text, &err));
	return buf_steal(&text);
}

static int set_up(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));
	_cleanup_free_ char *path = NULL;

	make_test_directory(place->directory);
	place->config = path_join(place->directory, "config.json");
	place->path = xstrdup(getenv("PATH"));
	path = xasprintf("%s:%s", place->directory, place->path);
	(void)setenv("DOCKER_CONFIG", place->directory, 1);
	(void)setenv("HELPER_DIRECTORY", place->directory, 1);
	(void)setenv("PATH", path, 1);
	write_file(place, "docker-credential-test", helper, 0700);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	struct cay_error err = { 0 };

	(void)setenv("PATH", place->path, 1);
	assert_ok(remove_tree(place->directory, &err));
	free(place->config);
	free(place->path);
	free(place);
	return 0;
}

static void check_stored(const char *config, const char *key, const char *username,
			 const char *password, const char *token)
{
	_cleanup_docker_config_ struct docker_config parsed = { 0 };
	_cleanup_credentials_ struct credentials found = { 0 };
	struct cay_error err = { 0 };

	assert_ok(docker_config_parse("x", config, strlen(config), &parsed, &err));
	assert_ok(docker_config_find(&parsed, key, &found, &err));
	assert_string_equal(found.username ? found.username : "-", username);
	assert_string_equal(found.password ? found.password : "-", password);
	assert_string_equal(found.identity_token ? found.identity_token : "-", token);
}

static void test_reading(void **state)
{
	const char *both = "{\"auths\":{\"h:1\":{\"auth\":\"dTpwOnE=\"}}}"; /* u:p:q */

	check_stored(both, "h:1", "u", "p:q", "-");
	check_stored(both, "h:2", "-", "-", "-");
	check_stored("", "h", "-", "-", "-");
	check_stored(" null ", "h", "-", "-", "-");
	check_stored("{}", "h", "-", "-", "-");
	check_stored("{\"auths\":null}", "h", "-", "-", "-");
	check_stored("{\"auths\":{\"h\":{}}}", "h", "-", "-", "-");
	check_stored("{\"auths\":{\"h\":null}}", "h", "-", "-", "-");
	/* As older clients and other programs wrote it. */
	check_stored("{\"auths\":{\"https://h/v1/\":{\"auth\":\"dTpw\"}}}", "h", "u", "p", "-");
	check_stored("{\"AUTHS\":{\"h\":{\"Auth\":\"dTpw\"}}}", "h", "u", "p", "-");
	check_stored("{\"auths\":{\"h\":{\"username\":\"u\",\"password\":\"p\"}}}", "h", "u", "p",
		     "-");
	check_stored("{\"auths\":{\"h\":{\"auth\":\"dTo=\",\"identitytoken\":\"t\"}}}", "h", "u",
		     "-", "t");
	/* What Go's decoder passes over, and our JSON library would not. */
	check_stored(
		"{\"x\":1e999,\"y\":123456789012345678901,\"auths\":{\"h\":{\"auth\":\"dTpw\"}},"
		"\"x\":2}\ntrailing",
		"h", "u", "p", "-");
	check_stored("{\"auths\":{\"h\":{\"auth\":\"cTpx\"},\"h\":{\"auth\":\"dTpw\"}}}", "h", "u",
		     "p", "-");
}

static void test_what_is_no_config(void **state)
{
	static const char *const texts[] = { "[]",
					     "{",
					     "{\"auths\":[]}",
					     "{\"credsStore\":1}",
					     "{\"credHelpers\":\"x\"}",
					     "nullify",
					     " null {\"auths\":{}}" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct docker_config parsed = { 0 };
		struct cay_error err = { 0 };

		assert_true(docker_config_parse("FILE", texts[i], strlen(texts[i]), &parsed, &err) <
			    0);
		assert_true(starts_with(err.message, "FILE: "));
	}
}

static void test_an_unreadable_entry(void **state)
{
	static const char *const entries[] = { "dT*w", "dXA=" /* "up", without a colon */ };

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		_cleanup_docker_config_ struct docker_config parsed = { 0 };
		struct credentials found = { 0 };
		_cleanup_free_ char *text =
			xasprintf("{\"auths\":{\"h\":{\"auth\":\"%s\"}}}", entries[i]);
		struct cay_error err = { 0 };

		assert_ok(docker_config_parse("x", text, strlen(text), &parsed, &err));
		assert_true(docker_config_find(&parsed, "h", &found, &err) < 0);
		assert_null(strstr(err.message, entries[i]));
	}
}

static void store(const char *key, const char *username, const char *password, const char *token)
{
	struct credentials credentials = { .username = xstrdup(username),
					   .password = xstrdup(password),
					   .identity_token = xstrdup(token) };
	_cleanup_free_ char *where = NULL;
	struct cay_error err = { 0 };

	assert_ok(credentials_store(key, &credentials, &where, &err));
	assert_non_null(where);
	credentials_done(&credentials);
}

static void test_writing(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL;
	struct cay_error err = { 0 };
	struct stat status;

	store("h:1", "u", "p", NULL);
	first = read_file(place, "config.json");
	assert_string_equal(
		first,
		"{\n\t\"auths\": {\n\t\t\"h:1\": {\n\t\t\t\"auth\": \"dTpw\"\n\t\t}\n\t}\n}");
	assert_int_equal(stat(place->config, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);

	store("h:2", "u", NULL, "t");
	second = read_file(place, "config.json");
	assert_non_null(strstr(second, "\"h:1\""));
	check_stored(second, "h:2", "u", "-", "t");

	assert_int_equal(credentials_erase("h:1", &err), 1);
	assert_int_equal(credentials_erase("h:1", &err), 0);
	assert_int_equal(credentials_erase("h:2", &err), 1);
	third = read_file(place, "config.json");
	assert_string_equal(third, "{\n\t\"auths\": {}\n}");
}

/* Keys that cay does not know stay as they are, a link stays a link, and modes get stricter. */
static void test_a_file_of_others(void **state)
{
	static const char before[] =
		"{\n  \"HttpHeaders\": {\"X\": \"1\"},\n  \"big\": 12345678901234567890,\n"
		"  \"auths\": {\n    \"h\": { \"email\": \"e\", \"auth\": \"eDp5\" },\n"
		"    \"k\": {}\n  },\n  \"x\": 1.10\n}\n";
	struct place *place = *state;
	_cleanup_free_ char *after = NULL, *link = NULL, *again = NULL;
	struct cay_error err = { 0 };
	struct stat status;

	write_file(place, "real.json", before, 0644);
	link = path_join(place->directory, "real.json");
	assert_int_equal(symlink("real.json", place->config), 0);
	store("h", "u", "p", NULL);
	assert_int_equal(lstat(place->config, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	assert_int_equal(stat(place->config, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	after = read_file(place, "real.json");
	assert_string_equal(
		after,
		"{\n  \"HttpHeaders\": {\"X\": \"1\"},\n  \"big\": 12345678901234567890,\n"
		"  \"auths\": {\n    \"h\": {\n\t\t\t\"auth\": \"dTpw\",\n\t\t\t\"email\": "
		"\"e\"\n\t\t},\n    \"k\": {}\n  },\n  \"x\": 1.10\n}\n");
	assert_int_equal(credentials_erase("h", &err), 1);
	again = read_file(place, "real.json");
	assert_non_null(strstr(again, "\"k\": {}\n  },\n  \"x\": 1.10\n}\n"));
}

static void test_a_link_that_leads_nowhere_yet(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(symlink("later.json", place->config), 0);
	store("h", "u", "p", NULL);
	text = read_file(place, "later.json");
	check_stored(text, "h", "u", "p", "-");
}

static void test_a_broken_file_is_kept(void **state)
{
	struct place *place = *state;
	struct credentials credentials = { .username = (char *)"u", .password = (char *)"p" };
	_cleanup_free_ char *where = NULL, *after = NULL, *header = NULL;
	struct cay_error err = { 0 };

	write_file(place, "config.json", "{ broken", 0600);
	assert_true(credentials_store("h", &credentials, &where, &err) < 0);
	assert_non_null(strstr(err.message, "left as it is"));
	after = read_file(place, "config.json");
	assert_string_equal(after, "{ broken");
	/* Pulling public images still works. */
	assert_ok(credentials_header("h:1/x", &header, &err));
	assert_string_equal(header, "e30=");
}

static void check_header(const char *image, const char *wanted)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_free_ char *header = NULL;
	struct cay_error err = { 0 };

	assert_ok(credentials_header(image, &header, &err));
	assert_int_equal(base64_decode(str_from(header), &text), 0);
	assert_string_equal(buf_text(&text), wanted);
	assert_null(strpbrk(header, "+/"));
}

static void test_headers(void **state)
{
	store("h:1", "u\xc3\xbf\xc3\xbf", "p>>>???", NULL);
	store("https://index.docker.io/v1/", "hub", "q", NULL);
	check_header("h:1/a/b",
		     "{\"username\":\"u\xc3\xbf\xc3\xbf\",\"password\":\"p>>>???\","
		     "\"serveraddress\":\"h:1\"}");
	check_header("busybox",
		     "{\"username\":\"hub\",\"password\":\"q\",\"serveraddress\":"
		     "\"https://index.docker.io/v1/\"}");
	check_header("h:2/a", "{}");
	/* Registries for the daemon, which must not get Docker Hub's. */
	check_header("Box/a", "{}");
	check_header("LOCALHOST/a", "{}");
}

static void test_keys(void **state)
{
	static const char *const pairs[][2] = {
		{ "", "https://index.docker.io/v1/" },
		{ "docker.io", "https://index.docker.io/v1/" },
		{ "https://index.docker.io/v1/", "https://index.docker.io/v1/" },
		{ "h", "h" },
		{ "https://h:5/v2/", "h:5" },
		{ "http://h", "h" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		_cleanup_free_ char *key = credentials_key(pairs[i][0]);

		assert_string_equal(key, pairs[i][1]);
	}
}

static void test_a_helper(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *stored = NULL, *config = NULL, *erased = NULL, *calls = NULL;
	_cleanup_credentials_ struct credentials found = { 0 };
	struct cay_error err = { 0 };

	write_file(place, "config.json", "{\"credsStore\":\"test\"}", 0600);
	store("h", "u", "p\"q", NULL);
	stored = read_file(place, "got-store");
	assert_string_equal(stored,
			    "{\"ServerURL\":\"h\",\"Username\":\"u\",\"Secret\":\"p\\\"q\"}");
	config = read_file(place, "config.json");
	assert_null(strstr(config, "p\\\"q"));
	assert_non_null(strstr(config, "\"h\": {}"));

	write_file(place, "say-get", "{\"ServerURL\":\"h\",\"Username\":\"u\",\"Secret\":\"z\"}\n",
		   0600);
	assert_int_equal(credentials_get("h", &found, &err), 1);
	assert_string_equal(found.username, "u");
	assert_string_equal(found.password, "z");
	assert_int_equal(credentials_erase("h", &err), 1);
	erased = read_file(place, "got-erase");
	assert_non_null(strstr(erased, "h"));
	/* Nothing but verbs on any command line. */
	calls = read_file(place, "calls");
	assert_string_equal(calls, "store\nget\nerase\nerase\nerase\n");
}

static void test_helpers_for_single_registries(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *file = NULL, *token = NULL;

	write_file(place, "config.json",
		   "{\"credHelpers\":{\"h.x\":\"test\",\"k\":\"\"},\"credsStore\":\"other\"}",
		   0600);
	store("h.x", NULL, NULL, "tok");
	token = read_file(place, "got-store");
	assert_string_equal(token,
			    "{\"ServerURL\":\"h.x\",\"Username\":\"<token>\",\"Secret\":\"tok\"}");
	store("k", "u", "p", NULL);
	file = read_file(place, "config.json");
	check_stored(file, "k", "u", "p", "-");
	write_file(place, "say-get", "{\"Username\":\"<token>\",\"Secret\":\"tok\"}", 0600);
	check_header("h.x/x", "{\"serveraddress\":\"h.x\",\"identitytoken\":\"tok\"}");
}

static void check_helper_failure(struct place *place, const char *says, bool fails, int result,
				 const char *message)
{
	_cleanup_credentials_ struct credentials found = { 0 };
	struct cay_error err = { 0 };
	int r;

	write_file(place, "say-get", says, 0600);
	if (fails)
		write_file(place, "fail-get", "", 0600);
	r = credentials_get("h", &found, &err);
	assert_int_equal(r < 0 ? -1 : r, result);
	if (result < 0)
		assert_non_null(strstr(err.message, message));
	assert_null(strstr(err.message, "hunter2"));
}

static void test_helpers_that_fail(void **state)
{
	struct place *place = *state;
	struct credentials found = { 0 };
	struct cay_error err = { 0 };
	char *header = NULL;

	write_file(place, "config.json", "{\"credsStore\":\"test\"}", 0600);
	check_helper_failure(place, "[1]", false, -1, "no JSON object");
	check_helper_failure(place, "{\"Username\":\"u\"}", false, -1, "no Secret");
	check_helper_failure(place, "credentials not found in native keychain\n", true, 0, "");
	check_helper_failure(place, "the keychain is locked\nmore", true, -1,
			     "docker-credential-test get: the keychain is locked");
	check_helper_failure(place, "{\"Secret\":\"hunter2\"}", true, -1, "exit code 1");

	write_file(place, "config.json", "{\"credsStore\":\"absent\"}", 0600);
	assert_true(credentials_get("h", &found, &err) < 0);
	assert_non_null(strstr(err.message, "docker-credential-absent"));
	write_file(place, "config.json", "{\"credsStore\":\"../x\"}", 0600);
	assert_true(credentials_get("h", &found, &err) < 0);
	/* Pulling public images still works. */
	cay_error_clear(&err);
	assert_ok(credentials_header("h/x", &header, &err));
	assert_string_equal(header, "e30=");
	assert_int_equal(err.code, CAY_OK);
	secret_free(header);
}

static void test_a_helper_that_never_stops(void **state)
{
	struct place *place = *state;
	struct credentials found = { 0 };
	struct cay_error err = { 0 };

	write_file(place, "docker-credential-test", "#!/bin/sh\nexec yes\n", 0700);
	write_file(place, "config.json", "{\"credsStore\":\"test\"}", 0600);
	assert_true(credentials_get("h", &found, &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
}

static void add_line(void *context, const char *key, const char *username)
{
	buf_printf(context, "%s=%s\n", key, username);
}

static void test_listing(void **state)
{
	struct place *place = *state;
	_cleanup_buf_ struct buf lines = { 0 };
	struct cay_error err = { 0 };

	write_file(place, "config.json",
		   "{\"auths\":{\"z\":{\"auth\":\"dTpw\"},\"e\":{}},\"credsStore\":\"test\"}",
		   0600);
	write_file(place, "say-list", "{\"k\":\"ann\",\"b\":\"bob\",\"odd\":1}", 0600);
	assert_int_equal(credentials_list(add_line, &lines, &err), 0);
	assert_string_equal(buf_text(&lines), "b=bob\nk=ann\nz=u\n");
	write_file(place, "fail-list", "", 0600);
	buf_clear(&lines);
	assert_int_equal(credentials_list(add_line, &lines, &err), 1);
	assert_string_equal(buf_text(&lines), "z=u\n");
}

/* The keeper itself decides: its helper alone would have nowhere to keep anything. */
static void test_the_helper_of_pass(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *without = NULL, *with = NULL;

	(void)setenv("PATH", place->directory, 1);
	write_file(place, "docker-credential-pass", "#!/bin/sh\nread x || :\n", 0700);
	store("h", "u", "p", NULL);
	without = read_file(place, "config.json");
	assert_null(strstr(without, "credsStore"));
	write_file(place, "config.json", "{}", 0600);
	write_file(place, "pass", "#!/bin/sh\n", 0700);
	store("h", "u", "p", NULL);
	with = read_file(place, "config.json");
	assert_non_null(strstr(with, "\"credsStore\": \"pass\""));
}

/* Where nothing was ever stored, the keeper of secrets that is installed is taken, and remembered.
 */
static void test_a_helper_that_is_found(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *config = NULL;

	(void)setenv("PATH", place->directory, 1);
	write_file(place, "docker-credential-secretservice", "#!/bin/sh\nread x || :\n", 0700);
	store("h", "u", "p", NULL);
	config = read_file(place, "config.json");
	assert_non_null(strstr(config, "\"credsStore\": \"secretservice\""));
	assert_non_null(strstr(config, "\"h\": {}"));
}

#define IN_PLACE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_what_is_no_config),
		cmocka_unit_test(test_an_unreadable_entry),
		cmocka_unit_test(test_keys),
		IN_PLACE(test_writing),
		IN_PLACE(test_a_file_of_others),
		IN_PLACE(test_a_link_that_leads_nowhere_yet),
		IN_PLACE(test_a_broken_file_is_kept),
		IN_PLACE(test_headers),
		IN_PLACE(test_a_helper),
		IN_PLACE(test_helpers_for_single_registries),
		IN_PLACE(test_helpers_that_fail),
		IN_PLACE(test_a_helper_that_never_stops),
		IN_PLACE(test_listing),
		IN_PLACE(test_a_helper_that_is_found),
		IN_PLACE(test_the_helper_of_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
