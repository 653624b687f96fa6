/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers through the real cay-layer: what several of them merge to, judged by
 * fsck.erofs, and how they are stored.
 */
#include "layer-fixture.h"

static void test_semantics(void **state)
{
	static const struct {
		const char *layers[5], *tree; /* tree NULL: refused */
	} rows[] = {
		{ { "d:a f:a/b=1 l:l>a/b p:p" }, "a/ a/b=1 l>a/b p|" },
		{ { "f:a/b=1" }, "a/ a/b=1" },
		{ { "f:/a=1 f:./b=2 f:c//d=3 d:./" }, "a=1 b=2 c/ c/d=3" },
		/* whiteouts */
		{ { "f:a/b=1 f:a/c=2", "w:a/b" }, "a/ a/c=2" },
		{ { "f:a/b=1", "w:a" }, "" },
		{ { "f:a=1", "w:b w:x/y" }, "a=1" },
		{ { "f:a=1", "f:a=2 w:a" }, "a=2" },
		{ { "f:a=1", "w:a f:a=2" }, "a=2" },
		{ { "f:d/x=1", "w:d f:d/y=2" }, "d/ d/y=2" },
		{ { "f:d/x=1", "f:d/y=2 w:d" }, "d/ d/y=2" },
		{ { "l:l>t f:t=1", "w:l" }, "t=1" },
		{ { "l:bin>usr/bin f:usr/bin/a=1 f:usr/bin/b=2", "w:bin/a" },
		  "bin>usr/bin usr/ usr/bin/ usr/bin/b=2" },
		{ { "f:a=1", "w:a", "f:a=3" }, "a=3" },
		/* opaque directories */
		{ { "f:a/b=1 f:a/c/d=2", "d:a o:a f:a/n=3" }, "a/ a/n=3" },
		{ { "f:a/b=1", "f:a/n=3 d:a/s o:a" }, "a/ a/n=3 a/s/" },
		{ { "f:a=1 d:b", "o: f:c=2" }, "c=2" },
		{ { "f:a=1", "o:b" }, "a=1" },
		/* duplicates and flips: the last wins */
		{ { "f:a=1 f:a=2" }, "a=2" },
		{ { "f:a=1 d:a f:a/b=2" }, "a/ a/b=2" },
		{ { "d:a f:a/b=1 f:a=2" }, "a=2" },
		{ { "f:a=1", "d:a" }, "a/" },
		{ { "f:a/b=1", "l:a>x" }, "a>x" },
		{ { "l:a>x", "d:a f:a/b=1" }, "a/ a/b=1" },
		{ { "f:a/b=1", "d:a" }, "a/ a/b=1" },
		{ { "f:a=1", "f:a/b=2" }, "a/ a/b=2" },
		/* paths through links stay inside the root */
		{ { "l:bin>usr/bin d:usr/bin", "f:bin/x=1" },
		  "bin>usr/bin usr/ usr/bin/ usr/bin/x=1" },
		{ { "l:up>../../../../etc", "f:up/passwd=1" },
		  "etc/ etc/passwd=1 up>../../../../etc" },
		{ { "l:abs>/etc f:abs/passwd=1" }, "abs>/etc etc/ etc/passwd=1" },
		{ { "l:abs>/etc", "f:abs/passwd=1" }, "abs>/etc etc/ etc/passwd=1" },
		{ { "d:etc f:etc/passwd=1", "l:etc>/proc/self f:etc/environ=2" },
		  "etc>/proc/self proc/ proc/self/ proc/self/environ=2" },
		{ { "f:a/b/c=1", "l:a>/x", "f:a/b/d=2" }, "a>/x x/ x/b/ x/b/d=2" },
		{ { "p:etc/passwd", "l:etc/group>/dev/zero" },
		  "etc/ etc/group>/dev/zero etc/passwd|" },
		{ { "l:self>self f:self/x=1" }, NULL },
		{ { "l:a>b l:b>a", "f:a/x=1" }, NULL },
		/* hard links */
		{ { "f:a=1 h:b>a" }, "a=1 b=1" },
		{ { "f:a=1", "h:b>a" }, "a=1 b=1" },
		{ { "f:a=1 h:b>a", "w:a" }, "b=1" },
		{ { "f:a=1 h:b>a", "f:a=2" }, "a=2 b=1" },
		{ { "l:s>/etc/passwd h:b>s" }, "b>/etc/passwd s>/etc/passwd" },
		{ { "l:d>/etc f:etc/x=1 h:b>d/x" }, "b=1 d>/etc etc/ etc/x=1" },
		{ { "f:a=1 h:a>a" }, "a=1" },
		{ { "h:b>a f:a=1" }, NULL },
		{ { "f:a=1", "h:a>b f:b=2" }, NULL },
		{ { "l:s>/etc f:etc/a=1 h:s/b>s/a" }, "etc/ etc/a=1 etc/b=1 s>/etc" },
		{ { "l:s>../../.. f:a=1 h:b>s/a" }, "a=1 b=1 s>../../.." },
		{ { "d:a h:b>a" }, NULL },
		{ { "f:a=1 h:b>../a" }, NULL },
		{ { "f:a=1", "w:a h:b>a" }, NULL },
		/* names */
		{ { "f:../x=1" }, NULL },
		{ { "f:a/../x=1" }, NULL },
		{ { "f:a/..=1" }, NULL },
		{ { "f:.=1" }, NULL },
		{ { "f:=1" }, NULL },
		{ { "h:/>a" }, NULL },
		{ { "f:a=1 h:b>/" }, NULL },
		{ { "f:a=1 h:b>a/../a" }, NULL },
		{ { "w:../a" }, NULL },
		{ { "o:../a" }, NULL },
		{ { "l:/>x" }, NULL },
		{ { "f:.wh.=1" }, NULL },
		{ { "f:.wh..=1" }, NULL },
		{ { "f:.wh...=1" }, NULL },
		{ { "f:a/.wh./b=1" }, NULL },
		{ { "d:.wh.a f:.wh.a/b=1" }, NULL },
		{ { "f:.wh..wh.plnk=1 f:.wh..wh.plnk/x=1 f:a=1" }, "a=1" },
		{ { "f:-a=1 f:.a=2 f:..a=3 f:0=4" }, "-a=1 ..a=3 .a=2 0=4" },
	};

	if (!have_judge())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf tree = { 0 };
		struct cay_error err = { 0 };
		int r = merge_scripts(*state, rows[i].layers, &tree, &err);

		if ((r == 0) != (rows[i].tree != NULL))
			fail_msg("row %zu (%s): %d %s, %s", i, rows[i].layers[0], r, err.message,
				 buf_text(&tree));
		if (r == 0 && strcmp(buf_text(&tree), rows[i].tree) != 0)
			fail_msg("row %zu (%s): \"%s\" instead of \"%s\"", i, rows[i].layers[0],
				 buf_text(&tree), rows[i].tree);
		if (r < 0)
			assert_true(err.message[0] != '\0' && err.code != CAY_INTERNAL);
	}
}

