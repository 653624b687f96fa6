/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of pushes share: the image in the store, and a registry that would take it. */
#pragma once

#include "image-registry.h"

/* The image under its name in the server's registry. */
static inline cay_unused void add_image(struct fixture *fixture)
{
	struct image_store *store = fixture->store;
	_cleanup_free_ char *name = xasprintf("127.0.0.1:%u/x:latest", fixture->server.port);
	struct pins pins = { .store = store };
	char layer[DIGEST_SIZE], manifest[DIGEST_SIZE];
	const struct publication publication = { .manifest_digest = manifest, .name = name };
	struct cay_error err = { 0 };

	assert_ok(add_layer(&pins, &fixture->layer, layer, &err));
	pins_add(&pins, fixture->config_digest);
	digest_of(fixture->manifest.data, fixture->manifest.length, manifest);
	pins_add(&pins, manifest);
	assert_ok(content_write_blob(&store->content, fixture->config.data, fixture->config.length,
				     &err));
	assert_ok(content_write_blob(&store->content, fixture->manifest.data,
				     fixture->manifest.length, &err));
	assert_ok(store_publish(store, &publication, NULL, NULL, &err));
	pins_done(&pins);
}

#define UPLOADS  "/v2/x/blobs/uploads/"
#define MANIFEST "/v2/x/manifests/latest"

/* A registry that has nothing and takes everything in one piece, behind what the test has added. */
static inline cay_unused void add_taking_answers(struct fixture *fixture)
{
	add_method(fixture, "POST", UPLOADS, 202)->headers = "Location: /up/1?state=a\r\n";
	(void)add_method(fixture, "PUT", "/up/1", 201);
	(void)add_method(fixture, "PUT", MANIFEST, 201);
}

/* The configuration is there: what is told is about the layer alone. */
static inline cay_unused void add_config_answer(struct fixture *fixture)
{
	add_method(fixture, "HEAD", fixture->config_path, 200)->body = &fixture->config;
}

static inline cay_unused int push_as(struct fixture *fixture,
				     const struct image_credentials *credentials,
				     const struct image_progress_sink *sink, struct cay_error *err)
{
	_cleanup_free_ char *reference = xasprintf("127.0.0.1:%u/x", fixture->server.port);
	struct image_pushed pushed = { "", 0 };
	char digest[DIGEST_SIZE];
	int r;

	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	r = image_store_push(fixture->store, reference, NULL, credentials, sink, &pushed, err);
	server_stop(&fixture->server);
	digest_of(fixture->manifest.data, fixture->manifest.length, digest);
	if (r == 0) {
		assert_string_equal(pushed.digest, digest);
		assert_int_equal(pushed.size, fixture->manifest.length);
	}
	return r;
}

static inline cay_unused int push(struct fixture *fixture, struct cay_error *err)
{
	return push_as(fixture, NULL, NULL, err);
}

static inline cay_unused void assert_push_fails(struct fixture *fixture, enum cay_code code,
						const char *part)
{
	struct cay_error err = { 0 };

	if (push(fixture, &err) >= 0)
		fail_msg("pushed instead of: %s", part);
	if (err.code != code || !strstr(err.message, part))
		fail_msg("\"%s\" (%s) instead of \"%s\"; asked:\n%s", err.message,
			 cay_code_name(err.code), part, buf_text(&fixture->server.log));
	/* The manifest never comes before what it names. */
	assert_null(strstr(buf_text(&fixture->server.log), "PUT " MANIFEST));
}

/* Whether the registry was asked this, word for word. */
static inline cay_unused void assert_asked(const struct fixture *fixture, const char *line)
{
	_cleanup_free_ char *whole = xasprintf("%s\n", line);

	if (!strstr(buf_text(&fixture->server.log), whole))
		fail_msg("not asked: %s; but:\n%s", line, buf_text(&fixture->server.log));
}

static inline cay_unused size_t count_asked(const struct fixture *fixture, const char *part)
{
	size_t count = 0;

	for (const char *at = buf_text(&fixture->server.log); (at = strstr(at, part)); at++)
		count++;
	return count;
}

/* The bytes below /up/ were the layer's, in order, each once. */
static inline cay_unused void assert_layer_taken(const struct fixture *fixture)
{
	const struct buf *taken = &fixture->server.taken;

	assert_int_equal(taken->length, fixture->layer.length);
	assert_memory_equal(taken->data, fixture->layer.data, taken->length);
}
