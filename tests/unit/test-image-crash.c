/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crashes at every step. A child does some work on a root and is gone at its
 * n-th system call that changes the disk, for each n until the work is done,
 * and once at its end. Its death is a power cut: what was written and never
 * synced has zeros for its bytes, what was renamed or made in a folder that was
 * never synced loses its name, unless that was another file's before. Then the
 * root is opened again. The calls are caught by functions of the same
 * names here, in front of the C library's; the store knows nothing of it.
 */
#include "image-archive.h"
#include "image-registry.h"

#include "base/json.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>

enum { STEPS_MAX = 2000, NAMES_MAX = 1000 };

/* What a power cut would take, in the child alone. */
static struct {
	unsigned int steps_left; /* 0: not counting */
	pid_t pid;               /* whose calls count: not those of the workers it starts */
	char *root;
	ino_t synced[NAMES_MAX]; /* files whose bytes are on the disk */
	size_t synced_count;
	char *renamed[NAMES_MAX]; /* names that are not */
	size_t renamed_count;
} world;

static const char *const folders[] = { "content/blobs/sha256", "layers", "images" };

static bool is_synced(ino_t inode)
{
	for (size_t i = 0; i < world.synced_count; i++)
		if (world.synced[i] == inode)
			return true;
	return false;
}

static void note_synced(ino_t inode)
{
	if (!is_synced(inode) && world.synced_count < NAMES_MAX)
		world.synced[world.synced_count++] = inode;
}

static void each_file(const char *root, void (*visit)(const char *path, const struct stat *st))
{
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char folder[PATH_MAX], path[PATH_MAX];
		struct dirent *entry;
		struct stat st;
		DIR *directory;

		(void)snprintf(folder, sizeof(folder), "%s/%s", root, folders[i]);
		directory = opendir(folder);
		if (!directory)
			abort();
		while ((entry = readdir(directory))) {
			(void)snprintf(path, sizeof(path), "%.2000s/%s", folder, entry->d_name);
			if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
				visit(path, &st);
		}
		(void)closedir(directory);
	}
}

static void note_file(const char *path, const struct stat *st)
{
	note_synced(st->st_ino);
}

static void lose_bytes(const char *path, const struct stat *st)
{
	if (!is_synced(st->st_ino) && (truncate(path, 0) < 0 || truncate(path, st->st_size) < 0))
		abort();
}

static void lose_unsynced(void)
{
	int (*real_unlink)(const char *path) = dlsym(RTLD_NEXT, "unlink");

	for (size_t i = 0; i < world.renamed_count; i++)
		if (world.renamed[i])
			(void)real_unlink(world.renamed[i]);
	each_file(world.root, lose_bytes);
}

static bool counts(void)
{
	return world.steps_left > 0 && world.pid == getpid();
}

static void step(void)
{
	if (counts() && --world.steps_left == 0) {
		lose_unsynced();
		(void)kill(getpid(), SIGKILL);
	}
}

int rename(const char *from, const char *to)
{
	int (*real)(const char *from, const char *to) = dlsym(RTLD_NEXT, "rename");
	bool replaces;
	int r;

	step();
	/* Then the later state is the worse: of the catalog, as it speaks of all that may be lost;
	 * of others, as the new file may be empty where the old one was good. */
	replaces = access(to, F_OK) == 0;
	r = real(from, to);
	if (r == 0 && counts() && !replaces && world.renamed_count < NAMES_MAX)
		world.renamed[world.renamed_count++] = strdup(to);
	step();
	return r;
}

int fsync(int fd)
{
	int (*real)(int fd) = dlsym(RTLD_NEXT, "fsync");
	char link[64], path[PATH_MAX] = "";
	struct stat st;

	step();
	if (counts() && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		note_synced(st.st_ino);
	} else if (counts()) {
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, path, sizeof(path) - 1) < 0)
			abort();
		for (size_t i = 0; i < world.renamed_count; i++)
			if (world.renamed[i] && starts_with(world.renamed[i], path) &&
			    world.renamed[i][strlen(path)] == '/' &&
			    !strchr(world.renamed[i] + strlen(path) + 1, '/'))
				world.renamed[i] = NULL;
	}
	return real(fd);
}

