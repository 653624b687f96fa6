/* SPDX-License-Identifier: Apache-2.0 */
/* Trees to archives and back, and archives that try to leave the directory they are unpacked in. */
#include "tar-archive.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/pack.h"
#include "tar/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

static int setup(void **state)
{
	char path[64];

	make_test_directory(path);
	*state = xstrdup(path);
	return 0;
}

static int teardown(void **state)
{
	int r = remove_tree(*state, NULL);

	free(*state);
	return r;
}

static int open_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int unpack_as(const struct buf *archive, const char *path, struct tar_unpack_options options,
		     struct cay_error *err)
{
	struct str rest = { archive->data, archive->length };
	_cleanup_(tar_reader_free_p) struct tar_reader *reader =
		tar_reader_new(source_from_str, &rest);
	_cleanup_close_ int directory = open_directory(path);

	options.shown = path;
	if (!options.below)
		options.below = "";
	return tar_unpack(reader, directory, &options, err);
}

static void pack_as(const char *path, const char *name, const char *as, struct buf *archive)
{
	_cleanup_(tar_writer_free_p) struct tar_writer *writer =
		tar_writer_new(sink_to_buf, archive);
	const struct tar_pack_options options = { .shown = path, .xattrs = true };
	_cleanup_close_ int directory = open_directory(path);
	struct cay_error err = { 0 };

	assert_int_equal(tar_pack(writer, directory, name, as, &options, &err), 0);
	assert_int_equal(tar_writer_finish(writer, &err), 0);
}

static void write_file(const char *directory, const char *name, const char *text, mode_t mode)
{
	_cleanup_free_ char *path = path_join(directory, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static char *text_of(const char *directory, const char *name)
{
	_cleanup_free_ char *path = path_join(directory, name);
	struct buf text = { 0 };

	if (file_read(path, 4096, &text, NULL) < 0)
		return xstrdup("(none)");
	return buf_steal(&text);
}

static void expect_text(const char *directory, const char *name, const char *expected)
{
	_cleanup_free_ char *text = text_of(directory, name);

	assert_string_equal(text, expected);
}

/* All there is below a directory, a line each: name, kind, mode, links, time, target or contents.
 */
static void describe(const char *top, const char *path, struct buf *out)
{
	_cleanup_free_ char *here = path_join(top, path);
	struct dirent **items;
	int count = scandir(here, &items, NULL, alphasort);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		const char *name = items[i]->d_name;
		_cleanup_free_ char *child = path_join(path, name), *whole = path_join(here, name);
		struct stat status;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			char target[256] = "";

			assert_int_equal(lstat(whole, &status), 0);
			(void)!readlink(whole, target, sizeof(target) - 1);
			buf_printf(out, "%s %o %ld %u:%u %lld.%ld %s", child, status.st_mode,
				   S_ISDIR(status.st_mode) ? 0 : (long)status.st_nlink,
				   status.st_uid, status.st_gid, (long long)status.st_mtim.tv_sec,
				   status.st_mtim.tv_nsec, target);
			if (S_ISREG(status.st_mode))
				(void)file_read(whole, 1 << 20, out, NULL);
			buf_putc(out, '\n');
			if (S_ISDIR(status.st_mode))
				describe(top, child, out);
		}
		free(items[i]);
	}
	free(items);
}

static void make_tree(const char *top)
{
	_cleanup_free_ char *tree = path_join(top, "tree"), *sub = path_join(tree, "sub");
	_cleanup_free_ char *file = path_join(tree, "file"), *other = path_join(sub, "same");
	_cleanup_free_ char *symbolic = path_join(sub, "link"), *fifo = path_join(sub, "fifo");
	_cleanup_free_ char *away = path_join(sub, "away");
	struct timespec times[2] = { { 1, 2 }, { 1000000000, 123456789 } };

	assert_int_equal(mkdir(tree, 0755), 0);
	assert_int_equal(mkdir(sub, 0700), 0);
	write_file(tree, "file", "contents", 04751);
	write_file(tree, "\xc3\xa9\n\\", "odd name", 0644);
	assert_int_equal(link(file, other), 0);
	assert_int_equal(symlink("../file", symbolic), 0);
	assert_int_equal(symlink("/etc/../etc/passwd", away), 0);
	assert_int_equal(mkfifo(fifo, 0640), 0);
	(void)setxattr(file, "user.note", "v", 1, 0);
	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, symbolic, times, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(utimensat(AT_FDCWD, sub, times, 0), 0);
	assert_int_equal(chmod(sub, 0550), 0);
}

