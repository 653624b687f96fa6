/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything at once: threads that pull, load, tag, save, check, remove and
 * prune the same few images, which share layers. Whatever one of them finds is
 * whole for as long as it is held or exported. Meant for the sanitizers, which
 * see what the asserts do not; without them it is still a test of the asserts.
 */
#include "image-archive.h"
#include "image-registry.h"

/* A failed check ends the program: cmocka's asserts are for its own thread alone. */
#define check(condition) \
	do { \
		if (!(condition)) { \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* What may come of work on an image that somebody else removes. */
#define check_result(r, err) \
	do { \
		if ((r) < 0 && (err).code != CAY_NOT_FOUND && (err).code != CAY_CONFLICT) { \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, (err).message); \
			abort(); \
		} \
	} while (0)

enum { ROUNDS = 25 };

struct stress {
	struct fixture *fixture;
	struct image_store *store;
	struct buf single, multi; /* archives */
	char *pulled;             /* the reference */
	atomic_bool done;         /* the workers have had their rounds */
	atomic_uint holders, seen;
};

static void *pull_thread(void *user)
{
	struct stress *stress = user;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct image *image = NULL;
		struct cay_error err = { 0 };
		int r = image_store_pull(stress->store, stress->pulled, "linux/amd64", NULL, NULL,
					 &image, &err);

		if (r < 0)
			(void)fprintf(stderr, "%s\n", err.message);
		check(r == 0);
		image_free(image);
	}
	return NULL;
}

static void load_all(struct stress *stress, const struct buf *archive)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		_cleanup_strv_ struct strv loaded = { 0 };
		struct cay_error err = { 0 };
		int r = archive_load(stress->store, archive, &loaded, &err);

		if (r < 0)
			(void)fprintf(stderr, "%s\n", err.message);
		check(r == 0 && loaded.count == 1);
	}
}

static void *load_single(void *user)
{
	struct stress *stress = user;

	load_all(stress, &stress->single);
	return NULL;
}

static void *load_multi(void *user)
{
	struct stress *stress = user;

	load_all(stress, &stress->multi);
	return NULL;
}

/* By name and by id, forced and not. */
static void *remove_thread(void *user)
{
	static const char *const names[] = { "single:1", "copy:1", "multi:1" };
	struct stress *stress = user;

	for (unsigned int i = 0; !atomic_load(&stress->done); i++) {
		_cleanup_image_removal_ struct image_removal removal = { 0 };
		struct cay_error err = { 0 };
		const char *name = i % 4 < 3 ? names[i % 4] : stress->pulled;
		struct image *image = NULL;
		int r;

		if (i % 8 < 4) {
			r = image_store_remove(stress->store, name, i % 16 < 8, NULL, &removal,
					       &err);
			check_result(r, err);
		} else if (image_store_find(stress->store, name, &image, NULL) == 0) {
			r = image_store_remove(stress->store, image->id, true, NULL, &removal,
					       &err);
			check_result(r, err);
			image_free(image);
		}
		(void)usleep(3000);
	}
	return NULL;
}

static void *tag_thread(void *user)
{
	struct stress *stress = user;

	while (!atomic_load(&stress->done)) {
		struct cay_error err = { 0 };
		int r = image_store_tag(stress->store, "multi:1", "copy:1", &err);

		check_result(r, err);
		r = image_store_tag(stress->store, "single:1", "multi:1", &err);
		check_result(r, err);
		(void)usleep(2000);
	}
	return NULL;
}

static int drop(const void *data, size_t size, void *user, struct cay_error *err)
{
	return 0;
}

static void look_at(struct stress *stress, const char *id)
{
	const struct image_writer writer = { drop, NULL };
	_cleanup_export_ struct export export = { 0 };
	_cleanup_strv_ struct strv names = { 0 };
	struct image_verdict verdict;
	struct cay_error err = { 0 };
	int r = export_open(stress->store, id, NULL, &export, &err);

	check_result(r, err);
	for (size_t i = 0; r == 0 && i < export.manifest_count; i++)
		for (size_t j = 0; j < export.manifests[i].part_count; j++)
			check(content_has_blob(&stress->store->content,
					       export.manifests[i].parts[j].digest,
					       export.manifests[i].parts[j].size));
	strv_add(&names, id);
	r = image_store_save(stress->store, &names, NULL, &writer, NULL, &err);
	check_result(r, err);
	r = image_store_verify(stress->store, id, NULL, &verdict, &err);
	check_result(r, err);
	if (r < 0)
		return;
	for (size_t i = 0; i < verdict.count; i++) {
		if (verdict.checks[i].problem)
			(void)fprintf(stderr, "%s\n", verdict.checks[i].problem);
		check(!verdict.checks[i].problem);
	}
	image_verdict_done(&verdict);
	atomic_fetch_add(&stress->seen, 1);
}

