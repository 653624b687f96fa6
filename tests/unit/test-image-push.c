/* SPDX-License-Identifier: Apache-2.0 */
/* What a push sends and what it leaves alone, who may see the credentials, and what comes after. */
#include "image-push.h"

#include "image/push-internal.h"

static int set_up_push(void **state)
{
	int r = set_up(state);

	add_image(*state);
	return r;
}

static void test_everything(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf wanted = { 0 };
	const char *layer = fixture->layer_digest, *config = fixture->config_digest;
	struct cay_error err = { 0 };

	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	buf_printf(&wanted,
		   "HEAD /v2/x/blobs/%s 0\n"
		   "POST " UPLOADS " 0\n"
		   "PUT /up/1?state=a&digest=%s %zu\n"
		   "HEAD /v2/x/blobs/%s 0\n"
		   "POST " UPLOADS " 0\n"
		   "PUT /up/1?state=a&digest=%s %zu\n"
		   "PUT " MANIFEST " %zu\n",
		   layer, layer, fixture->layer.length, config, config, fixture->config.length,
		   fixture->manifest.length);
	assert_string_equal(buf_text(&fixture->server.log), buf_text(&wanted));
}

/* Then the image is known by its digest there, and the layer as one that can be mounted. */
static void test_noted(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *name = NULL, *elsewhere = NULL;
	_cleanup_(image_free_p) struct image *image = NULL;
	struct image_pushed pushed;
	struct cay_error err = { 0 };
	char digest[DIGEST_SIZE];

	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	digest_of(fixture->manifest.data, fixture->manifest.length, digest);
	name = xasprintf("127.0.0.1:%u/x@%s", fixture->server.port, digest);
	assert_ok(image_store_find(fixture->store, name, &image, &err));
	assert_true(strv_contains(&image->digests, name));
	elsewhere = xasprintf("127.0.0.1:%u/y:2", fixture->server.port);
	assert_ok(image_store_tag(fixture->store, name, elsewhere, &err));
	/* The server is gone: that it is looked for at all is enough here. */
	assert_true(image_store_push(fixture->store, elsewhere, NULL, NULL, NULL, &pushed, &err) <
		    0);
	assert_int_equal(err.code, CAY_UNAVAILABLE);
}

static void test_nothing_new(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	add_method(fixture, "HEAD", fixture->layer_path, 200)->body = &fixture->layer;
	add_config_answer(fixture);
	(void)add_method(fixture, "PUT", MANIFEST, 201);
	assert_ok(push(fixture, &err));
	assert_int_equal(count_asked(fixture, "POST"), 0);
}

/* What has the digest and another size is not the blob: the registry gets it to judge. */
static void test_another_size(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	add_method(fixture, "HEAD", fixture->layer_path, 200)->body = &fixture->config;
	add_config_answer(fixture);
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	assert_layer_taken(fixture);
}

/* Gives the image a digest in another repository of the registry. */
static void pull_from_other(struct fixture *fixture)
{
	_cleanup_free_ char *name = xasprintf("127.0.0.1:%u/team/y", fixture->server.port);
	char digest[DIGEST_SIZE];
	struct cay_error err = { 0 };

	digest_of(fixture->manifest.data, fixture->manifest.length, digest);
	const struct publication publication = { .manifest_digest = digest,
						 .digest_name = xasprintf("%s@%s", name, digest) };

	assert_ok(store_publish(fixture->store, &publication, NULL, NULL, &err));
	free((char *)publication.digest_name);
}

/* An image that is known as something, with one layer, in so many repositories. */
static void add_record(struct fixture *fixture, const char *layer, char name, unsigned int count)
{
	struct record *record = xcalloc(1, sizeof(*record));

	strv_add(&record->blobs, layer);
	for (unsigned int i = 0; i < count; i++)
		strv_addf(&record->digests, "h/%c%u@%s", name, i, fixture->layer_digest);
	catalog_add(&fixture->store->catalog, record);
}

/*
 * All layers together have few sources, as the token is for all of them, and each layer chooses
 * among those; no layer takes all.
 */
