/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a directory of its own for each test, as cmocka's set-up and tear-down. */
#pragma once

#include "image-archive.h"

struct fixture {
	char directory[64];
	char *root;
	struct image_store *store;
	char loaded[DIGEST_SIZE]; /* for a test to keep what it has loaded */
};

static inline cay_unused int set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	make_test_directory(fixture->directory);
	fixture->root = path_join(fixture->directory, "root");
	fixture->store = open_test_store(fixture->root);
	*state = fixture;
	return 0;
}

static inline cay_unused int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	image_store_close(fixture->store);
	assert_ok(remove_tree(fixture->directory, &err));
	free(fixture->root);
	free(fixture);
	return 0;
}

/* As a daemon's restart does. */
static inline cay_unused void reopen(struct fixture *fixture)
{
	image_store_close(fixture->store);
	fixture->store = open_test_store(fixture->root);
}