/* What containers have mounted over is in every image; what an image has there stays. */
static void test_mount_points(void **state)
{
	static const struct {
		const char *layers[3], *tree;
	} rows[] = {
		{ { "f:a=1" },
		  "a=1 dev/ etc/ etc/hostname= etc/hosts= etc/resolv.conf= proc/ sys/" },
		{ { "d:dev f:dev/x=1 f:etc/hosts=2 l:etc/resolv.conf>/run/r", "w:etc/hosts" },
		  "dev/ dev/x=1 etc/ etc/hostname= etc/hosts= etc/resolv.conf>/run/r proc/ sys/" },
		{ { "d:e l:etc>e f:proc=1 l:sys>/nowhere" }, "dev/ e/ etc>e proc=1 sys>/nowhere" },
	};
	struct fixture *fixture = *state;

	if (!have_judge())
		skip();
	fixture->mount_points = true;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf tree = { 0 };
		struct cay_error err = { 0 };

		assert_ok(merge_scripts(fixture, rows[i].layers, &tree, &err));
		assert_string_equal(buf_text(&tree), rows[i].tree);
	}
}

static void test_attributes(void **state)
{
	static const char capability[20] = { 1, 0, 0, 2, 0, 0x20 };
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf records = { 0 };

	tar_pax_record(&records, "SCHILY.xattr.security.capability", capability, 20);
	tar_pax_record(&records, "SCHILY.xattr.user.name", "value", 5);
	tar_pax_record(&records, "SCHILY.xattr.trusted.overlay.opaque", "y", 1);
	const struct tar_item items[] = {
		{ .type = '0', .name = "suid", .contents = "x", .mode = 04755, .uid = 3000000000 },
		{ .type = '3', .name = "null", .major = 1, .minor = 3, .mode = 0666 },
		{ .type = '4', .name = "disk", .major = 259, .minor = 70000 },
		{ .type = '0',
		  .name = "cap",
		  .contents = "y",
		  .pax = records.data,
		  .pax_length = records.length },
	};
	_cleanup_buf_ struct buf tar = { 0 }, tree = { 0 };
	_cleanup_free_ char *out = path_join(fixture->directory, "out");
	char digests[1][DIGEST_SIZE];
	struct cay_error err = { 0 };
	struct stat st;

	if (!have_judge() || geteuid() != 0)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		tar_add(&tar, &items[i]);
	tar_end(&tar);
	assert_ok(add_layer(&fixture->pins, &tar, digests[0], &err));
	assert_ok(build(fixture, digests, 1, &tree, &err));
	_cleanup_free_ char *suid = path_join(out, "suid"), *disk = path_join(out, "disk");

	assert_int_equal(lstat(suid, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755); /* its chown() takes the setuid bit away */
	assert_int_equal(st.st_uid, 3000000000U);
	assert_int_equal(st.st_mtime, 1700000000);
	assert_int_equal(lstat(disk, &st), 0);
	assert_true(S_ISBLK(st.st_mode) && st.st_rdev == makedev(259, 70000));

	/* fsck.erofs 1.5 extracts no attributes: they are looked for in the disk itself. */
	_cleanup_free_ char *path = path_join(fixture->directory, "joined");
	_cleanup_buf_ struct buf disk_bytes = { 0 };
	static const char entry[] = "\x0a\x06\x14\0capability\x01\0\0\x02\0\x20";

	assert_ok(file_read(path, MIB, &disk_bytes, &err));
	assert_non_null(memmem(disk_bytes.data, disk_bytes.length, entry, sizeof(entry) - 1));
	assert_non_null(memmem(disk_bytes.data, disk_bytes.length, "\x04\x01\x05\0namevalue", 13));
	assert_null(memmem(disk_bytes.data, disk_bytes.length, "overlay.opaque", 14));

	/* The start of the inode: extended and inline, no attributes, a file of mode 04755. */
	assert_non_null(memmem(disk_bytes.data, disk_bytes.length, "\x05\0\0\0\xed\x89", 6));
}

/* A tar of `count` files of the given sizes, each full of one letter of its own. */
static void tar_of_sizes(struct buf *tar, const size_t *sizes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *contents = xcalloc(sizes[i] + 1, 1);
		char name[32];
		const struct tar_item item = { .type = '0', .name = name, .contents = contents };

		(void)snprintf(name, sizeof(name), "%03zu-%zu", i, sizes[i]);
		memset(contents, 'a' + (int)(i % 26), sizes[i]);
		tar_add(tar, &item);
	}
	tar_end(tar);
}