int unlink(const char *path)
{
	int (*real)(const char *path) = dlsym(RTLD_NEXT, "unlink");

	step();
	return real(path);
}

ssize_t write(int fd, const void *data, size_t size)
{
	ssize_t (*real)(int fd, const void *data, size_t size) = dlsym(RTLD_NEXT, "write");

	step();
	return real(fd, data, size);
}

/* ---- the work ---- */

struct scenario {
	const char *name;
	int (*work)(struct image_store *store, struct cay_error *err);
	void (*prepare)(struct image_store *store); /* by which something is damaged */
	bool mends;                                 /* all of it, once the work is done */
};

static int load_tagged(struct image_store *store, const char *tags, const char *const *layers,
		       struct cay_error *err)
{
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };

	archive_docker(&archive, tags, layers, false);
	return archive_load(store, &archive, &loaded, err);
}

static int load_other(struct image_store *store, struct cay_error *err)
{
	static const char *const layers[] = { "f:base=1", "f:other=2", NULL };

	return load_tagged(store, "\"other:1\"", layers, err);
}

static int load_over(struct image_store *store, struct cay_error *err)
{
	static const char *const layers[] = { "f:base=1", "f:newer=2", NULL };

	return load_tagged(store, "\"victim:1\"", layers, err);
}

static int load_index(struct image_store *store, struct cay_error *err)
{
	static const char *const amd64[] = { "f:base=1", "f:machine=amd64", NULL };
	static const char *const s390x[] = { "f:base=1", "f:machine=s390x", NULL };
	_cleanup_buf_ struct buf archive = { 0 }, members = { 0 }, top = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	char digest[DIGEST_SIZE];

	archive_image(&archive, "linux", "amd64", amd64, &members);
	buf_putc(&members, ',');
	archive_image(&archive, "linux", "s390x", s390x, &members);
	buf_putc(&members, ',');
	archive_image(&archive, "unknown", "unknown", s390x, &members);
	archive_index(&archive, buf_text(&members),
		      ",\"annotations\":{\"" ANNOTATION_REF_NAME "\":\"multi:1\"}", &top, digest);
	archive_end(&archive, buf_text(&top));
	return archive_load(store, &archive, &loaded, err);
}

static const char *pulled_layer; /* its digest */
static char *pulled;             /* the reference; its registry is a thread of the parent */

static int pull_image(struct image_store *store, struct cay_error *err)
{
	struct image *image = NULL;
	int r = image_store_pull(store, pulled, "linux/amd64", NULL, NULL, &image, err);

	image_free(image);
	return r;
}

/* The image is known and runs; only its layer's blob is gone, as after a verify. */
static void lose_blob(struct image_store *store)
{
	_cleanup_free_ char *path = NULL;
	struct cay_error err = { 0 };

	assert_ok(pull_image(store, &err));
	path = content_blob_path(&store->content, pulled_layer);
	assert_int_equal(unlink(path), 0);
}

static int tag(struct image_store *store, struct cay_error *err)
{
	return image_store_tag(store, "kept:1", "victim:1", err);
}

static int remove_victim(struct image_store *store, struct cay_error *err)
{
	_cleanup_image_removal_ struct image_removal removal = { 0 };

	return image_store_remove(store, "victim:1", false, NULL, &removal, err);
}

static int remake(struct image_store *store, struct cay_error *err)
{
	struct image *image = NULL;
	struct image_disk disk = { 0 };
	int r = image_store_find(store, "victim:1", &image, err);

	if (r < 0)
		return r;
	r = image_store_disk(store, image->id, &disk, err);
	image_disk_done(&disk);
	image_free(image);
	return r;
}

