/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers through the real cay-layer: what several of them merge to, judged by
 * fsck.erofs, and what becomes of hostile ones.
 */
#include "image-fixture.h"

struct fixture {
	char directory[64];
	struct image_store *store;
	struct pins pins;
};

static int set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	make_test_directory(fixture->directory);
	_cleanup_free_ char *root = path_join(fixture->directory, "root");
	fixture->store = open_test_store(root);
	fixture->pins.store = fixture->store;
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
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
static int build(struct fixture *fixture, char (*digests)[DIGEST_SIZE], size_t count,
		 struct buf *tree, struct cay_error *err)
{
	_cleanup_free_ char *metadata = path_join(fixture->directory, "metadata");
	_cleanup_free_ char *out = path_join(fixture->directory, "out");
	struct image_disk disk = { 0 };
	char *list[8];
	struct stat st;
	int r;

	for (size_t i = 0; i < count; i++)
		list[i] = digests[i];
	r = worker_merge(fixture->store->worker, &fixture->store->content, list, count, metadata,
			 err);
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
	judge_disk(fixture->directory, &disk, out);
	image_disk_done(&disk);
	describe_tree(out, "", tree);
	return 0;
}

/* The tree that layers, each a script of tar_script(), merge to; or why not. */
static int merge_scripts(struct fixture *fixture, const char *const *scripts, struct buf *tree,
			 struct cay_error *err)
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
		{ { "d:a h:b>a" }, NULL },
		{ { "f:a=1 h:b>../a" }, NULL },
		{ { "f:a=1", "w:a h:b>a" }, NULL },
		/* names */
		{ { "f:../x=1" }, NULL },
		{ { "f:a/../x=1" }, NULL },
		{ { "f:a/..=1" }, NULL },
		{ { "f:.=1" }, NULL },
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

/* A tar that must be refused, with a code, and leave nothing behind. */
static void refuse(struct fixture *fixture, const struct buf *tar, enum cay_code code,
		   const char *part)
{
	_cleanup_free_ char *layers = path_join(fixture->store->content.root, "layers");
	_cleanup_free_ char *temporary = path_join(fixture->store->content.root, "images/tmp");
	_cleanup_buf_ struct buf before = { 0 }, after = { 0 }, left = { 0 };
	struct cay_error err = { 0 };
	char digest[DIGEST_SIZE];

	describe_tree(layers, "", &before);
	if (add_layer(&fixture->pins, tar, digest, &err) >= 0)
		fail_msg("taken instead of: %s", part);
	if (err.code != code || !strstr(err.message, part))
		fail_msg("\"%s\" (%s) instead of \"%s\" (%s)", err.message, cay_code_name(err.code),
			 part, cay_code_name(code));
	describe_tree(layers, "", &after);
	describe_tree(temporary, "", &left);
	assert_string_equal(buf_text(&before), buf_text(&after));
	assert_string_equal(buf_text(&left), "");
}

static void refuse_item(struct fixture *fixture, struct tar_item item, enum cay_code code,
			const char *part)
{
	_cleanup_buf_ struct buf tar = { 0 };

	tar_add(&tar, &item);
	tar_end(&tar);
	refuse(fixture, &tar, code, part);
}

static void test_lies(void **state)
{
	struct tar_item item = { .type = '0', .name = "f", .contents = "x" };
	_cleanup_buf_ struct buf tar = { 0 }, records = { 0 };

	item.lie_size = 100000;
	refuse_item(*state, item, CAY_CORRUPT, "ends within a file");
	item.lie_size = 0;
	item.pax = "26 size=99999999999999999\n";
	refuse_item(*state, item, CAY_TOO_LARGE, "add up to more");
	item.pax = "12 size=-1x\n";
	refuse_item(*state, item, CAY_CORRUPT, "size");
	item.pax = "99 path=x\n";
	refuse_item(*state, item, CAY_CORRUPT, "pax");
	item.pax = "11 path=a\0b\n";
	item.pax_length = 12;
	refuse_item(*state, item, CAY_CORRUPT, "pax");
	item.pax_length = 0;
	item.pax = "18 uid=4294967295\n";
	refuse_item(*state, item, CAY_INVALID, "owner");
	tar_pax_record(&records, "GNU.sparse.major", "1", 1);
	tar_pax_record(&records, "GNU.sparse.minor", "0", 1);
	tar_pax_record(&records, "GNU.sparse.realsize", "9000000000000", 13);
	item.pax = records.data;
	item.contents = "1\n0\n9000000000000\n";
	refuse_item(*state, item, CAY_CORRUPT, "sparse");
	item = (struct tar_item){ .type = 'Z', .name = "f" };
	refuse_item(*state, item, CAY_UNSUPPORTED, "unknown type");
	item = (struct tar_item){ .type = '3', .name = "f", .major = 5000 };
	refuse_item(*state, item, CAY_INVALID, "device");
	item = (struct tar_item){ .type = '2', .name = "f", .link = "" };
	refuse_item(*state, item, CAY_INVALID, "symbolic link");
	buf_puts(&tar, "this is no tar archive at all, but it is long enough to be looked at");
	refuse(*state, &tar, CAY_CORRUPT, "within a block");
	tar_pad(&tar);
	refuse(*state, &tar, CAY_CORRUPT, "checksum");
}

