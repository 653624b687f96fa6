/* SPDX-License-Identifier: Apache-2.0 */
/* cayd's command line: what it takes, what it refuses, and with which words. */
#include "test.h"

#include "daemon/options.h"

enum { WORDS_MAX = 8 };

/* The words are behind the program's name, up to a NULL. */
static int parse(const char *const *words, struct daemon_options *options, struct cay_error *err)
{
	char *argv[WORDS_MAX + 2] = { (char *)"cayd" };
	int argc = 1;

	while (words[argc - 1]) {
		argv[argc] = (char *)words[argc - 1];
		argc++;
	}
	return daemon_options_parse(options, argc, argv, err);
}

static void test_defaults(void **state)
{
	static const char *const words[] = { NULL };
	struct daemon_options options = { 0 };
	struct cay_error err = { 0 };

	assert_ok(parse(words, &options, &err));
	assert_string_equal(options.host, "unix:///run/cay/cay.sock");
	assert_int_equal(options.max_downloads, 3);
	assert_int_equal(options.max_uploads, 5);
	assert_int_equal(options.certs_folders.count, 2);
	assert_string_equal(options.certs_folders.items[0], "/etc/cay/certs.d");
	assert_string_equal(options.certs_folders.items[1], "/etc/docker/certs.d");
	assert_true(options.use_templates);
	assert_true(options.use_translations);
	assert_int_equal(options.pool_size, 2);
	assert_int_equal(options.pool_memory_bytes, 512 * MIB);
	daemon_options_done(&options);
}

static void test_warm_start(void **state)
{
	static const char *const words[] = {
		"--templates=off",  "--translations",    "off", "--pool", "0",
		"--pool-memory=1g", "--warm-program=/w", NULL
	};
	struct daemon_options options = { 0 };
	struct cay_error err = { 0 };

	assert_ok(parse(words, &options, &err));
	assert_false(options.use_templates);
	assert_false(options.use_translations);
	assert_int_equal(options.pool_size, 0);
	assert_int_equal(options.pool_memory_bytes, GIB);
	assert_string_equal(options.warm_program, "/w");
	daemon_options_done(&options);
}

static void test_registries(void **state)
{
	static const char *const words[] = { "--registry-mirror=https://m.example",
					     "--registry-mirror",
					     "http://n.example:5000/",
					     "--insecure-registry=10.0.0.0/8",
					     "--insecure-registry=host:5000",
					     "--registry-certs=/certs",
					     "--max-concurrent-uploads=16",
					     NULL };
	struct daemon_options options = { 0 };
	struct cay_error err = { 0 };

	assert_ok(parse(words, &options, &err));
	assert_int_equal(options.registry_mirrors.count, 2);
	assert_string_equal(options.registry_mirrors.items[1], "http://n.example:5000/");
	assert_int_equal(options.insecure_registries.count, 2);
	assert_int_equal(options.certs_folders.count, 1);
	assert_string_equal(options.certs_folders.items[0], "/certs");
	assert_int_equal(options.max_uploads, 16);
	daemon_options_done(&options);
}

static void test_refused(void **state)
{
	static const struct {
		const char *word, *part;
	} rows[] = {
		{ "--nonsense", "unknown argument" },
		{ "--root", "needs a value" },
		{ "--help=yes", "takes no value" },
		{ "--accel=xen", "is not auto" },
		{ "--registry-mirror=m.example", "--registry-mirror: \"m.example\"" },
		{ "--registry-mirror=https://m.example/path", "more than a host" },
		{ "--insecure-registry=10.0.0.0/33", "HOST[:PORT] or ADDRESS/BITS" },
		{ "--insecure-registry=http://host", "HOST[:PORT] or ADDRESS/BITS" },
		{ "--max-concurrent-downloads=0", "from 1 to 16" },
		{ "--max-concurrent-downloads=17", "from 1 to 16" },
		{ "--max-concurrent-uploads=x", "--max-concurrent-uploads" },
		{ "--templates=maybe", "--templates: \"maybe\" is not on or off" },
		{ "--translations=", "--translations: \"\" is not on or off" },
		{ "--pool=-1", "from 0 to 64" },
		{ "--pool=65", "from 0 to 64" },
		{ "--pool-memory=much", "is not a size" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *const words[] = { rows[i].word, NULL };
		struct daemon_options options = { 0 };
		struct cay_error err = { 0 };

		assert_true(parse(words, &options, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
		if (!strstr(err.message, rows[i].part))
			fail_msg("\"%s\" instead of \"%s\"", err.message, rows[i].part);
		daemon_options_done(&options);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_registries),
		cmocka_unit_test(test_warm_start),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
