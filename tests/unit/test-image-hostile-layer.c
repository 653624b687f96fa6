/* SPDX-License-Identifier: Apache-2.0 */
/* Layers as no honest tool writes them, through the real cay-layer: what becomes of each. */
#include "layer-fixture.h"

/* Replaces a field of the first header by these bytes and makes the checksum right. */
static void set_field(struct buf *tar, size_t offset, const char *bytes, size_t size)
{
	unsigned int sum = 0;

	memcpy(tar->data + offset, bytes, size);
	memset(tar->data + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)tar->data[i];
	tar_octal(tar->data + 148, 6, sum);
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

/* Sizes and times as no honest writer has them. */
static void test_numbers(void **state)
{
	static const struct {
		size_t offset, size;
		const char *bytes, *part;
	} rows[] = {
		{ 124, 12, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size" },
		{ 124, 12, "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "size" },
		{ 124, 12, "\x80\0\0\x01\0\0\0\0\0\0\0\0", "size" },
		{ 124, 12, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", "add up to more" },
		{ 124, 12, "777777777777", "ends within a file" },
		{ 124, 12, "00000-000001", "size" },
		{ 124, 12, "0x0000000001", "size" },
		{ 108, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", "owner" },
		{ 108, 8, "\x80\0\0\x01\0\0\0\0", "owner" },
		{ 136, 12, "99999999999 ", "time" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct tar_item item = { .type = '0', .name = "f", .contents = "x" };
		_cleanup_buf_ struct buf tar = { 0 };
		struct cay_error err = { 0 };
		char digest[DIGEST_SIZE];

		tar_add(&tar, &item);
		tar_end(&tar);
		set_field(&tar, rows[i].offset, rows[i].bytes, rows[i].size);
		if (add_layer(&((struct fixture *)*state)->pins, &tar, digest, &err) >= 0 ||
		    !strstr(err.message, rows[i].part))
			fail_msg("row %zu: \"%s\" instead of \"%s\"", i, err.message, rows[i].part);
	}
}

/* Maps of sparse files that are out of order, overlap, or speak of more than there is. */
static void test_sparse_lies(void **state)
{
	static const struct {
		const char *keys[5][2], *contents;
	} rows[] = {
		{ { { "size", "10" }, { "map", "4,4,2,4" } }, "12345678" },
		{ { { "size", "10" }, { "map", "0,4,3,4" } }, "12345678" },
		{ { { "size", "10" }, { "map", "0,4,8" } }, "1234" },
		{ { { "size", "10" }, { "map", "0,4,8,4" } }, "12345678" },
		{ { { "size", "10" }, { "map", "0,4" } }, "12345678" },
		{ { { "size", "10" }, { "map", "0,8" } }, "1234" },
		{ { { "size", "10" }, { "map", "-1,4" } }, "1234" },
		{ { { "size", "10" }, { "map", "9223372036854775807,4" } }, "1234" },
		{ { { "size", "10" }, { "numbytes", "4" }, { "offset", "0" } }, "1234" },
		{ { { "size", "10" }, { "offset", "0" }, { "offset", "4" } }, "1234" },
		{ { { "size", "10" }, { "offset", "0" } }, "1234" },
		{ { { "size", "-10" }, { "map", "0,4" } }, "1234" },
		{ { { "major", "1" }, { "minor", "0" }, { "realsize", "10" } }, "1\n0\n" },
		{ { { "major", "1" }, { "minor", "0" }, { "realsize", "10" } }, "999999\n0\n1\n" },
		{ { { "major", "1" }, { "minor", "0" }, { "realsize", "10" } }, "x\n0\n1\n" },
		{ { { "major", "2" }, { "minor", "0" }, { "realsize", "10" } }, "1\n0\n1\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf records = { 0 }, tar = { 0 };
		struct tar_item item = { .type = '0', .name = "f", .contents = rows[i].contents };
		struct cay_error err = { 0 };
		char digest[DIGEST_SIZE];

		for (size_t k = 0; rows[i].keys[k][0]; k++) {
			_cleanup_free_ char *key = xasprintf("GNU.sparse.%s", rows[i].keys[k][0]);

			tar_pax_record(&records, key, rows[i].keys[k][1],
				       strlen(rows[i].keys[k][1]));
		}
		item.pax = records.data;
		item.pax_length = records.length;
		tar_add(&tar, &item);
		tar_end(&tar);
		if (add_layer(&((struct fixture *)*state)->pins, &tar, digest, &err) >= 0)
			fail_msg("row %zu is taken", i);
		assert_int_equal(err.code, CAY_CORRUPT);
	}
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

/* A gigabyte of zeros from a megabyte takes no space. */
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

static void test_bombs_refused(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf head = { 0 }, packed = { 0 };

	/* 16 MiB of one letter in a member, which is repeated. */
	_cleanup_free_ char *letters = xcalloc(1, 16 * MIB + 1);
	const struct buf member = { letters, 16 * MIB, 0 };
	const struct tar_item large = { .type = '0', .name = "letters", .lie_size = 1500 * MIB };
	_cleanup_buf_ struct buf packed_member = { 0 };

	memset(letters, 'x', 16 * MIB);
	tar_header(&head, large.type, large.name, NULL, &large, large.lie_size);
	deflate_to(&packed, &head, 0);
	deflate_to(&packed_member, &member, 0);
	for (size_t i = 0; i < 94; i++)
		buf_append(&packed, packed_member.data, packed_member.length);
	refuse(fixture, &packed, CAY_TOO_LARGE, "bomb");

	/* A zstd frame that wants a window of 2 GiB, and one that breaks off. */
	buf_clear(&packed);
	buf_append(&packed, "\x28\xb5\x2f\xfd\x00\xa8\x09\x00\x00x", 10);
	refuse(fixture, &packed, CAY_CORRUPT, "zstd data is broken");
	packed.data[5] = 0x58;
	refuse(fixture, &packed, CAY_CORRUPT, "within a block");
	packed.length = 8;
	refuse(fixture, &packed, CAY_CORRUPT, "truncated");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sparse_lies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_compression, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_members, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bombs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bombs_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