static void bind_socket(const char *directory)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void test_there_and_back(void **state)
{
	const char *top = *state;
	_cleanup_free_ char *first = path_join(top, "tree"), *to = path_join(top, "to");
	_cleanup_free_ char *second = path_join(to, "tree");
	_cleanup_buf_ struct buf archive = { 0 }, before = { 0 }, after = { 0 };
	struct cay_error err = { 0 };

	make_tree(top);
	describe(first, ".", &before);
	bind_socket(first); /* which no archive can hold */
	assert_int_equal(mkdir(to, 0755), 0);
	pack_as(top, "tree", "tree", &archive);
	if (unpack_as(&archive, to,
		      (struct tar_unpack_options){ .owner = geteuid() == 0, .keep_kinds = true },
		      &err) < 0)
		fail_msg("%s", err.message);
	describe(second, ".", &after);
	assert_string_equal(buf_text(&after), buf_text(&before));
	/* And over what is there already. */
	if (unpack_as(&archive, to, (struct tar_unpack_options){ .keep_kinds = true }, &err) < 0)
		fail_msg("%s", err.message);
}

static void test_renamed(void **state)
{
	static const struct {
		const char *as, *from, *to, *found;
	} cases[] = {
		{ "tree", "tree", "new", "new/file" }, { ".", ".", "other", "other/sub/same" },
		{ "/", "/", "root", "root/file" },     { "tree", "tree", "tree", "tree/file" },
		{ "tree", NULL, NULL, "tree/file" },
	};
	const char *top = *state;

	make_tree(top);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = xasprintf("to%zu", i), *to = path_join(top, name);
		_cleanup_buf_ struct buf archive = { 0 };
		struct cay_error err = { 0 };

		assert_int_equal(mkdir(to, 0755), 0);
		pack_as(top, "tree", cases[i].as, &archive);
		if (unpack_as(
			    &archive, to,
			    (struct tar_unpack_options){ .from = cases[i].from, .to = cases[i].to },
			    &err) < 0)
			fail_msg("%s", err.message);
		expect_text(to, cases[i].found, "contents");
	}
}

/* ---- hostile archives ---- */

static void test_nothing_gets_out(void **state)
{
	/* Below "in", beside which "out/secret" stands; `says` is in the error, NULL for success.
	 */
	static const struct {
		struct item items[6];
		const char *says;
		bool follow_too; /* the same with links followed inside */
	} cases[] = {
		{ { { TAR_FILE, "../out/secret", NULL, "bad" } }, "\"..\"", true },
		{ { { TAR_FILE, "a/../../out/secret", NULL, "bad" } }, "\"..\"", true },
		{ { { TAR_SYMLINK, "link", "../out", NULL },
		    { TAR_FILE, "link/secret", NULL, "bad" } },
		  "symbolic link stands in the way",
		  false },
		{ { { TAR_SYMLINK, "link", "../out/secret", NULL },
		    { TAR_FILE, "link", NULL, "new" } },
		  NULL,
		  true },
		{ { { TAR_DIRECTORY, "a", NULL, NULL },
		    { TAR_SYMLINK, "a/b", "../..", NULL },
		    { TAR_FILE, "a/b/out/secret", NULL, "bad" } },
		  "symbolic link stands in the way",
		  false },
		{ { { TAR_HARDLINK, "mine", "../out/secret", NULL },
		    { TAR_FILE, "mine", NULL, "bad" } },
		  "\"..\"",
		  true },
		{ { { TAR_SYMLINK, "link", "../out", NULL },
		    { TAR_HARDLINK, "mine", "link/secret", NULL } },
		  "hard link's directory",
		  false },
		{ { { TAR_SYMLINK, "link", "../out/secret", NULL },
		    { TAR_HARDLINK, "mine", "link", NULL },
		    { TAR_FILE, "mine", NULL, "new" } },
		  NULL,
		  true },
		{ { { TAR_SYMLINK, "link", "../out", NULL },
		    { TAR_DIRECTORY, "link", NULL, NULL } },
		  "cannot overwrite non-directory",
		  true },
		{ { { TAR_DIRECTORY, "d", NULL, NULL }, { TAR_FILE, "d", NULL, "bad" } },
		  "cannot overwrite directory",
		  true },
		{ { { TAR_FILE, ".", NULL, "bad" } }, "something else than a directory", true },
		{ { { TAR_SYMLINK, "stone", "/out", NULL },
		    { TAR_FILE, "stone/secret", NULL, "bad" } },
		  "symbolic link stands in the way",
		  false },
	};
	const char *top = *state;
	_cleanup_free_ char *out = path_join(top, "out");

	assert_int_equal(mkdir(out, 0755), 0);
	write_file(out, "secret", "kept", 0600);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int follow = 0; follow < 2; follow++) {
			_cleanup_free_ char *name = xasprintf("in%zu%d", i, follow);
			_cleanup_free_ char *in = path_join(top, name);
			_cleanup_buf_ struct buf archive = { 0 };
			struct cay_error err = { 0 };
			int r;

			assert_int_equal(mkdir(in, 0755), 0);
			build(cases[i].items, &archive);
			r = unpack_as(
				&archive, in,
				(struct tar_unpack_options){ .follow = follow, .keep_kinds = true },
				&err);
			expect_text(out, "secret", "kept");
			if (follow && !cases[i].follow_too)
				continue; /* made inside, or an error of the kernel's choice */
			assert_int_equal(r < 0, cases[i].says != NULL);
			if (cases[i].says && !strstr(err.message, cases[i].says))
				fail_msg("case %zu: %s", i, err.message);
		}
}

