/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What looks at a container's files: paths by docker's rules, the child and
 * what it has left, and a real overlay compared with its lower layer. The parts
 * that need root run in a mount namespace of a forked child.
 */
#include "test.h"

#include "guest/copy-path.h"
#include "guest/copy.h"

#include "base/alloc.h"
#include "base/strv.h"
#include "tar/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static void test_paths(void **state)
{
	static const struct {
		const char *text, *clean, *name;
		bool directory;
	} rows[] = {
		{ "/d/a", "/d/a", "a", false },   { "d/a", "/d/a", "a", false },
		{ "/d/", "/d", "d", true },       { "/d/.", "/d", ".", true },
		{ "/d/./", "/d", ".", true },     { "//d//./a", "/d/a", "a", false },
		{ "/d/../a", "/a", "a", false },  { "/d/..", "/", "/", false },
		{ "/../../a", "/a", "a", false }, { "/", "/", "/", true },
		{ "", "/", "/", true },           { ".", "/", ".", true },
		{ "/.", "/", ".", true },         { "..", "/", "/", false },
		{ "/...", "/...", "...", false },
	};
	struct cay_error err = { 0 };
	struct copy_path path;
	char huge[5000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_ok(copy_path_parse(rows[i].text, &path, &err));
		assert_string_equal(path.clean, rows[i].clean);
		assert_string_equal(path.name, rows[i].name);
		assert_int_equal(path.directory, rows[i].directory);
		copy_path_done(&path);
	}
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_true(copy_path_parse(huge, &path, &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
}

static void test_resolving(void **state)
{
	static const struct {
		const char *path, *resolved; /* NULL: refused */
	} rows[] = {
		{ "/d/f", "/d/f" },       { "/l", "/d" },
		{ "/l/f", "/d/f" },       { "/up", "/etc" },
		{ "/none/x", "/none/x" }, { "/dangling", "/none/y" },
		{ "/loop", NULL },        { "/", "/" },
		{ "/l/../l/f", "/d/f" },  { "/d/back", "/d" },
	};
	char directory[64];
	struct cay_error err = { 0 };
	int fd;

	(void)state;
	make_test_directory(directory);
	fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(mkdirat(fd, "d", 0755), 0);
	assert_int_equal(symlinkat("d", fd, "l"), 0);
	assert_int_equal(symlinkat("../../../../etc", fd, "up"), 0);
	assert_int_equal(symlinkat("/none/y", fd, "dangling"), 0);
	assert_int_equal(symlinkat("loop", fd, "loop"), 0);
	assert_int_equal(symlinkat("..//d/.", fd, "d/back"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *resolved = NULL;
		int r = copy_path_resolve(fd, rows[i].path, &resolved, &err);

		assert_int_equal(r < 0, rows[i].resolved == NULL);
		if (r == 0)
			assert_string_equal(resolved, rows[i].resolved);
		else
			assert_int_equal(err.code, CAY_INVALID);
	}
	(void)close(fd);
	assert_ok(remove_tree(directory, &err));
}

/* ---- as root, in a mount namespace of its own ---- */

/* Runs in a child, which says by its exit status whether all was well: 77 is no right to try. */
static void in_namespace(int (*run)(void))
{
	pid_t pid;
	int status;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0 ||
		    mount("tmpfs", "/mnt", "tmpfs", 0, NULL) < 0)
			_exit(77);
		_exit(run());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

/* The line that failed, as an exit status. */
#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			(void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			return 1; \
		} \
	} while (0)

static int make(const char *path, mode_t mode, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	return fd < 0 ? -errno : write_full(fd, text, strlen(text));
}

/* The child sees the new root, has files' capabilities alone, and reaches files by descriptor. */
static int enter(void)
{
	struct copy_child child = { .proc_fd = open("/proc", O_PATH | O_CLOEXEC), .root_fd = -1 };
	const struct copy_place place = { .namespace_fd = -1, .root = "/mnt" };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	struct cay_error err = { 0 };
	char link[COPY_LINK_SIZE];
	struct stat st;
	int fd;

	CHECK(make("/mnt/f", 0600, "x") == 0);
	CHECK(copy_child_enter(&child, &place, &err) == 0);
	CHECK(access("/f", F_OK) == 0 && access("/mnt", F_OK) < 0);
	CHECK(syscall(SYS_capget, &header, data) == 0);
	CHECK(!(data[0].effective & 1U << CAP_SYS_ADMIN) &&
	      !(data[0].permitted & 1U << CAP_SYS_ADMIN));
	CHECK(data[0].effective & 1U << CAP_DAC_OVERRIDE);
	CHECK(chroot("/") < 0 && mount("tmpfs", "/", "tmpfs", 0, NULL) < 0);
	fd = open("/f", O_PATH | O_CLOEXEC);
	CHECK(fd >= 0 && stat(copy_link(fd, link), &st) == 0 && st.st_size == 1);
	CHECK(setxattr(link, "trusted.x", "1", 1, 0) < 0 && errno == EPERM);
	return 0;
}

static void test_entering(void **state)
{
	(void)state;
	in_namespace(enter);
}

static int make_overlay(void)
{
	static const char *const directories[] = {
		"/mnt/lower",           "/mnt/lower/etc",  "/mnt/lower/home",
		"/mnt/lower/home/user", "/mnt/lower/kept", "/mnt/lower/kept/in",
		"/mnt/upper",           "/mnt/work",       "/mnt/merged",
	};
	static const char *const files[] = { "/mnt/lower/etc/passwd", "/mnt/lower/etc/group",
					     "/mnt/lower/home/user/f", "/mnt/lower/kept/in/f",
					     "/mnt/lower/gone" };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (mkdir(directories[i], 0755) < 0)
			return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (make(files[i], 0644, "lower") < 0)
			return -errno;
	if (mount("overlay", "/mnt/merged", "overlay", 0,
		  "lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work") < 0)
		return -errno;
	return 0;
}

/* Some of everything that a container does to its files. */
static int change_overlay(void)
{
	struct cay_error err = { 0 };

	if (chdir("/mnt/merged") < 0 || make("etc/passwd", 0644, "changed") < 0 ||
	    make("etc/hosts", 0644, "") < 0 || /* as vminitd does, to mount on it */
	    mkdir("proc", 0755) < 0 || unlink("gone") < 0 || remove_tree("home", &err) < 0 ||
	    mkdir("home", 0755) < 0 || make("home/new", 0600, "n") < 0 || mkdir("made", 0700) < 0 ||
	    make("made/f", 0644, "f") < 0 || link("made/f", "made/g") < 0 ||
	    symlink("f", "made/l") < 0 || chmod("kept/in", 0700) < 0 || chdir("/") < 0)
		return -1;
	return 0;
}

/* Runs one of the functions on the overlay; what it has written is in a file. */
static int run_copy(copy_function *run, int *ret_out, struct cay_error *err)
{
	const struct copy_request request = { .upper = "/mnt/upper", .lower = "/mnt/lower" };
	struct copy_child child = { .proc_fd = -1, .root_fd = -1, .in = -1 };
	int r;

	child.out = memfd_create("out", MFD_CLOEXEC);
	if (child.out < 0 || chdir("/proc/self") < 0) /* where copy_link() begins */
		return -1;
	r = run(&child, &request, err);
	(void)lseek(child.out, 0, SEEK_SET);
	*ret_out = child.out;
	return r;
}

static int changes(void)
{
	static const char *const lines[] = {
		"0/etc",  "0/etc/passwd", "2/gone", "0/home",   "2/home/user", "1/home/new",
		"0/kept", "0/kept/in",    "1/made", "1/made/f", "1/made/g",    "1/made/l"
	};
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };
	size_t at = 0;
	int out, r;

	r = make_overlay();
	if (r == -EPERM || r == -ENODEV)
		return 77;
	CHECK(r == 0 && change_overlay() == 0);
	CHECK(run_copy(copy_changes, &out, &err) == 0);
	CHECK(fd_read(out, "changes", 1 << 20, &text, &err) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (at >= text.length || strcmp(text.data + at, lines[i]) != 0)
			(void)fprintf(stderr, "%s is not %s\n", text.data + at, lines[i]);
		CHECK(at < text.length && strcmp(text.data + at, lines[i]) == 0);
		at += strlen(text.data + at) + 1;
	}
	CHECK(at == text.length);
	return 0;
}