/* Files around the sizes where packing, blocks and several blocks begin. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = { 0,    1,    31,   32,   33,   511,  4000, 4031, 4032,
					4033, 4095, 4096, 4097, 8191, 8192, 8193, 12000 };
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf tar = { 0 }, tree = { 0 }, expected = { 0 };
	char digests[1][DIGEST_SIZE];
	struct cay_error err = { 0 };

	if (!have_judge())
		skip();
	tar_of_sizes(&tar, sizes, ARRAY_SIZE(sizes));
	assert_ok(add_layer(&fixture->pins, &tar, digests[0], &err));
	assert_ok(build(fixture, digests, 1, &tree, &err));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		buf_printf(&expected, "%s%03zu-%zu=", i ? " " : "", i, sizes[i]);
		for (size_t n = 0; n < sizes[i]; n++)
			buf_putc(&expected, (char)('a' + i % 26));
	}
	assert_string_equal(buf_text(&tree), buf_text(&expected));
}

/* Many small files take no more space than their tar did. */
static void test_space(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf tar = { 0 };
	struct layer_header header;
	char digest[DIGEST_SIZE];
	struct cay_error err = { 0 };
	size_t sizes[2000];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		sizes[i] = i * 7919 % 4032 + 1;
	tar_of_sizes(&tar, sizes, ARRAY_SIZE(sizes));
	assert_ok(add_layer(&fixture->pins, &tar, digest, &err));
	assert_true(content_has_layer(&fixture->store->content, digest, &header));
	assert_true(header.data_blocks * LAYER_BLOCK < tar.length);
}

/* The "Links" that dump.erofs tells of a path in the joined disk. */
static unsigned int links_of(const struct fixture *fixture, const char *path)
{
	_cleanup_free_ char *joined = path_join(fixture->directory, "joined");
	_cleanup_free_ char *option = xasprintf("--path=%s", path);
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_buf_ struct buf output = { 0 };
	struct cay_error err = { 0 };
	const char *at;

	strv_add(&argv, "dump.erofs");
	strv_add(&argv, option);
	strv_add(&argv, joined);
	assert_int_equal(process_run(&argv, 65536, &output, &err), 0);
	at = strstr(buf_text(&output), "Links: ");
	assert_non_null(at);
	return (unsigned int)strtoul(at + strlen("Links: "), NULL, 10);
}