static void test_long_names(void **state)
{
	char name[300], path[5000], record[5100];
	struct tar_item item = { .type = '0', .name = "short", .contents = "x" };

	(void)memset(name, 'n', sizeof(name));
	name[256] = '\0';
	(void)snprintf(record, sizeof(record), "266 path=%s\n", name);
	item.pax = record;
	refuse_item(*state, item, CAY_INVALID, "longer than 255");
	for (size_t i = 0; i < 4200; i++)
		path[i] = i % 100 == 99 ? '/' : 'p';
	path[4200] = '\0';
	(void)snprintf(record, sizeof(record), "4211 path=%s\n", path);
	refuse_item(*state, item, CAY_INVALID, "longer than 4095");
}

/* Compresses; `zeros` more bytes of them follow the data. */
static void deflate_to(struct buf *out, const struct buf *in, size_t zeros)
{
	static const char block[65536];
	z_stream z = { 0 };
	char chunk[65536];
	int flush = Z_NO_FLUSH;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)in->data;
	z.avail_in = (uInt)in->length;
	do {
		if (z.avail_in == 0 && zeros > 0) {
			z.next_in = (Bytef *)block;
			z.avail_in = (uInt)MIN(zeros, sizeof(block));
			zeros -= z.avail_in;
		}
		if (z.avail_in == 0)
			flush = Z_FINISH;
		z.next_out = (Bytef *)chunk;
		z.avail_out = sizeof(chunk);
		(void)deflate(&z, flush);
		buf_append(out, chunk, sizeof(chunk) - z.avail_out);
	} while (flush != Z_FINISH || z.avail_out == 0);
	(void)deflateEnd(&z);
}

static void test_broken_compression(void **state)
{
	_cleanup_buf_ struct buf tar = { 0 }, packed = { 0 }, other = { 0 };
	char digest[DIGEST_SIZE];
	struct cay_error err = { 0 };

	tar_script(&tar, "f:a=1 f:b=2");
	deflate_to(&packed, &tar, 0);
	assert_ok(add_layer(&((struct fixture *)*state)->pins, &packed, digest, &err));
	buf_append(&other, packed.data, packed.length - 9);
	refuse(*state, &other, CAY_CORRUPT, "truncated");
	buf_clear(&other);
	buf_append(&other, packed.data, packed.length);
	other.data[other.length - 6] ^= 1;
	refuse(*state, &other, CAY_CORRUPT, "gzip data is broken");
	buf_clear(&other);
	buf_append(&other, packed.data, packed.length);
	buf_puts(&other, "trailing");
	refuse(*state, &other, CAY_CORRUPT, "foreign bytes");
	buf_clear(&other);
	buf_puts(&other, "BZh91AY&SY");
	refuse(*state, &other, CAY_UNSUPPORTED, "bzip2");
}

/* Two members of gzip are one stream. */
static void test_members(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf tar = { 0 }, first = { 0 }, second = { 0 }, packed = { 0 };
	struct layer_header header;
	char digest[DIGEST_SIZE];
	struct cay_error err = { 0 };

	tar_script(&tar, "f:a=1 f:b=2");
	buf_append(&first, tar.data, 700);
	buf_append(&second, tar.data + 700, tar.length - 700);
	deflate_to(&packed, &first, 0);
	deflate_to(&packed, &second, 0);
	assert_ok(add_layer(&fixture->pins, &packed, digest, &err));
	assert_true(content_has_layer(&fixture->store->content, digest, &header));
	assert_int_equal(header.tar_bytes, tar.length);
	assert_int_equal(header.entry_count, 2);
}

/* A gigabyte of zeros from a megabyte takes no space; the same of other bytes is refused. */
static void test_bombs(void **state)
{
	struct fixture *fixture = *state;
	const struct tar_item item = { .type = '0', .name = "zeros", .lie_size = 1 * GIB };
	_cleanup_buf_ struct buf head = { 0 }, packed = { 0 };
	char digest[DIGEST_SIZE];
	struct cay_error err = { 0 };
	struct stat st;

	tar_header(&head, item.type, item.name, NULL, &item, item.lie_size);
	deflate_to(&packed, &head, (size_t)item.lie_size + 1024);
	assert_ok(add_layer(&fixture->pins, &packed, digest, &err));
	_cleanup_free_ char *data = content_data_path(&fixture->store->content, digest);

	assert_int_equal(stat(data, &st), 0);
	assert_int_equal(st.st_size, item.lie_size);
	assert_true(st.st_blocks < 64);
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
	const char *worker = fixture->store->worker;
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
	assert_ok(worker_merge(fixture->store->worker, &fixture->store->content, list,
			       ARRAY_SIZE(many), metadata, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_semantics, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_compression, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_members, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bombs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_attributes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_space, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_check, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