static void test_sources(void **state)
{
	struct fixture *fixture = *state;
	const struct image_ref ref = { .registry = (char *)"h", .repository = (char *)"c1" };
	_cleanup_strv_ struct strv layers = { 0 }, chosen = { 0 };
	const char *const names[] = { "sha256:a", "sha256:b", "sha256:c" };

	add_record(fixture, names[0], 'a', 20);
	add_record(fixture, names[1], 'b', 20);
	add_record(fixture, names[2], 'c', 2);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		strv_add(&layers, names[i]);
	push_choose_sources(fixture->store, &ref, &layers, &chosen);
	assert_int_equal(chosen.count, MOUNT_SOURCES_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_strv_ struct strv found = { 0 };

		push_find_sources(fixture->store, &ref, names[i], &chosen, &found);
		assert_true(found.count > 0);
		for (size_t j = 0; j < found.count; j++) {
			assert_int_equal(found.items[j][0], names[i][strlen("sha256:")]);
			assert_true(strv_contains(&chosen, found.items[j]));
			assert_string_not_equal(found.items[j], "c1");
		}
	}
}

static void collect_status(const struct image_progress *progress, void *user)
{
	buf_printf(user, "%s|", progress->status);
}

static void test_mount(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf told = { 0 };
	const struct image_progress_sink sink = { .report = collect_status, .user = &told };
	_cleanup_free_ char *wanted =
		xasprintf("POST " UPLOADS "?mount=%s&from=team%%2Fy 0", fixture->layer_digest);
	struct cay_error err = { 0 };

	pull_from_other(fixture);
	(void)add_method(fixture, "POST", UPLOADS, 201);
	add_config_answer(fixture);
	(void)add_method(fixture, "PUT", MANIFEST, 201);
	assert_ok(push_as(fixture, NULL, &sink, &err));
	assert_asked(fixture, wanted);
	assert_non_null(strstr(buf_text(&told), "Mounted from team/y|"));
}

/* It may refuse to mount by a session instead, or in so many words. */
static void test_no_mount(void **state)
{
	struct fixture *fixture = *state;
	struct answer *refusal;
	struct cay_error err = { 0 };

	pull_from_other(fixture);
	refusal = add_method(fixture, "POST", UPLOADS, 405);
	refusal->times = 1;
	add_config_answer(fixture);
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	assert_int_equal(count_asked(fixture, "POST"), 2);
	assert_layer_taken(fixture);
}

/* One whose mounting is broken gets the layer sent. */
static void test_mount_fails(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	pull_from_other(fixture);
	add_method(fixture, "POST", UPLOADS, 500)->times = 1;
	add_config_answer(fixture);
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	/* No second try of the mount. */
	assert_int_equal(count_asked(fixture, "mount="), 1);
	assert_int_equal(count_asked(fixture, "POST"), 2);
	assert_layer_taken(fixture);
}

/* Whether a blob is there may be told by a storage behind that takes no HEAD. */
static void test_no_heads(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	(void)add_method(fixture, "HEAD", fixture->layer_path, 403);
	add_config_answer(fixture);
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	assert_layer_taken(fixture);
}

/* A refusal is told in the registry's own words, which no answer to a HEAD has. */
static void test_denied(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not yours\"}]}");
	(void)add_method(fixture, "HEAD", fixture->layer_path, 403);
	add_method(fixture, "POST", UPLOADS, 403)->body = &body;
	add_config_answer(fixture);
	assert_push_fails(fixture, CAY_UNAUTHORIZED, "DENIED: not yours");
}

static void test_session_instead_of_mount(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	pull_from_other(fixture);
	add_config_answer(fixture);
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	assert_int_equal(count_asked(fixture, "POST"), 1);
	assert_layer_taken(fixture);
}

/* The token asked for may write here, and read where it may mount from. */
static void test_token(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf token = { 0 };
	_cleanup_free_ char *challenge = xasprintf(
		"WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\",service=\"s\""
		"\r\n",
		fixture->server.port);
	struct cay_error err = { 0 };

	pull_from_other(fixture);
	buf_puts(&token, "{\"token\":\"t0ken\"}");
	(void)add_answer(fixture, "/token", 200, &token);
	add_method(fixture, "HEAD", "/v2/x/*", 401)->headers = challenge;
	fixture->answers[fixture->count - 1].times = 1;
	(void)add_method(fixture, "POST", UPLOADS, 201);
	add_config_answer(fixture);
	(void)add_method(fixture, "PUT", MANIFEST, 201);
	fixture->answers[fixture->count - 1].needs = "Authorization: Bearer t0ken\r\n";
	assert_ok(push(fixture, &err));
	assert_asked(fixture,
		     "GET /token?service=s&scope=repository%3Ax%3Apull%2Cpush"
		     "&scope=repository%3Ateam%2Fy%3Apull 0");
}