/* Beside what was asked for there may be files that its receiver runs. */
static void test_nothing_beside(void **state)
{
	static const struct {
		const char *from, *to;
		struct item items[3];
	} cases[] = {
		{ "x", "x", { { TAR_FILE, "beside", NULL, "bad" } } },
		{ "x", "y", { { TAR_FILE, "beside", NULL, "bad" } } },
		{ "x", "xx", { { TAR_FILE, "xbeside", NULL, "bad" } } },
		{ "x", "y", { { TAR_FILE, "./beside", NULL, "bad" } } },
		{ ".", "y", { { TAR_FILE, "beside", NULL, "bad" } } },
		{ ".", "y", { { TAR_FILE, ".beside", NULL, "bad" } } },
		{ "x",
		  "x",
		  { { TAR_DIRECTORY, "x", NULL, NULL }, { TAR_HARDLINK, "x/a", "beside", NULL } } },
	};
	const char *top = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tar_unpack_options options = { .from = cases[i].from,
							    .to = cases[i].to };
		_cleanup_buf_ struct buf archive = { 0 };
		struct cay_error err = { 0 };

		build(cases[i].items, &archive);
		assert_true(unpack_as(&archive, top, options, &err) < 0);
		if (!strstr(err.message, "was not asked for"))
			fail_msg("case %zu: %s", i, err.message);
		expect_text(top, "beside", "(none)");
		expect_text(top, ".beside", "(none)");
	}
}

static void test_absolute_names_stay_below(void **state)
{
	static const struct item items[] = { { TAR_FILE, "/abs/file", NULL, "text" },
					     { TAR_HARDLINK, "/other", "/abs/file", NULL },
					     { 0 } };
	const char *top = *state;
	_cleanup_buf_ struct buf archive = { 0 };
	struct cay_error err = { 0 };

	build(items, &archive);
	assert_int_equal(unpack_as(&archive, top, (struct tar_unpack_options){ 0 }, &err), 0);
	expect_text(top, "abs/file", "text");
	expect_text(top, "other", "text");
}

static void test_links_followed_inside(void **state)
{
	static const struct item items[] = { { TAR_DIRECTORY, "real", NULL, NULL },
					     { TAR_SYMLINK, "link", "/root/real", NULL },
					     { TAR_SYMLINK, "up", "../../../real", NULL },
					     { TAR_FILE, "link/a", NULL, "one" },
					     { 0 } };
	const char *top = *state;
	_cleanup_free_ char *root = path_join(top, "root"), *real = path_join(root, "real");
	_cleanup_buf_ struct buf archive = { 0 };
	struct cay_error err = { 0 };

	assert_int_equal(mkdir(root, 0755), 0);
	build(items, &archive);
	if (unpack_as(&archive, top, (struct tar_unpack_options){ .follow = true, .below = "root" },
		      &err) < 0)
		fail_msg("%s", err.message);
	expect_text(real, "a", "one");
}

static void count_skipped(void *user, const struct tar_entry *entry)
{
	++*(unsigned int *)user;
}