static void lose_files(struct image_store *store)
{
	struct image_disk disk = { 0 };
	struct image *image = NULL;
	struct cay_error err = { 0 };

	assert_ok(image_store_find(store, "victim:1", &image, &err));
	assert_ok(image_store_disk(store, image->id, &disk, &err));
	for (size_t i = 0; i < disk.count; i++)
		assert_int_equal(unlink(disk.extents[i].path), 0);
	image_disk_done(&disk);
	image_free(image);
}

static int verify_victim(struct image_store *store, struct cay_error *err)
{
	struct image_verdict verdict;
	int r = image_store_verify(store, "victim:1", NULL, &verdict, err);

	if (r == 0)
		image_verdict_done(&verdict);
	return r < 0 ? r : remake(store, err);
}

static void damage_files(struct image_store *store)
{
	struct image_disk disk = { 0 };
	struct image *image = NULL;
	struct cay_error err = { 0 };

	assert_ok(image_store_find(store, "victim:1", &image, &err));
	assert_ok(image_store_disk(store, image->id, &disk, &err));
	for (size_t i = 0; i < disk.count; i++) {
		_cleanup_close_ int fd = open(disk.extents[i].path, O_WRONLY | O_CLOEXEC);

		assert_int_equal(pwrite(fd, "damage", 6, 2000), 6);
	}
	image_disk_done(&disk);
	image_free(image);
}

static int load_victim(struct image_store *store, struct cay_error *err)
{
	static const char *const layers[] = { "f:base=1", "f:victim=1", NULL };

	return load_tagged(store, "\"victim:1\"", layers, err);
}

static void lose_victims_blob(struct image_store *store)
{
	_cleanup_buf_ struct buf layer = { 0 };
	_cleanup_free_ char *path = NULL;
	char digest[DIGEST_SIZE];

	tar_script(&layer, "f:victim=1");
	digest_of(layer.data, layer.length, digest);
	path = content_blob_path(&store->content, digest);
	assert_int_equal(unlink(path), 0);
}

static const struct scenario scenarios[] = {
	{ "load", load_other, NULL, false },
	{ "load over a name", load_over, NULL, false },
	{ "load an index", load_index, NULL, false },
	{ "pull", pull_image, NULL, false },
	{ "pull a lost blob again", pull_image, lose_blob, true },
	{ "load a lost blob again", load_victim, lose_victims_blob, true },
	{ "tag", tag, NULL, false },
	{ "remove", remove_victim, NULL, false },
	{ "make a disk again", remake, lose_files, false },
	{ "verify and mend", verify_victim, damage_files, false },
};

/* ---- the judgement ---- */

static unsigned int file_count;

static void count_file(const char *path, const struct stat *st)
{
	file_count++;
}

static void assert_clean_folder(const char *root, const char *folder, const char *allowed)
{
	_cleanup_free_ char *path = path_join(root, folder);
	DIR *directory = opendir(path);
	struct dirent *entry;

	assert_non_null(directory);
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.' && !strstr(allowed, entry->d_name))
			fail_msg("%s is left in %s", entry->d_name, path);
	(void)closedir(directory);
}

static size_t count_entries(const char *root)
{
	_cleanup_free_ char *path = path_join(root, "content/index.json");
	_cleanup_json_ json_t *document = NULL;
	struct cay_error err = { 0 };

	assert_ok(json_parse_file(path, MIB, &document, &err));
	return json_array_size(json_object_get(document, "manifests"));
}

/* All that is listed is whole, once the work is done at least, and has a disk; nothing lies about
 * once all of it is removed. */
