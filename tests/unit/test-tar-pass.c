/* SPDX-License-Identifier: Apache-2.0 */
/* Archives that are passed on: honest ones byte for byte, and what of others is let through. */
#include "tar-archive.h"

#include "../fuzz/tar-common.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/format.h"
#include "tar/pack.h"
#include "tar/pass.h"

#include <fcntl.h>
#include <sys/stat.h>

static int pass(const struct buf *archive, const char *as, struct buf *passed,
		struct cay_error *err)
{
	struct str rest = { buf_text(archive), archive->length };
	_cleanup_(tar_reader_free_p) struct tar_reader *reader =
		tar_reader_new(source_from_str, &rest);
	_cleanup_(tar_writer_free_p) struct tar_writer *writer =
		tar_writer_new(sink_to_buf, passed);

	return tar_pass(reader, writer, as, err);
}

static void add(struct tar_writer *writer, const struct tar_entry *entry, const char *data)
{
	struct cay_error err = { 0 };

	assert_ok(tar_writer_add(writer, entry, &err));
	if (entry->size > 0)
		assert_ok(tar_writer_put(writer, data, entry->size, &err));
}

static void expect_refused(const struct buf *archive, const char *as, const char *says)
{
	_cleanup_buf_ struct buf passed = { 0 };
	struct cay_error err = { 0 };

	if (pass(archive, as, &passed, &err) >= 0)
		fail_msg("\"%s\" was expected", says);
	assert_int_equal(err.code, CAY_CORRUPT);
	if (!strstr(err.message, says))
		fail_msg("\"%s\" instead of \"%s\"", err.message, says);
}

static void expect_same(const struct buf *archive, const char *as)
{
	_cleanup_buf_ struct buf passed = { 0 };
	struct cay_error err = { 0 };

	if (pass(archive, as, &passed, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(passed.length, archive->length);
	assert_memory_equal(passed.data, archive->data, archive->length);
}

/* ---- honest ones ---- */

#define LONG "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void make_tree(const char *top)
{
	static const char *const directories[] = { "", "a", "a.b", "a/" LONG, "b", "b/\303\251" };
	static const char *const files[] = { "a/" LONG "/" LONG LONG, "a/f", "a-b", "a.b/f",
					     "b/\303\251/g",          "z" };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		_cleanup_free_ char *path = path_join(top, directories[i]);

		assert_true(mkdir(path, 0755) == 0 || directories[i][0] == '\0');
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = path_join(top, files[i]);
		_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		assert_true(fd >= 0 && write_full(fd, files[i], strlen(files[i])) == 0);
	}
	_cleanup_free_ char *z = path_join(top, "z"), *hard = path_join(top, "zz"),
			    *soft = path_join(top, "b/soft"), *other = path_join(top, "b/other"),
			    *pipe = path_join(top, "pipe");

	assert_int_equal(link(z, hard), 0);
	assert_int_equal(symlink("/etc/passwd", soft), 0);
	assert_int_equal(link(soft, other), 0);
	assert_int_equal(mkfifo(pipe, 0600), 0);
}

static void pack(const char *top, const char *as, struct buf *archive)
{
	_cleanup_(tar_writer_free_p) struct tar_writer *writer =
		tar_writer_new(sink_to_buf, archive);
	const struct tar_pack_options options = { .shown = top };
	_cleanup_close_ int directory = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cay_error err = { 0 };

	assert_true(directory >= 0);
	assert_ok(tar_pack(writer, directory, ".", as, &options, &err));
	assert_ok(tar_writer_finish(writer, &err));
}

static void test_what_is_packed_passes(void **state)
{
	static const char *const names[] = { "x", ".", "/", "", "with space" };
	char top[64];

	make_test_directory(top);
	make_tree(top);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_buf_ struct buf archive = { 0 };

		pack(top, names[i], &archive);
		expect_same(&archive, names[i]);
	}
	assert_int_equal(remove_tree(top, NULL), 0);
}

static void test_single_files_pass(void **state)
{
	static const struct item cases[][8] = {
		{ { TAR_FILE, "x", NULL, "text" } },
		{ { TAR_SYMLINK, "x", "../../../up", NULL } },
		{ { TAR_SYMLINK, "x", "/", NULL } },
		{ { TAR_FIFO, "x", NULL, NULL } },
		{ { TAR_CHARACTER, "x", NULL, NULL } },
		{ { TAR_DIRECTORY, "x/", NULL, NULL } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf archive = { 0 };

		build(cases[i], &archive);
		expect_same(&archive, "x");
	}
}

static void test_many_files(void **state)
{
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_(tar_writer_free_p) struct tar_writer *writer =
		tar_writer_new(sink_to_buf, &archive);
	struct tar_entry entry = { .type = TAR_DIRECTORY, .path = STR("x/") };
	struct cay_error err = { 0 };
	char name[32], target[32];

	add(writer, &entry, NULL);
	for (unsigned int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "x/%05u", i);
		(void)snprintf(target, sizeof(target), "x/%05u", i / 2);
		/* Every other one of the second half is a link to one of the first. */
		entry = (struct tar_entry){ .type = i > 1500 && i % 2 ? TAR_HARDLINK : TAR_FILE,
					    .path = str_from(name) };
		if (entry.type == TAR_HARDLINK)
			entry.link = str_from(target);
		add(writer, &entry, NULL);
	}
	assert_ok(tar_writer_finish(writer, &err));
	expect_same(&archive, "x");
}