static void test_devices_left_out(void **state)
{
	static const struct item items[] = { { TAR_CHARACTER, "null", NULL, NULL },
					     { TAR_BLOCK_DEVICE, "disk", NULL, NULL },
					     { TAR_FILE, "file", NULL, "text" },
					     { 0 } };
	const char *top = *state;
	_cleanup_buf_ struct buf archive = { 0 };
	struct cay_error err = { 0 };
	unsigned int skipped = 0;

	build(items, &archive);
	assert_int_equal(
		unpack_as(&archive, top,
			  (struct tar_unpack_options){ .skipped = count_skipped, .user = &skipped },
			  &err),
		0);
	assert_int_equal(skipped, 2);
	expect_text(top, "null", "(none)");
	expect_text(top, "file", "text");
}

/* What was there goes with all that is in it where kinds need not be kept. */
static void test_replaced(void **state)
{
	static const struct item items[] = { { TAR_DIRECTORY, "x", NULL, NULL },
					     { TAR_FILE, "x/y", NULL, "text" },
					     { TAR_FILE, "x", NULL, "file now" },
					     { 0 } };
	const char *top = *state;
	_cleanup_buf_ struct buf archive = { 0 };
	struct cay_error err = { 0 };

	build(items, &archive);
	if (unpack_as(&archive, top, (struct tar_unpack_options){ 0 }, &err) < 0)
		fail_msg("%s", err.message);
	expect_text(top, "x", "file now");
}

static void test_cut_short(void **state)
{
	static const struct item items[] = { { TAR_FILE, "whole", NULL, "text" },
					     { TAR_FILE, "half", NULL, "much more text" },
					     { 0 } };
	const char *top = *state;
	_cleanup_buf_ struct buf archive = { 0 };
	struct cay_error err = { 0 };

	build(items, &archive);
	archive.length = 3 * 512 + 5;
	assert_true(unpack_as(&archive, top, (struct tar_unpack_options){ 0 }, &err) < 0);
	expect_text(top, "whole", "text");
	expect_text(top, "half", "(none)");
}

/* Each level once took 128 KiB of stack; further ones than can be had are an error. */
static void test_deep(void **state)
{
	static const struct {
		unsigned int levels;
		enum cay_code code;
	} rows[] = { { 300, CAY_OK }, { 1100, CAY_TOO_LARGE } };
	const struct rlimit limit = { 2048, 4096 };
	_cleanup_close_ int root = open_directory(*state);

	(void)setrlimit(RLIMIT_NOFILE, &limit); /* else it is one of descriptors that is met */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct buf archive = { 0 };
		_cleanup_(tar_writer_free_p) struct tar_writer *writer =
			tar_writer_new(sink_to_buf, &archive);
		const struct tar_pack_options options = { .shown = "d", .xattrs = true };
		struct cay_error err = { 0 };
		int at = dup(root);

		for (unsigned int level = 0; level < rows[i].levels; level++) {
			int next;

			assert_int_equal(mkdirat(at, "d", 0700), 0);
			next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			assert_true(next >= 0);
			(void)fsetxattr(next, "user.a", "1", 1, 0); /* not every file system can */
			(void)close(at);
			at = next;
		}
		(void)tar_pack(writer, root, "d", "d", &options, &err);
		assert_int_equal(err.code, rows[i].code);
		buf_done(&archive);
		/* From below, as a tree so deep has no path that could be named. */
		for (unsigned int level = 0; level < rows[i].levels; level++) {
			int above = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			assert_int_equal(unlinkat(above, "d", AT_REMOVEDIR), 0);
			(void)close(at);
			at = above;
		}
		(void)close(at);
	}
}

/* Holes at the beginning, in the middle and at the end are zeros in the archive. */
static void test_sparse(void **state)
{
	enum { STEP = 1 << 20, SIZE = 5 * STEP };
	_cleanup_free_ char *path = path_join(*state, "s"), *copy = path_join(*state, "t/s");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct buf archive = { 0 }, before = { 0 }, after = { 0 };
	struct cay_error err = { 0 };

	assert_int_equal(pwrite(fd, "one", 3, STEP), 3);
	assert_int_equal(pwrite(fd, "two", 3, 3 * STEP + 5), 3);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	pack_as(*state, "s", "t/s", &archive);
	assert_int_equal(unpack_as(&archive, *state, (struct tar_unpack_options){ 0 }, &err), 0);
	assert_int_equal(file_read(path, SIZE, &before, &err), 0);
	assert_int_equal(file_read(copy, SIZE, &after, &err), 0);
	assert_int_equal(after.length, SIZE);
	assert_memory_equal(after.data, before.data, SIZE);
	buf_done(&archive);
	buf_done(&before);
	buf_done(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renamed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_gets_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_beside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_absolute_names_stay_below, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_followed_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_devices_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sparse, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
