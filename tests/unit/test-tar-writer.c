/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar writer: archives of every kind of entry, judged by our own reader,
 * by GNU tar, which extracts them, and by Python's tarfile, which lists them.
 */
#include "test.h"

#include "base/process.h"
#include "tar/reader.h"
#include "tar/writer.h"

#include <sys/stat.h>

#define A50  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A100 A50 A50

struct row {
	struct tar_entry entry;
	const char *contents;
	bool plain; /* one header is enough */
};

#define TEXT(literal) \
	{ \
		literal, sizeof(literal) - 1 \
	}
static const struct row rows[] = {
	{ { .type = TAR_DIRECTORY, .path = TEXT("d/"), .mode = 0755, .mtime = 1 }, NULL, true },
	{ { .type = TAR_FILE, .path = TEXT("d/f"), .mode = 04640, .mtime = 1234567890, .size = 5 },
	  "hello",
	  true },
	{ { .type = TAR_FILE, .path = TEXT("d/empty"), .mode = 0, .mtime = 077777777777 },
	  "",
	  true },
	{ { .type = TAR_HARDLINK, .path = TEXT("d/hard"), .link = TEXT("d/f"), .mode = 0644 },
	  NULL,
	  true },
	{ { .type = TAR_SYMLINK, .path = TEXT("d/soft"), .link = TEXT("../x"), .mode = 0777 },
	  NULL,
	  true },
	{ { .type = TAR_FIFO, .path = TEXT("d/fifo"), .mode = 0600 }, NULL, true },
	/* the largest that a plain header holds, and one beyond it */
	{ { .type = TAR_DIRECTORY, .path = TEXT(A50 "/"), .uid = 2097151, .gid = 2097151 },
	  NULL,
	  true },
	{ { .type = TAR_FILE, .path = TEXT(A100), .mtime = 5, .size = 1 }, "x", true },
	{ { .type = TAR_FILE, .path = TEXT(A50 "/" A100), .mtime = 5, .size = 1 }, "y", true },
	{ { .type = TAR_FILE, .path = TEXT("d/" A100 "a"), .mtime = 5, .size = 1 }, "z", false },
	{ { .type = TAR_FILE, .path = TEXT("d/owned"), .uid = 2097152, .gid = 4294967294 },
	  "",
	  false },
	{ { .type = TAR_FILE, .path = TEXT("d/ns"), .mtime = 77, .mtime_ns = 123456789 },
	  "",
	  false },
	{ { .type = TAR_FILE, .path = TEXT("d/tenth"), .mtime = 77, .mtime_ns = 100000000 },
	  "",
	  false },
	{ { .type = TAR_FILE, .path = TEXT("d/old"), .mtime = -5 }, "", false },
	{ { .type = TAR_FILE, .path = TEXT("d/older"), .mtime = -5, .mtime_ns = 250000000 },
	  "",
	  false },
	{ { .type = TAR_FILE, .path = TEXT("d/far"), .mtime = 0100000000000 }, "", false },
	{ { .type = TAR_FILE, .path = TEXT("d/\xc3\xa9"), .size = 3 }, "abc", false },
	{ { .type = TAR_FILE, .path = TEXT("d/e\xcc\x81"), .size = 3 }, "def", false },
	{ { .type = TAR_SYMLINK, .path = TEXT("d/l"), .link = TEXT(A100 "/" A50), .mode = 0777 },
	  NULL,
	  false },
	{ { .type = TAR_SYMLINK, .path = TEXT("d/u"), .link = TEXT("\xc3\xa9"), .mode = 0777 },
	  NULL,
	  false },
};

struct archive {
	struct buf bytes;
	size_t at;
};

static int sink(void *user, const void *data, size_t size, struct cay_error *err)
{
	struct archive *archive = user;

	(void)err;
	buf_append(&archive->bytes, data, size);
	return 0;
}

static ssize_t source(void *user, void *data, size_t size, struct cay_error *err)
{
	struct archive *archive = user;

	(void)err;
	size = MIN(size, archive->bytes.length - archive->at);
	memcpy(data, archive->bytes.data + archive->at, size);
	archive->at += size;
	return (ssize_t)size;
}

static void write_row(struct tar_writer *writer, const struct row *row)
{
	struct cay_error err = { 0 };

	assert_ok(tar_writer_add(writer, &row->entry, &err));
	if (row->entry.type == TAR_FILE)
		assert_ok(tar_writer_put(writer, row->contents, row->entry.size, &err));
	assert_int_equal(tar_writer_left(writer), 0);
}

