/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of certificates for registries. */
#include "test.h"

#include "base/alloc.h"
#include "image/certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

struct fixture {
	char directory[64];
	char *first, *second; /* two certs.d, the first with a folder for "host:5000" */
	struct strv folders;
};

static int set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	_cleanup_free_ char *host = NULL;
	struct cay_error err = { 0 };

	make_test_directory(fixture->directory);
	fixture->first = path_join(fixture->directory, "first");
	fixture->second = path_join(fixture->directory, "second");
	host = path_join(fixture->first, "host:5000");
	assert_ok(make_dirs(host, 0755, &err));
	assert_ok(make_dirs(fixture->second, 0755, &err));
	strv_add(&fixture->folders, fixture->first);
	strv_add(&fixture->folders, fixture->second);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	assert_ok(remove_tree(fixture->directory, &err));
	strv_done(&fixture->folders);
	free(fixture->first);
	free(fixture->second);
	free(fixture);
	return 0;
}

static void put(const struct fixture *fixture, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/host:5000/%s", fixture->first, name);
	struct cay_error err = { 0 };

	assert_ok(file_write_volatile(path, text, strlen(text), 0600, &err));
}

/* A certificate that signs itself, in PEM; the caller frees. */
static char *make_certificate(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	BIO *out = BIO_new(BIO_s_mem());
	char *text, *copy;
	long length;

	assert_true(key && certificate && out);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(out, certificate), 1);
	length = BIO_get_mem_data(out, &text);
	copy = xstrndup(text, (size_t)length);
	BIO_free_all(out);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return copy;
}

static void test_names(void **state)
{
	static const char *const good[] = { "docker.io",   "host:5000",
					    "localhost",   "[::1]:5000",
					    "[fd00::2]",   "10.0.0.1:1",
					    "under_score", "UPPER-case.example:65535" };
	static const char *const bad[] = { "",      ".",          "..",    "a/b",    "a\\b",
					   "../x",  ".hidden",    "host:", "host:x", "h:1:2",
					   ":5000", "host:65536", "[",     "[]",     "[::1",
					   "[x]",   "[::1]x",     "a b",   "a\n" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!certs_name_is_valid(good[i]))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (certs_name_is_valid(bad[i]))
			fail_msg("taken: %s", bad[i]);
}

static void test_load(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *text = make_certificate();
	_cleanup_certs_ struct certs certs = { 0 }, none = { 0 };
	struct cay_error err = { 0 };

	put(fixture, "ca.crt", text);
	put(fixture, "b.cert", "the certificate");
	put(fixture, "b.key", "its key");
	put(fixture, "c.cert", "another");
	put(fixture, "c.key", "its key");
	put(fixture, "README", "nothing to do with it");
	assert_ok(certs_load(&fixture->folders, "host:5000", &certs, &err));
	assert_non_null(strstr(buf_text(&certs.authorities), text));
	assert_true(ends_with(certs.certificate, "/host:5000/b.cert"));
	assert_true(ends_with(certs.key, "/host:5000/b.key"));
	assert_ok(certs_load(&fixture->folders, "host", &none, &err));
	assert_ok(certs_load(&fixture->folders, "../first/host:5000", &none, &err));
	assert_ok(certs_load(NULL, "host:5000", &none, &err));
	assert_int_equal(none.authorities.length, 0);
	assert_null(none.certificate);
}

static void assert_refused(struct fixture *fixture, const char *part)
{
	_cleanup_certs_ struct certs certs = { 0 };
	struct cay_error err = { 0 };

	assert_true(certs_load(&fixture->folders, "host:5000", &certs, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	if (!strstr(err.message, part))
		fail_msg("\"%s\" instead of \"%s\"", err.message, part);
}

static void test_no_certificate(void **state)
{
	put(*state, "ca.crt", "-----BEGIN NOTHING-----\n");
	assert_refused(*state, "ca.crt holds no certificate");
}

static void test_no_key(void **state)
{
	put(*state, "a.cert", "x");
	assert_refused(*state, "its key, a.key, is missing");
}

static void test_key_alone(void **state)
{
	put(*state, "a.key", "x");
	assert_refused(*state, "its certificate, a.cert, is missing");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),  TEST(test_load),      TEST(test_no_certificate),
		TEST(test_no_key), TEST(test_key_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
