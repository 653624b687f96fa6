/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of layers share: a store of their own, and merged layers judged by fsck.erofs. */
#pragma once

#include "image-fixture.h"

struct fixture {
	char directory[64];
	struct image_store *store;
	struct pins pins;
	bool mount_points; /* what is there to be mounted over is part of the tree */
};

static inline cay_unused int set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	make_test_directory(fixture->directory);
	_cleanup_free_ char *root = path_join(fixture->directory, "root");
	fixture->store = open_test_store(root);
	fixture->pins.store = fixture->store;
	*state = fixture;
	return 0;
}

static inline cay_unused int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	pins_done(&fixture->pins);
	image_store_close(fixture->store);
	assert_ok(remove_tree(fixture->directory, &err));
	free(fixture);
	return 0;
}

/* Merges the layers and describes the tree that fsck.erofs extracts. */
static inline cay_unused int build(struct fixture *fixture, char (*digests)[DIGEST_SIZE],
				   size_t count, struct buf *tree, struct cay_error *err)
{
	_cleanup_free_ char *metadata = path_join(fixture->directory, "metadata");
	_cleanup_free_ char *out = path_join(fixture->directory, "out");
	struct image_disk disk = { 0 };
	char *list[8];
	struct stat st;
	int r;

	for (size_t i = 0; i < count; i++)
		list[i] = digests[i];
	r = worker_merge(&fixture->store->worker, &fixture->store->content, list, count, metadata,
			 NULL, err);
	if (r < 0)
		return r;
	disk.extents = xcalloc(count + 1, sizeof(*disk.extents));
	assert_int_equal(stat(metadata, &st), 0);
	disk.extents[disk.count++] =
		(struct image_extent){ xstrdup(metadata), (uint64_t)st.st_size };
	for (size_t i = 0; i < count; i++) {
		struct layer_header header;

		assert_true(content_has_layer(&fixture->store->content, digests[i], &header));
		disk.extents[disk.count++] =
			(struct image_extent){ content_data_path(&fixture->store->content,
								 digests[i]),
					       header.data_blocks * LAYER_BLOCK };
	}
	assert_int_equal(remove_tree(out, err), 0);
	if (fixture->mount_points)
		extract_disk(fixture->directory, &disk, out);
	else
		judge_disk(fixture->directory, &disk, out);
	image_disk_done(&disk);
	describe_tree(out, "", tree);
	return 0;
}

/* The tree that layers, each a script of tar_script(), merge to; or why not. */
static inline cay_unused int merge_scripts(struct fixture *fixture, const char *const *scripts,
					   struct buf *tree, struct cay_error *err)
{
	char digests[8][DIGEST_SIZE];
	size_t count = 0;

	for (; scripts[count]; count++) {
		_cleanup_buf_ struct buf tar = { 0 };
		int r;

		tar_script(&tar, scripts[count]);
		r = add_layer(&fixture->pins, &tar, digests[count], err);
		if (r < 0)
			return r;
	}
	return build(fixture, digests, count, tree, err);
}