/* The bytes may be wanted elsewhere; the credentials stay. */
static void test_elsewhere(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *location = NULL;
	struct answer other_answers[1];
	struct server other;
	struct cay_error err = { 0 };

	server_start(&other, other_answers, 1);
	other_answers[0] = (struct answer){ .path = "/up/2", .method = "PUT", .status = 201 };
	location = xasprintf("Location: http://127.0.0.1:%u/up/2?sig=x\r\n", other.port);
	add_method(fixture, "HEAD", fixture->layer_path, 401)->headers =
		"WWW-Authenticate: Basic realm=\"r\"\r\n";
	fixture->answers[fixture->count - 1].times = 1;
	add_config_answer(fixture);
	add_method(fixture, "POST", UPLOADS, 202)->headers = location;
	fixture->answers[fixture->count - 1].needs = "Authorization: Basic";
	(void)add_method(fixture, "PUT", MANIFEST, 201);
	fixture->answers[fixture->count - 1].needs = "Authorization: Basic";
	server_run(&other);
	assert_ok(push_as(fixture, &login, NULL, &err));
	server_stop(&other);
	assert_int_equal(other.requests, 1);
	assert_int_equal(other.credentials, 0);
	assert_int_equal(other.taken.length, fixture->layer.length);
	server_done(&other);
}

static void test_wrong_password(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf told = { 0 };
	const struct image_progress_sink sink = { .report = collect_status, .user = &told };
	struct cay_error err = { 0 };

	add_method(fixture, "HEAD", "/v2/x/*", 401)->headers =
		"WWW-Authenticate: Basic realm=\"r\"\r\n";
	assert_true(push_as(fixture, &login, &sink, &err) < 0);
	assert_int_equal(err.code, CAY_UNAUTHORIZED);
	assert_non_null(strstr(err.message, "credentials are wrong"));
	assert_null(strstr(err.message, PASSWORD));
	assert_null(strstr(buf_text(&told), PASSWORD));
}

static void test_secret_in_error(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not " PASSWORD "\"}]}");
	add_method(fixture, "POST", UPLOADS, 403)->body = &body;
	assert_true(push_as(fixture, &login, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_UNAUTHORIZED);
	assert_null(strstr(err.message, PASSWORD));
}

/* Nor a piece of it, where a long text is cut. */
static void test_cut_secret_in_error(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"");
	for (int i = 0; i < 195; i++)
		buf_putc(&body, '-');
	buf_puts(&body, PASSWORD "\"}]}");
	add_method(fixture, "POST", UPLOADS, 403)->body = &body;
	assert_true(push_as(fixture, &login, NULL, &err) < 0);
	assert_null(strstr(err.message, "-s3c"));
}

static void test_manifest_refused(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"MANIFEST_INVALID\",\"message\":\"no\"}]}");
	add_method(fixture, "PUT", MANIFEST, 400)->body = &body;
	add_taking_answers(fixture);
	assert_true(push(fixture, &err) < 0);
	assert_non_null(strstr(err.message, "MANIFEST_INVALID: no"));
}

static void test_another_manifest(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *header =
		xasprintf("Docker-Content-Digest: %s\r\n", fixture->layer_digest);
	struct cay_error err = { 0 };

	add_method(fixture, "PUT", MANIFEST, 201)->headers = header;
	add_taking_answers(fixture);
	assert_true(push(fixture, &err) < 0);
	assert_int_equal(err.code, CAY_CORRUPT);
}

static void test_unknown(void **state)
{
	struct fixture *fixture = *state;
	struct image_pushed pushed;
	struct cay_error err = { 0 };

	assert_true(image_store_push(fixture->store, "127.0.0.1:1/none:x", NULL, NULL, NULL,
				     &pushed, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_non_null(strstr(err.message, "127.0.0.1:1/none:x"));
	assert_true(image_store_push(fixture->store, fixture->config_digest, NULL, NULL, NULL,
				     &pushed, &err) < 0);
}

#define PUSH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_push, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PUSH_TEST(test_everything),
		PUSH_TEST(test_noted),
		PUSH_TEST(test_nothing_new),
		PUSH_TEST(test_another_size),
		PUSH_TEST(test_sources),
		PUSH_TEST(test_mount),
		PUSH_TEST(test_no_mount),
		PUSH_TEST(test_mount_fails),
		PUSH_TEST(test_no_heads),
		PUSH_TEST(test_denied),
		PUSH_TEST(test_session_instead_of_mount),
		PUSH_TEST(test_token),
		PUSH_TEST(test_elsewhere),
		PUSH_TEST(test_wrong_password),
		PUSH_TEST(test_secret_in_error),
		PUSH_TEST(test_cut_secret_in_error),
		PUSH_TEST(test_manifest_refused),
		PUSH_TEST(test_another_manifest),
		PUSH_TEST(test_unknown),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