/* ---- others ---- */

static void test_refused(void **state)
{
	static const struct {
		const char *as, *says;
		struct item items[8];
	} cases[] = {
		{ "x", "empty", { { 0 } } },
		{ "x", "not asked for", { { TAR_FILE, "beside", NULL, "bad" } } },
		{ "x", "not asked for", { { TAR_FILE, "./x", NULL, "bad" } } },
		{ "x", "not asked for", { { TAR_FILE, "/x", NULL, "bad" } } },
		{ "x", "not asked for", { { TAR_FILE, "xx", NULL, "bad" } } },
		{ "x",
		  "not asked for",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_FILE, ".profile", NULL, "bad" } } },
		{ ".",
		  "not asked for",
		  { { TAR_DIRECTORY, ".", NULL, NULL }, { TAR_FILE, ".profile", NULL, "bad" } } },
		{ "/", "not asked for", { { TAR_FILE, "etc", NULL, "bad" } } },
		{ "", "no plain name", { { TAR_FILE, "/etc", NULL, "bad" } } },
		{ "", "no plain name", { { TAR_FILE, "./etc", NULL, "bad" } } },
		{ "", "no plain name", { { TAR_FILE, "../etc", NULL, "bad" } } },
		{ "x",
		  "no plain name",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_FILE, "x/../y", NULL, "bad" } } },
		{ "x",
		  "no plain name",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_FILE, "x/..", NULL, "bad" } } },
		{ "x",
		  "no plain name",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_FILE, "x//y", NULL, "bad" } } },
		{ "x",
		  "no plain name",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_DIRECTORY, "x/y//", NULL, NULL } } },
		{ "x",
		  "no plain name",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_SYMLINK, "x/y/", "z", NULL } } },
		/* without the directories that lead there */
		{ "x", "where it belongs", { { TAR_FILE, "x/y", NULL, "bad" } } },
		{ "x",
		  "where it belongs",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_FILE, "x/y/z", NULL, "bad" } } },
		/* below something else than a directory */
		{ "x",
		  "where it belongs",
		  { { TAR_SYMLINK, "x", "/etc", NULL }, { TAR_FILE, "x/passwd", NULL, "bad" } } },
		{ "x",
		  "where it belongs",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_SYMLINK, "x/l", "/etc", NULL },
		    { TAR_FILE, "x/l/passwd", NULL, "bad" } } },
		{ "x",
		  "where it belongs",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_DIRECTORY, "x/l", NULL, NULL },
		    { TAR_FILE, "x/l/a", NULL, NULL },
		    { TAR_SYMLINK, "x/l", "/etc", NULL },
		    { TAR_FILE, "x/l/passwd", NULL, "bad" } } },
		{ "x",
		  "where it belongs",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_SYMLINK, "x/l", "/etc", NULL },
		    { TAR_DIRECTORY, "x/m", NULL, NULL },
		    { TAR_FILE, "x/l/passwd", NULL, "bad" } } },
		/* twice, and out of order */
		{ "x",
		  "where it belongs",
		  { { TAR_FILE, "x", NULL, NULL }, { TAR_SYMLINK, "x", "/etc", NULL } } },
		{ "x",
		  "where it belongs",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_SYMLINK, "x/a", "/etc/passwd", NULL },
		    { TAR_FILE, "x/a", NULL, "bad" } } },
		{ "x",
		  "where it belongs",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_FILE, "x/b", NULL, NULL },
		    { TAR_FILE, "x/a", NULL, NULL } } },
		{ "x",
		  "where it belongs",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_FILE, "x/ab", NULL, NULL },
		    { TAR_FILE, "x/a", NULL, NULL } } },
		{ "x",
		  "where it belongs",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_DIRECTORY, "x/ab", NULL, NULL },
		    { TAR_FILE, "x/a/b", NULL, NULL } } },
		/* hard links: to outside, through links, to links, to what comes later */
		{ "x", "hard link", { { TAR_HARDLINK, "x", "/etc/passwd", NULL } } },
		{ "x", "hard link", { { TAR_HARDLINK, "x", "x", NULL } } },
		{ "x",
		  "hard link",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_HARDLINK, "x/a", "../secret", NULL } } },
		{ "x",
		  "hard link",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_SYMLINK, "x/l", "/etc", NULL },
		    { TAR_HARDLINK, "x/m", "x/l/passwd", NULL } } },
		{ "x",
		  "hard link",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_SYMLINK, "x/l", "/etc/passwd", NULL },
		    { TAR_HARDLINK, "x/m", "x/l", NULL } } },
		{ "x",
		  "hard link",
		  { { TAR_DIRECTORY, "x", NULL, NULL },
		    { TAR_HARDLINK, "x/a", "x/b", NULL },
		    { TAR_FILE, "x/b", NULL, NULL } } },
		{ "x",
		  "hard link",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_HARDLINK, "x/a", "x", NULL } } },
		{ "x", "without a target", { { TAR_SYMLINK, "x", "", NULL } } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf archive = { 0 };

		build(cases[i].items, &archive);
		expect_refused(&archive, cases[i].as, cases[i].says);
	}
}