static void test_changes(void **state)
{
	(void)state;
	in_namespace(changes);
}

/* "path" or "path>link" of each entry, separated by blanks. */
static int list_archive(int fd, struct buf *names)
{
	_cleanup_(tar_reader_free_p) struct tar_reader *reader = tar_reader_new(tar_read_fd, &fd);
	const struct tar_entry *entry;
	struct cay_error err = { 0 };
	int r;

	while ((r = tar_reader_next(reader, &entry, &err)) > 0) {
		buf_printf(names, "%s%.*s", names->length > 0 ? " " : "", (int)entry->path.length,
			   entry->path.data);
		if (entry->link.length > 0)
			buf_printf(names, ">%.*s", (int)entry->link.length, entry->link.data);
		if (entry->xattrs.length > 0)
			buf_puts(names, "!");
	}
	return r;
}

static int layer(void)
{
	_cleanup_buf_ struct buf names = { 0 };
	struct cay_error err = { 0 };
	int out, r = make_overlay();

	if (r == -EPERM || r == -ENODEV)
		return 77;
	CHECK(r == 0 && change_overlay() == 0);
	CHECK(run_copy(copy_layer, &out, &err) == 0);
	CHECK(list_archive(out, &names) == 0);
	if (strcmp(buf_text(&names),
		   "etc/ etc/passwd .wh.gone home/ home/.wh..wh..opq home/new kept/ kept/in/ made/ "
		   "made/f made/g>made/f made/l>f") != 0) {
		(void)fprintf(stderr, "%s\n", buf_text(&names));
		return 1;
	}
	/* A name that means something else in a layer. */
	CHECK(make("/mnt/merged/made/.wh.f", 0644, "") == 0);
	CHECK(run_copy(copy_layer, &out, &err) < 0 && err.code == CAY_INVALID);
	return 0;
}

static void test_layer(void **state)
{
	(void)state;
	in_namespace(layer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),    cmocka_unit_test(test_resolving),
		cmocka_unit_test(test_entering), cmocka_unit_test(test_changes),
		cmocka_unit_test(test_layer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