static void write_rows(struct archive *archive)
{
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(sink, archive);
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const size_t before = archive->bytes.length;

		write_row(writer, &rows[i]);
		/* What pads a file comes with the next entry. */
		if (rows[i].plain)
			assert_true(archive->bytes.length - before <= 1024 + rows[i].entry.size);
		else
			assert_true(archive->bytes.length - before > 1024);
	}
	assert_ok(tar_writer_finish(writer, &err));
}

static void test_round_trip(void **state)
{
	struct archive archive = { 0 }, again = { 0 };
	_cleanup_(tar_reader_free_p) struct tar_reader *reader = tar_reader_new(source, &archive);
	const struct tar_entry *entry;
	struct cay_error err = { 0 };

	(void)state;
	write_rows(&archive);
	write_rows(&again);
	assert_int_equal(archive.bytes.length, again.bytes.length);
	assert_memory_equal(archive.bytes.data, again.bytes.data, again.bytes.length);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct tar_entry *expected = &rows[i].entry;
		struct str data = { 0 };
		uint64_t offset;

		assert_int_equal(tar_reader_next(reader, &entry, &err), 1);
		assert_int_equal(entry->type, expected->type);
		assert_true(str_equal(entry->path, expected->path));
		assert_true(str_equal(entry->link, expected->link));
		assert_int_equal(entry->mode, expected->mode);
		assert_int_equal(entry->uid, expected->uid);
		assert_int_equal(entry->gid, expected->gid);
		assert_int_equal(entry->mtime, expected->mtime);
		assert_int_equal(entry->mtime_ns, expected->mtime_ns);
		assert_int_equal(entry->size, expected->size);
		if (entry->size > 0) {
			assert_int_equal(tar_reader_read(reader, &offset, &data, &err), 1);
			assert_true(str_equals(data, rows[i].contents));
		}
	}
	assert_int_equal(tar_reader_next(reader, &entry, &err), 0);
	buf_done(&archive.bytes);
	buf_done(&again.bytes);
}

static void test_attributes(void **state)
{
	struct tar_entry entry = { .type = TAR_DIRECTORY, .path = TEXT("d") };
	struct archive archive = { 0 };
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(sink, &archive);
	_cleanup_(tar_reader_free_p) struct tar_reader *reader = tar_reader_new(source, &archive);
	const struct tar_entry *read;
	struct cay_error err = { 0 };

	(void)state;
	tar_xattr_add(&entry.xattrs, STR("user.a"), STR("1\0=\n2"));
	tar_xattr_add(&entry.xattrs, STR("security.capability"), STR(""));
	/* a record whose length has one digit more because of that digit */
	for (size_t size = 60; size < 120; size++) {
		char name[32], value[128];
		int length = snprintf(name, sizeof(name), "user.n%zu", size);

		memset(value, 'v', sizeof(value));
		tar_xattr_add(&entry.xattrs, (struct str){ name, (size_t)length },
			      (struct str){ value, size });
	}
	assert_ok(tar_writer_add(writer, &entry, &err));
	assert_ok(tar_writer_finish(writer, &err));
	assert_int_equal(tar_reader_next(reader, &read, &err), 1);
	assert_true(str_equals(read->path, "d/"));
	assert_int_equal(read->xattrs.length, entry.xattrs.length);
	assert_memory_equal(read->xattrs.data, entry.xattrs.data, entry.xattrs.length);
	assert_int_equal(tar_reader_next(reader, &read, &err), 0);
	buf_done(&entry.xattrs);
	buf_done(&archive.bytes);
}

/* A file of more than 8 GiB: its size reaches the reader; the contents are never made. */
static void test_large(void **state)
{
	const struct tar_entry entry = { .type = TAR_FILE,
					 .path = TEXT("f"),
					 .size = UINT64_C(9) << 30 };
	struct archive archive = { 0 };
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(sink, &archive);
	_cleanup_(tar_reader_free_p) struct tar_reader *reader = tar_reader_new(source, &archive);
	const struct tar_entry *read;
	struct cay_error err = { 0 };

	(void)state;
	assert_ok(tar_writer_add(writer, &entry, &err));
	assert_ok(tar_writer_put_zeros(writer, 100000, &err));
	assert_true(tar_writer_left(writer) == entry.size - 100000);
	assert_int_equal(tar_reader_next(reader, &read, &err), 1);
	assert_true(read->size == entry.size);
	buf_done(&archive.bytes);
}

