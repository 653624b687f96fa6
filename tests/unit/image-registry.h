/* SPDX-License-Identifier: Apache-2.0 */
/* An image of one layer, in a server that follows a script; and a store to pull it to or push from.
 */
#pragma once

#include "image-fixture.h"
#include "image-server.h"

#include "base/clock.h"
#include "image/manifest.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

struct fixture {
	char directory[64];
	struct image_store *store;
	struct buf layer, config, manifest;
	char layer_path[128], config_path[128];
	char layer_digest[DIGEST_SIZE], config_digest[DIGEST_SIZE];
	struct answer answers[24];
	size_t count;
	struct server server;
};

static inline cay_unused struct answer *add_answer(struct fixture *fixture, const char *path,
						   int status, const struct buf *body)
{
	struct answer *answer = &fixture->answers[fixture->count++];

	*answer = (struct answer){ .path = path, .status = status, .body = body };
	return answer;
}

static inline cay_unused struct answer *add_method(struct fixture *fixture, const char *method,
						   const char *path, int status)
{
	struct answer *answer = add_answer(fixture, path, status, NULL);

	answer->method = method;
	return answer;
}

static inline cay_unused int set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	char *const layer = fixture->layer_digest, *const config = fixture->config_digest;
	struct tar_item item = { .type = '0', .name = "file" };
	_cleanup_free_ char *contents = xmalloc(300001);

	for (size_t i = 0; i < 300000; i++)
		contents[i] = (char)('a' + i * 7 % 26);
	contents[300000] = '\0';
	item.contents = contents;
	make_test_directory(fixture->directory);
	_cleanup_free_ char *root = path_join(fixture->directory, "root");

	fixture->store = open_test_store(root);
	fixture->store->idle_seconds = 1;
	tar_add(&fixture->layer, &item);
	tar_end(&fixture->layer);
	digest_of(fixture->layer.data, fixture->layer.length, layer);
	buf_printf(&fixture->config,
		   "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\","
		   "\"diff_ids\":[\"%s\"]}}",
		   layer);
	digest_of(fixture->config.data, fixture->config.length, config);
	buf_printf(&fixture->manifest,
		   "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":[{"
		   "\"digest\":\"%s\",\"size\":%zu}]}",
		   config, fixture->config.length, layer, fixture->layer.length);
	(void)snprintf(fixture->layer_path, 128, "/v2/x/blobs/%s", layer);
	(void)snprintf(fixture->config_path, 128, "/v2/x/blobs/%s", config);
	server_start(&fixture->server, fixture->answers, 0);
	(void)add_answer(fixture, "/v2/", 200, NULL);
	*state = fixture;
	return 0;
}

static inline cay_unused int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	image_store_close(fixture->store);
	assert_ok(remove_tree(fixture->directory, &err));
	buf_done(&fixture->layer);
	buf_done(&fixture->config);
	buf_done(&fixture->manifest);
	server_done(&fixture->server);
	free(fixture);
	return 0;
}

/* The rest of a good registry's answers, behind what the test has put in front. */
static inline cay_unused void add_good_answers(struct fixture *fixture)
{
	(void)add_answer(fixture, "/v2/x/manifests/latest", 200, &fixture->manifest);
	(void)add_answer(fixture, fixture->config_path, 200, &fixture->config);
	(void)add_answer(fixture, fixture->layer_path, 200, &fixture->layer);
}

static inline cay_unused int pull_from(struct fixture *fixture, const char *host,
				       const struct image_credentials *credentials,
				       const struct image_progress_sink *sink,
				       struct cay_error *err)
{
	_cleanup_free_ char *reference = xasprintf("%s:%u/x", host, fixture->server.port);
	struct image *image = NULL;
	int r;

	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	r = image_store_pull(fixture->store, reference, "linux/amd64", credentials, sink, &image,
			     err);
	server_stop(&fixture->server);
	if (r == 0)
		assert_int_equal(image->layer_count, 1);
	image_free(image);
	return r;
}

static inline cay_unused int pull(struct fixture *fixture, struct cay_error *err)
{
	return pull_from(fixture, "127.0.0.1", NULL, NULL, err);
}

/* A failed pull must leave nothing: no image, no file. */
static inline cay_unused void assert_fails(struct fixture *fixture, enum cay_code code,
					   const char *part)
{
	_cleanup_free_ char *blobs =
		path_join(fixture->store->content.root, "content/blobs/sha256");
	_cleanup_free_ char *layers = path_join(fixture->store->content.root, "layers");
	_cleanup_free_ char *temporary = path_join(fixture->store->content.root, "images/tmp");
	_cleanup_buf_ struct buf left = { 0 };
	struct cay_error err = { 0 };
	struct image **images;
	size_t count;

	if (pull(fixture, &err) >= 0)
		fail_msg("pulled instead of: %s", part);
	if (err.code != code || !strstr(err.message, part))
		fail_msg("\"%s\" (%s) instead of \"%s\"", err.message, cay_code_name(err.code),
			 part);
	assert_ok(image_store_list(fixture->store, &images, &count, &err));
	free(images);
	assert_int_equal(count, 0);
	describe_tree(blobs, "", &left);
	describe_tree(layers, "", &left);
	describe_tree(temporary, "", &left);
	assert_string_equal(buf_text(&left), "");
}

#define PASSWORD "s3cret-word"

static const cay_unused struct image_credentials login = { .username = "user",
							   .password = PASSWORD };

/* An address of this host that is not loopback, as a registry elsewhere would have. */
static inline cay_unused bool outer_address(char text[INET_ADDRSTRLEN])
{
	struct ifaddrs *list = NULL;
	bool found = false;

	assert_int_equal(getifaddrs(&list), 0);
	for (struct ifaddrs *at = list; at && !found; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET ||
		    (at->ifa_flags & IFF_LOOPBACK) || !(at->ifa_flags & IFF_UP))
			continue;
		found = inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)at->ifa_addr)->sin_addr,
				  text, INET_ADDRSTRLEN) != NULL;
	}
	freeifaddrs(list);
	return found;
}

/* The servers are on this host: a proxy of its environment would stand in between. */
static inline cay_unused void forget_proxies(void)
{
	static const char *const proxies[] = { "http_proxy", "https_proxy", "no_proxy",
					       "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY" };

	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		(void)unsetenv(proxies[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* For a progress sink's `cancelled`, with the moment of clock_monotonic_ms() as its `user`. */
static inline cay_unused bool cancelled_after(void *user)
{
	return clock_monotonic_ms() > *(int64_t *)user;
}