static void test_long_names(void **state)
{
	_cleanup_buf_ struct buf name = { 0 };

	buf_puts(&name, "x/");
	for (unsigned int i = 0; i < TAR_NAME_MAX; i++)
		buf_putc(&name, 'a');
	for (unsigned int extra = 0; extra < 2; extra++) {
		const struct item items[8] = { { TAR_DIRECTORY, "x", NULL, NULL },
					       { TAR_FILE, name.data, NULL, NULL } };
		_cleanup_buf_ struct buf archive = { 0 };

		build(items, &archive);
		if (extra)
			expect_refused(&archive, "x", "no plain name");
		else
			expect_same(&archive, "x");
		buf_putc(&name, 'a');
	}
}

static void test_impossible_owners(void **state)
{
	const struct tar_entry entries[] = {
		{ .type = TAR_FILE, .path = STR("x"), .uid = UINT32_MAX },
		{ .type = TAR_FILE, .path = STR("x"), .gid = UINT64_C(1) << 40 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		_cleanup_buf_ struct buf archive = { 0 };
		_cleanup_(tar_writer_free_p) struct tar_writer *writer =
			tar_writer_new(sink_to_buf, &archive);

		add(writer, &entries[i], NULL);
		expect_refused(&archive, "x", "impossible number");
	}
}

/* A file of a terabyte in a few blocks would fill its receiver's disk. */
static void test_holes(void **state)
{
	static const struct item items[8] = { { TAR_FILE, "x", NULL, NULL } };
	_cleanup_buf_ struct buf archive = { 0 };
	struct tar_raw_header *header;

	build(items, &archive);
	header = (struct tar_raw_header *)archive.data;
	header->type = 'S';
	memcpy(header->magic, "ustar  ", 8);
	memcpy(header->tail.gnu.real_size, "17777777777", 12);
	fix_checksums((uint8_t *)archive.data, TAR_BLOCK);
	expect_refused(&archive, "x", "holes");
}

static void test_cut_short(void **state)
{
	static const struct item items[8] = { { TAR_DIRECTORY, "x", NULL, NULL },
					      { TAR_FILE, "x/a", NULL, "some text" } };
	_cleanup_buf_ struct buf archive = { 0 };

	build(items, &archive);
	archive.length = 3 * (size_t)TAR_BLOCK - 100;
	expect_refused(&archive, "x", "too early");
	archive.length = 2 * (size_t)TAR_BLOCK + 3;
	expect_refused(&archive, "x", "ends within");
	archive.length = 2 * (size_t)TAR_BLOCK - 1;
	expect_refused(&archive, "x", "ends within");
}

static void test_attributes(void **state)
{
	struct tar_entry entry = { .type = TAR_FILE, .path = STR("x") };
	_cleanup_buf_ struct buf archive = { 0 }, expected = { 0 }, passed = { 0 };
	_cleanup_(tar_writer_free_p) struct tar_writer *writer =
		tar_writer_new(sink_to_buf, &archive);
	_cleanup_(tar_writer_free_p) struct tar_writer *expecting =
		tar_writer_new(sink_to_buf, &expected);
	struct cay_error err = { 0 };

	tar_xattr_add(&entry.xattrs, STR("security.capability"), STR("c"));
	tar_xattr_add(&entry.xattrs, STR("user.note"), STR("n"));
	add(expecting, &entry, NULL);
	buf_clear(&entry.xattrs);
	tar_xattr_add(&entry.xattrs, STR("security.capability"), STR("c"));
	tar_xattr_add(&entry.xattrs, STR("security.selinux"), STR("s"));
	tar_xattr_add(&entry.xattrs, STR("trusted.overlay.opaque"), STR("y"));
	tar_xattr_add(&entry.xattrs, STR("user.note"), STR("n"));
	add(writer, &entry, NULL);
	buf_done(&entry.xattrs);
	assert_ok(tar_writer_finish(expecting, &err));
	assert_ok(tar_writer_finish(writer, &err));
	assert_ok(pass(&archive, "x", &passed, &err));
	assert_int_equal(passed.length, expected.length);
	assert_memory_equal(passed.data, expected.data, expected.length);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_packed_passes),
		cmocka_unit_test(test_single_files_pass),
		cmocka_unit_test(test_many_files),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_impossible_owners),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
