/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outside judges: an image made by umoci and pushed by skopeo to Debian's
 * docker-registry is pulled, and its tree compared with umoci's own unpacking;
 * what the store holds is read back by skopeo as an OCI layout.
 */
#include "image-fixture.h"

#include <signal.h>

enum { PORT_FIRST = 20000, PORT_RANGE = 20000, START_TRIES = 100 };

static const char *const programs[] = { "/usr/bin/docker-registry", "/usr/bin/skopeo",
					"/usr/bin/umoci", "/usr/bin/fsck.erofs" };

static bool have_programs(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (access(programs[i], X_OK) == 0)
			continue;
		print_message("%s is not installed: NOT TESTED\n", programs[i]);
		return false;
	}
	if (geteuid() == 0)
		return true;
	print_message("unpacking with owners wants root: NOT TESTED\n");
	return false;
}

/* Runs a command of words that hold no blanks; %s is replaced by `directory`. */
static int run(const char *directory, const char *command)
{
	_cleanup_free_ char *copy = xstrdup(command);
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_buf_ struct buf output = { 0 };
	struct cay_error err = { 0 };
	char *rest = copy;

	for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " ")) {
		char *mark = strchr(word, '@');

		if (mark)
			*mark = '\0';
		strv_addf(&argv, "%s%s%s", word, mark ? directory : "", mark ? mark + 1 : "");
	}
	int r = process_run(&argv, 8192, &output, &err);

	if (r != 0)
		print_message("%s: %d %s\n", command, r, buf_text(&output));
	return r;
}

#define assert_run(directory, command) assert_int_equal(run(directory, command), 0)

static pid_t start_registry(const char *directory, unsigned int port)
{
	_cleanup_free_ char *path = path_join(directory, "registry.yml");
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_strv_ struct strv argv = { 0 };
	const struct process_spec spec = { .argv = &argv };
	struct cay_error err = { 0 };
	pid_t pid;

	buf_printf(&text,
		   "version: 0.1\nlog: {level: error}\nhttp: {addr: \"127.0.0.1:%u\"}\n"
		   "storage: {filesystem: {rootdirectory: %s/registry}}\n",
		   port, directory);
	assert_ok(file_write_volatile(path, text.data, text.length, 0600, &err));
	strv_add(&argv, "docker-registry");
	strv_add(&argv, "serve");
	strv_add(&argv, path);
	assert_ok(process_spawn(&spec, &pid, &err));
	return pid;
}

/* Two layers: files, links, a whiteout, an opaque directory, owners and modes. */
static void make_image(const char *directory)
{
	_cleanup_buf_ struct buf first = { 0 }, second = { 0 };
	_cleanup_free_ char *one = path_join(directory, "1.tar"),
			    *two = path_join(directory, "2.tar");
	struct cay_error err = { 0 };

	tar_script(&first,
		   "d:etc f:etc/passwd=root f:etc/gone=1 d:var f:var/a/b=1 l:bin>usr/bin "
		   "f:usr/bin/tool=x h:usr/bin/link>usr/bin/tool p:pipe");
	tar_script(&second, "w:etc/gone d:var o:var f:var/new=2 f:etc/passwd=other");
	assert_ok(file_write_volatile(one, first.data, first.length, 0600, &err));
	assert_ok(file_write_volatile(two, second.data, second.length, 0600, &err));
	assert_run(directory, "umoci init --layout @/oci");
	assert_run(directory, "umoci new --image @/oci:x");
	assert_run(directory, "umoci raw add-layer --image @/oci:x @/1.tar");
	assert_run(directory, "umoci raw add-layer --image @/oci:x @/2.tar");
	assert_run(directory, "umoci unpack --image @/oci:x @/bundle");
}

static void push(const char *directory, unsigned int port)
{
	_cleanup_free_ char *command =
		xasprintf("skopeo copy -q --dest-tls-verify=false oci:@/oci:x "
			  "docker://127.0.0.1:%u/some/image:x",
			  port);

	for (unsigned int i = 0; i < START_TRIES; i++) {
		if (run(directory, command) == 0)
			return;
		(void)usleep(100000); /* the registry is still starting */
	}
	fail_msg("docker-registry does not answer");
}

static void check_pull(const char *directory, unsigned int port)
{
	_cleanup_free_ char *root = path_join(directory, "root"),
			    *tree = path_join(directory, "tree");
	_cleanup_free_ char *rootfs = path_join(directory, "bundle/rootfs");
	_cleanup_free_ char *reference = xasprintf("127.0.0.1:%u/some/image:x", port);
	_cleanup_free_ char *back =
		xasprintf("skopeo copy -q oci:@/root/content:%s oci:@/back:x", reference);
	_cleanup_buf_ struct buf ours = { 0 }, theirs = { 0 };
	struct image_store *store = open_test_store(root);
	struct image *image = NULL, *again = NULL;
	struct image_disk disk = { 0 };
	struct cay_error err = { 0 };

	assert_ok(image_store_pull(store, reference, NULL, NULL, NULL, &image, &err));
	assert_ok(image_store_pull(store, reference, NULL, NULL, NULL, &again, &err));
	assert_string_equal(image->id, again->id);
	assert_int_equal(image->digests.count, 1);
	assert_ok(image_store_disk(store, image->id, &disk, &err));
	judge_disk(directory, &disk, tree);
	describe_tree(tree, "", &ours);
	describe_tree(rootfs, "", &theirs);
	assert_string_equal(buf_text(&ours), buf_text(&theirs));
	assert_run(directory, back);
	image_disk_done(&disk);
	image_free(image);
	image_free(again);
	image_store_close(store);
}

static void test_outside(void **state)
{
	const unsigned int port = PORT_FIRST + (unsigned int)getpid() % PORT_RANGE;
	char directory[64];
	struct cay_error err = { 0 };
	int status;
	pid_t pid;

	if (!have_programs())
		skip();
	make_test_directory(directory);
	make_image(directory);
	pid = start_registry(directory, port);
	push(directory, port);
	check_pull(directory, port);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_ok(process_wait(pid, &status));
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_outside) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