static void test_refused(void **state)
{
	static char long_path[TAR_PATH_MAX + 3];
	const struct {
		struct tar_entry entry;
		enum cay_code code;
	} refused[] = {
		{ { .type = TAR_FILE, .path = { long_path, sizeof(long_path) - 1 } },
		  CAY_TOO_LARGE },
		{ { .type = TAR_SYMLINK,
		    .path = TEXT("l"),
		    .link = { long_path, sizeof(long_path) - 1 } },
		  CAY_TOO_LARGE },
		{ { .type = TAR_FILE, .path = TEXT("a\0b") }, CAY_INVALID },
		{ { .type = TAR_FILE, .path = TEXT("") }, CAY_INVALID },
	};
	struct archive archive = { 0 };
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(sink, &archive);

	(void)state;
	memset(long_path, 'a', sizeof(long_path) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct cay_error err = { 0 };

		assert_true(tar_writer_add(writer, &refused[i].entry, &err) < 0);
		assert_int_equal(err.code, refused[i].code);
		assert_int_equal(archive.bytes.length, 0);
	}
}

/* Writes the archive into a new directory. */
static void make_archive_file(char directory[64], char path[96])
{
	struct archive archive = { 0 };
	struct cay_error err = { 0 };

	make_test_directory(directory);
	(void)snprintf(path, 96, "%s/a.tar", directory);
	write_rows(&archive);
	assert_ok(file_write_volatile(path, archive.bytes.data, archive.bytes.length, 0600, &err));
	buf_done(&archive.bytes);
}

/* What a program says of the archive; it must succeed. */
static char *judge(char *const *argv, size_t count)
{
	const struct strv list = { (char **)argv, count };
	struct cay_error err = { 0 };
	struct buf output = { 0 };
	int r = process_run(&list, 1 << 20, &output, &err);

	if (r != 0)
		fail_msg("%s: %d: %s%s", argv[0], r, err.message, buf_text(&output));
	return buf_steal(&output);
}

/* Extracted by GNU tar, which complains about anything it finds odd. */
static void test_gnu_tar(void **state)
{
	char directory[64], path[96];
	char *const argv[] = { (char *)"tar",  (char *)"-C", directory, (char *)"--numeric-owner",
			       (char *)"-xpf", path,         NULL };
	struct cay_error err = { 0 };
	struct stat st;

	(void)state;
	make_archive_file(directory, path);
	_cleanup_free_ char *output = judge(argv, ARRAY_SIZE(argv) - 1);

	/* It says so of each file that is older than it finds plausible, and of nothing else. */
	assert_null(strstr(output, "rror"));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct tar_entry *entry = &rows[i].entry;
		_cleanup_free_ char *name = path_join(directory, entry->path.data);

		assert_int_equal(lstat(name, &st), 0);
		if (entry->type != TAR_FILE)
			continue;
		assert_int_equal(st.st_size, entry->size);
		assert_int_equal(st.st_mode & 07777, entry->mode);
		assert_int_equal(st.st_mtim.tv_sec, entry->mtime);
		assert_int_equal(st.st_mtim.tv_nsec, entry->mtime_ns);
		if (geteuid() == 0)
			assert_int_equal(st.st_uid, entry->uid);
	}
	assert_ok(remove_tree(directory, &err));
}

/* Listed by Python's tarfile. */
static void test_python(void **state)
{
	static const char program[] =
		"import sys, tarfile\n"
		"for m in tarfile.open(sys.argv[1]):\n"
		"  print(m.type.decode(), m.name, m.linkname, '%o' % m.mode, m.uid, m.gid, m.size,"
		" int(m.mtime // 1), sep='|')\n";
	char directory[64], path[96];
	char *const argv[] = { (char *)"env", (char *)"PYTHONUTF8=1", (char *)"python3",
			       (char *)"-c",  (char *)program,        path,
			       NULL };
	static const char letters[] = "0123456";
	_cleanup_buf_ struct buf expected = { 0 };
	struct cay_error err = { 0 };

	(void)state;
	make_archive_file(directory, path);
	_cleanup_free_ char *listed = judge(argv, ARRAY_SIZE(argv) - 1);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct tar_entry *entry = &rows[i].entry;
		const int cut = ends_with(entry->path.data, "/") ? 1 : 0;

		buf_printf(&expected, "%c|%.*s|%s|%o|%lu|%lu|%lu|%ld\n", letters[entry->type],
			   (int)entry->path.length - cut, entry->path.data,
			   entry->link.data ? entry->link.data : "", entry->mode, entry->uid,
			   entry->gid, entry->size, entry->mtime);
	}
	assert_string_equal(listed, buf_text(&expected));
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_large),      cmocka_unit_test(test_refused),
		cmocka_unit_test(test_gnu_tar),    cmocka_unit_test(test_python),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