static void judge(const char *root, bool whole)
{
	const size_t entries = count_entries(root);
	struct image_store *store = open_test_store(root);
	struct cay_error err = { 0 };
	struct image **images;
	bool kept = false;
	size_t count;

	/* Nothing in it had to be left out. */
	assert_ok(image_store_tag(store, "kept:1", "kept:1", &err));
	assert_int_equal(count_entries(root), entries);

	assert_clean_folder(root, "content", "blobs index.json oci-layout");
	assert_clean_folder(root, "images/tmp", "");
	assert_ok(image_store_list(store, &images, &count, &err));
	for (size_t i = 0; i < count; i++) {
		struct image_verdict verdict;
		struct image_disk disk = { 0 };

		assert_ok(image_store_disk(store, images[i]->id, &disk, &err));
		assert_ok(image_store_verify(store, images[i]->id, NULL, &verdict, &err));
		for (size_t j = 0; j < verdict.count && whole; j++)
			if (verdict.checks[j].problem)
				fail_msg("%s", verdict.checks[j].problem);
		image_disk_done(&disk);
		image_verdict_done(&verdict);
		kept |= strv_contains(&images[i]->names, "docker.io/library/kept:1");
	}
	assert_true(kept);
	for (size_t i = 0; i < count; i++) {
		_cleanup_image_removal_ struct image_removal removal = { 0 };

		/* Those of an index may be gone with the one before. */
		(void)image_store_remove(store, images[i]->id, true, NULL, &removal, NULL);
		image_free(images[i]);
	}
	free(images);
	image_store_close(store);
	file_count = 0;
	each_file(root, count_file);
	assert_int_equal(file_count, 0);
}

static void set_up_root(const char *root, const struct scenario *scenario)
{
	static const char *const kept[] = { "f:base=1", "f:kept=1", NULL };
	static const char *const victim[] = { "f:base=1", "f:victim=1", NULL };
	struct image_store *store = open_test_store(root);
	struct cay_error err = { 0 };

	assert_ok(load_tagged(store, "\"kept:1\"", kept, &err));
	assert_ok(load_tagged(store, "\"victim:1\"", victim, &err));
	if (scenario->prepare)
		scenario->prepare(store);
	image_store_close(store);
}

/* Whether the child came to the end of its work within `steps`. */
static bool run_child(const char *root, const struct scenario *scenario, unsigned int steps)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct image_store *store = open_test_store(root);
		struct cay_error err = { 0 };

		store->parallel = 1;
		world.root = xstrdup(root);
		world.pid = getpid();
		each_file(root, note_file);
		world.steps_left = steps;
		if (scenario->work(store, &err) < 0)
			(void)dprintf(STDERR_FILENO, "%s\n", err.message);
		world.steps_left = 0;
		lose_unsynced();
		_exit(err.code);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return false;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return true;
}

static void copy_tree(const char *from, const char *to)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };

	strv_add(&argv, "cp");
	strv_add(&argv, "-a");
	strv_add(&argv, from);
	strv_add(&argv, to);
	assert_int_equal(process_run(&argv, 0, NULL, &err), 0);
}

static void run_scenario(const struct scenario *scenario)
{
	_cleanup_free_ char *pristine = NULL, *root = NULL;
	unsigned int steps = 1;
	struct cay_error err = { 0 };
	char directory[64];

	make_test_directory(directory);
	pristine = path_join(directory, "pristine");
	root = path_join(directory, "root");
	set_up_root(pristine, scenario);
	for (bool done = false; !done; steps++) {
		assert_true(steps < STEPS_MAX);
		copy_tree(pristine, root);
		done = run_child(root, scenario, steps);
		judge(root, !scenario->prepare || (scenario->mends && done));
		assert_ok(remove_tree(root, &err));
	}
	assert_ok(remove_tree(directory, &err));
	print_message("%s: %u steps\n", scenario->name, steps - 2);
	assert_true(steps > 3); /* it was caught */
}

static void test_every_step(void **state)
{
	struct fixture *fixture = *state;

	add_good_answers(fixture);
	fixture->server.count = fixture->count;
	pulled = xasprintf("127.0.0.1:%u/x:latest", fixture->server.port);
	pulled_layer = fixture->layer_digest;
	server_run(&fixture->server);
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		run_scenario(&scenarios[i]);
	server_stop(&fixture->server);
	free(pulled);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_step, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
