/* SPDX-License-Identifier: Apache-2.0 */
/* References: what each stands for, what is refused, and platforms. */
#include "test.h"

#include "base/alloc.h"
#include "image/platform.h"
#include "image/ref.h"
#include "image/store.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *written, *full, *familiar; /* full NULL: refused */
} rows[] = {
	{ "debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "debian:12", "docker.io/library/debian:12", "debian:12" },
	{ "a/b", "docker.io/a/b:latest", "a/b:latest" },
	{ "library/debian:x", "docker.io/library/debian:x", "debian:x" },
	{ "docker.io/debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "localhost/x", "localhost/x:latest", "localhost/x:latest" },
	{ "localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest" },
	{ "127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t" },
	{ "[::1]:5000/x:t", "[::1]:5000/x:t", "[::1]:5000/x:t" },
	{ "host.example/x@sha256:" HEX, "host.example/x@sha256:" HEX,
	  "host.example/x@sha256:" HEX },
	{ "x:t@sha256:" HEX, "docker.io/library/x:t@sha256:" HEX, "x:t@sha256:" HEX },
	{ "a__b/c---d.e_f", "docker.io/a__b/c---d.e_f:latest", "a__b/c---d.e_f:latest" },
	{ "Host/x", "Host/x:latest", "Host/x:latest" },
	{ "docker.io/a.b/x", "docker.io/a.b/x:latest", "docker.io/a.b/x:latest" },
	{ "docker.io/localhost/x", "docker.io/localhost/x:latest", "docker.io/localhost/x:latest" },
	{ "host.example/sha256:" HEX, "host.example/sha256:" HEX, "host.example/sha256:" HEX },
	{ "sha256:" HEX, NULL, NULL }, /* an image's id, and nobody else's name */
	{ "sha256", NULL, NULL },
	{ "library/sha256:x", NULL, NULL },
	{ "", NULL, NULL },
	{ "Debian", NULL, NULL },
	{ "a/B", NULL, NULL },
	{ HEX, NULL, NULL },
	{ "a//b", NULL, NULL },
	{ "/a", NULL, NULL },
	{ "a/", NULL, NULL },
	{ "a:", NULL, NULL },
	{ "a:b:c", NULL, NULL },
	{ "a..b", NULL, NULL },
	{ "a___b", NULL, NULL },
	{ "-a", NULL, NULL },
	{ "a b", NULL, NULL },
	{ "a:-x", NULL, NULL },
	{ "a@sha256:../../x", NULL, NULL },
	{ "a@sha256:"
	  "ABCDEF",
	  NULL, NULL },
	{ "a@sha512:" HEX HEX, NULL, NULL },
	{ "a@md5:" HEX, NULL, NULL },
	{ "../x", NULL, NULL },
	{ "host:0/x", NULL, NULL },
	{ "host:70000/x", NULL, NULL },
	{ "host:5x/x", NULL, NULL },
	{ "[::1/x", NULL, NULL },
	{ "user@host/x", NULL, NULL },
	{ "http://host/x", NULL, NULL },
};

static void test_forms(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *full = NULL, *familiar = NULL;
		struct cay_error err = { 0 };
		int r = image_reference_normalize(rows[i].written, &full, &err);

		if (!rows[i].full) {
			if (r >= 0)
				fail_msg("\"%s\" was taken for %s", rows[i].written, full);
			assert_int_equal(err.code, CAY_INVALID);
			continue;
		}
		assert_ok(r);
		assert_string_equal(full, rows[i].full);
		familiar = image_reference_familiar(full);
		assert_string_equal(familiar, rows[i].familiar);
	}
}

static void test_lengths(void **state)
{
	char name[300], tag[300];
	_cleanup_free_ char *full = NULL;
	struct cay_error err = { 0 };

	(void)snprintf(name, sizeof(name), "h.io/%0250d", 0);
	assert_ok(image_reference_normalize(name, &full, &err));
	(void)snprintf(name, sizeof(name), "h.io/%0251d", 0);
	assert_true(image_reference_normalize(name, &full, &err) < 0);
	(void)snprintf(tag, sizeof(tag), "x:%0129d", 0);
	assert_true(image_reference_normalize(tag, &full, &err) < 0);
}

static void test_loopback(void **state)
{
	assert_true(image_ref_is_loopback("localhost"));
	assert_true(image_ref_is_loopback("localhost:5000"));
	assert_true(image_ref_is_loopback("127.1.2.3:80"));
	assert_true(image_ref_is_loopback("[::1]:5000"));
	assert_false(image_ref_is_loopback("127.evil.example"));
	assert_false(image_ref_is_loopback("localhost.example"));
	assert_false(image_ref_is_loopback("docker.io"));
}

static unsigned int match(const char *wanted, const char *offered)
{
	_cleanup_platform_ struct platform a = { 0 }, b = { 0 };
	struct cay_error err = { 0 };

	assert_ok(platform_parse(wanted, &a, &err));
	assert_ok(platform_parse(offered, &b, &err));
	return platform_match(&a, &b);
}

static void test_platforms(void **state)
{
	struct platform none = { 0 };
	struct cay_error err = { 0 };

	assert_true(match("linux/amd64", "linux/amd64") > 0);
	assert_true(match("linux/x86_64", "linux/amd64") > 0);
	assert_true(match("linux/arm64/v8", "linux/arm64") > 0);
	assert_true(match("linux/arm/v7", "linux/arm/v7") > match("linux/arm/v7", "linux/arm/v6"));
	assert_true(match("linux/arm/v7", "linux/arm/v6") > match("linux/arm/v7", "linux/arm/v5"));
	assert_true(match("linux/arm/v7", "linux/arm") > 0);
	assert_int_equal(match("linux/arm/v6", "linux/arm/v7"), 0);
	assert_int_equal(match("linux/amd64", "linux/arm64"), 0);
	assert_int_equal(match("linux/amd64", "windows/amd64"), 0);
	assert_int_equal(match("linux/amd64", "linux/amd64/v3"), 0);
	assert_true(match("linux/amd64/v3", "linux/amd64") > 0);
	assert_true(platform_parse("linux", &none, &err) < 0);
	assert_true(platform_parse("a/b/c/d", &none, &err) < 0);
	assert_true(platform_parse("", &none, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_platforms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