/* Small files share their inode between images until an image gives them a second name. */
static void test_links(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf lower = { 0 }, upper = { 0 }, tree = { 0 };
	char digests[2][DIGEST_SIZE];
	struct cay_error err = { 0 };

	if (!have_judge())
		skip();
	tar_script(&lower, "f:a=one f:b=two h:c>b f:d=three h:e>d");
	tar_script(&upper, "h:f>a w:e");
	assert_ok(add_layer(&fixture->pins, &lower, digests[0], &err));
	assert_ok(add_layer(&fixture->pins, &upper, digests[1], &err));
	assert_ok(build(fixture, digests, 1, &tree, &err));
	assert_string_equal(buf_text(&tree), "a=one b=two c=two d=three e=three");
	assert_int_equal(links_of(fixture, "/a"), 1);
	assert_int_equal(links_of(fixture, "/c"), 2);
	assert_int_equal(links_of(fixture, "/d"), 2);
	buf_clear(&tree);
	assert_ok(build(fixture, digests, 2, &tree, &err));
	assert_string_equal(buf_text(&tree), "a=one b=two c=two d=three f=one");
	assert_int_equal(links_of(fixture, "/a"), 2);
	assert_int_equal(links_of(fixture, "/c"), 2);
	assert_int_equal(links_of(fixture, "/d"), 1);
}

/* Flips one bit of a file. */
static void damage(const char *path, off_t offset)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	char c;

	assert_true(fd >= 0);
	assert_int_equal(pread_full(fd, &c, 1, offset), 1);
	c ^= 0x10;
	assert_int_equal(pwrite_full(fd, &c, 1, offset), 0);
}

static void test_check(void **state)
{
	static const size_t sizes[] = { 10, 5000, 600, 300000 };
	struct fixture *fixture = *state;
	const struct content *content = &fixture->store->content;
	const struct worker_program *worker = &fixture->store->worker;
	_cleanup_buf_ struct buf tar = { 0 };
	char digest[DIGEST_SIZE];
	struct cay_error err = { 0 };
	struct stat st;

	tar_of_sizes(&tar, sizes, ARRAY_SIZE(sizes));
	assert_ok(add_layer(&fixture->pins, &tar, digest, &err));
	assert_ok(worker_check_layer(worker, content, digest, digest, NULL, &err));
	_cleanup_free_ char *data = content_data_path(content, digest);
	_cleanup_free_ char *index = content_index_path(content, digest);
	const struct {
		const char *path;
		off_t offset;
	} places[] = {
		{ data, 64 }, { data, 4096 + 100 }, { data, 305000 }, { index, 8 }, { index, 200 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		damage(places[i].path, places[i].offset);
		assert_int_equal(worker_check_layer(worker, content, digest, NULL, NULL, &err),
				 -EBADMSG);
		assert_int_equal(err.code, CAY_CORRUPT);
		assert_non_null(strstr(err.message, places[i].path == data ? "data" : "index"));
		damage(places[i].path, places[i].offset);
	}
	assert_ok(worker_check_layer(worker, content, digest, NULL, NULL, &err));
	assert_int_equal(stat(data, &st), 0);
	assert_int_equal(truncate(data, st.st_size + LAYER_BLOCK), 0);
	assert_true(worker_check_layer(worker, content, digest, NULL, NULL, &err) < 0);
	assert_int_equal(truncate(data, st.st_size - LAYER_BLOCK), 0);
	assert_true(worker_check_layer(worker, content, digest, NULL, NULL, &err) < 0);
}

/* A directory of many blocks, and 120 layers. */
static void test_large(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *metadata = path_join(fixture->directory, "metadata");
	_cleanup_buf_ struct buf tar = { 0 }, tree = { 0 };
	char digests[1][DIGEST_SIZE], many[120][DIGEST_SIZE], name[200];
	char *list[120];
	struct cay_error err = { 0 };

	for (unsigned int i = 0; i < 3000; i++) {
		const struct tar_item item = { .type = '0', .name = name };

		(void)snprintf(name, sizeof(name), "d/%08u-%080u", i * 7919 % 3000, 0);
		tar_add(&tar, &item);
	}
	tar_end(&tar);
	assert_ok(add_layer(&fixture->pins, &tar, digests[0], &err));
	if (have_judge()) {
		assert_ok(build(fixture, digests, 1, &tree, &err));
		assert_int_equal(tree.length, strlen("d/") + 3000 * (1 + 2 + 8 + 1 + 80 + 1));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(many); i++) {
		_cleanup_buf_ struct buf layer = { 0 };

		(void)snprintf(name, sizeof(name), "f:file-%u=%u f:same=%u", i, i, i);
		tar_script(&layer, name);
		assert_ok(add_layer(&fixture->pins, &layer, many[i], &err));
		list[i] = many[i];
	}
	assert_ok(worker_merge(&fixture->store->worker, &fixture->store->content, list,
			       ARRAY_SIZE(many), metadata, NULL, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_semantics, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mount_points, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_attributes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_space, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_check, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