static void *look_thread(void *user)
{
	struct stress *stress = user;

	while (!atomic_load(&stress->done)) {
		struct image **images;
		size_t count;
		struct cay_error err = { 0 };

		check(image_store_list(stress->store, &images, &count, &err) == 0);
		for (size_t i = 0; i < count; i++) {
			look_at(stress, images[i]->id);
			image_free(images[i]);
		}
		free(images);
		(void)image_store_layers_size(stress->store);
		(void)usleep(1000);
	}
	return NULL;
}

/* As a container: found, held, found again; from then on its disk is there until it is let go. */
static void *hold_thread(void *user)
{
	struct stress *stress = user;

	while (!atomic_load(&stress->done)) {
		struct image *image = NULL, *again = NULL;
		struct image_disk disk = { 0 };
		struct cay_error err = { 0 };

		if (image_store_find(stress->store, "single:1", &image, NULL) < 0) {
			(void)usleep(500);
			continue;
		}
		image_store_hold(stress->store, image->id, "holder");
		if (image_store_find(stress->store, image->id, &again, NULL) == 0) {
			int r = image_store_disk(stress->store, image->id, &disk, &err);

			if (r < 0)
				(void)fprintf(stderr, "%s\n", err.message);
			check(r == 0);
			(void)usleep(4000);
			for (size_t i = 0; i < disk.count; i++)
				check(file_exists(disk.extents[i].path));
			image_disk_done(&disk);
			image_free(again);
			atomic_fetch_add(&stress->holders, 1);
		}
		image_store_release(stress->store, image->id, "holder");
		image_free(image);
	}
	return NULL;
}

static void make_archives(struct stress *stress)
{
	static const char *const single[] = { "f:base=1", "f:single=1", NULL };
	static const char *const amd64[] = { "f:base=1", "f:machine=amd64", NULL };
	static const char *const s390x[] = { "f:base=1", "f:machine=s390x", NULL };
	_cleanup_buf_ struct buf members = { 0 }, top = { 0 };
	char digest[DIGEST_SIZE];

	archive_docker(&stress->single, "\"single:1\"", single, false);
	archive_image(&stress->multi, "linux", "amd64", amd64, &members);
	buf_putc(&members, ',');
	archive_image(&stress->multi, "linux", "s390x", s390x, &members);
	archive_index(&stress->multi, buf_text(&members),
		      ",\"annotations\":{\"" ANNOTATION_REF_NAME "\":\"multi:1\"}", &top, digest);
	archive_end(&stress->multi, buf_text(&top));
}

static void assert_all_goes(struct image_store *store, const char *root)
{
	struct image **images;
	struct cay_error err = { 0 };
	size_t count;

	assert_ok(image_store_list(store, &images, &count, &err));
	for (size_t i = 0; i < count; i++) {
		_cleanup_image_removal_ struct image_removal removal = { 0 };

		(void)image_store_remove(store, images[i]->id, true, NULL, &removal, NULL);
		image_free(images[i]);
	}
	free(images);
	assert_int_equal(store->pins.count, 0);
	assert_int_equal(store->claims.count, 0);
	_cleanup_free_ char *blobs = path_join(root, "content/blobs/sha256");
	_cleanup_free_ char *layers = path_join(root, "layers");

	assert_int_equal(rmdir(blobs), 0); /* empty */
	assert_int_equal(rmdir(layers), 0);
}

static void test_everything_at_once(void **state)
{
	static void *(*const workers[])(void *user) = { pull_thread, load_single, load_multi };
	static void *(*const others[])(void *user) = { remove_thread, tag_thread, look_thread,
						       hold_thread };
	struct fixture *fixture = *state;
	struct stress stress = { .fixture = fixture, .store = fixture->store };
	pthread_t threads[ARRAY_SIZE(workers) + ARRAY_SIZE(others)];
	_cleanup_free_ char *root = path_join(fixture->directory, "root");

	make_archives(&stress);
	stress.pulled = xasprintf("127.0.0.1:%u/x:latest", fixture->server.port);
	add_good_answers(fixture);
	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i < ARRAY_SIZE(workers)
							? workers[i]
							: others[i - ARRAY_SIZE(workers)],
						&stress),
				 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		if (i == ARRAY_SIZE(workers))
			atomic_store(&stress.done, true);
		(void)pthread_join(threads[i], NULL);
	}
	server_stop(&fixture->server);
	print_message("%u images were looked at, %u held\n", atomic_load(&stress.seen),
		      atomic_load(&stress.holders));
	assert_true(atomic_load(&stress.seen) > 0);
	assert_true(atomic_load(&stress.holders) > 0);
	assert_all_goes(fixture->store, root);
	buf_done(&stress.single);
	buf_done(&stress.multi);
	free(stress.pulled);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything_at_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
