/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a stored image on demand: every blob against its digest, every
 * converted layer against what its blob gives now, the metadata against what
 * the layers give now. What is damaged is told and taken away, so that the
 * next pull or load brings the blob anew, and the next start makes anew what
 * is made from blobs; left where it is, it would be taken for good.
 */
#include "image/progress.h"
#include "image/store-internal.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { COPY_SIZE = 256 * 1024 };

struct verifier {
	struct image_store *store;
	const struct image_progress_sink *sink;
	struct worker_cancel cancel;
	struct image_verdict *verdict;
};

static bool is_cancelled(void *user)
{
	const struct verifier *verifier = user;

	return progress_sink_is_cancelled(verifier->sink);
}

static void report(const struct verifier *verifier, const char *digest)
{
	const struct image_progress progress = { .id = digest, .status = "Verifying" };

	if (verifier->sink && verifier->sink->report)
		verifier->sink->report(&progress, verifier->sink->user);
}

/* Adds what was found: `problem` is NULL where all is well. */
static void tell(struct verifier *verifier, const char *kind, const char *digest, uint64_t size,
		 const char *problem)
{
	struct image_verdict *verdict = verifier->verdict;
	struct image_check *check;

	verdict->checks = xreallocarray(verdict->checks, verdict->count + 1, sizeof(*check));
	check = &verdict->checks[verdict->count++];
	*check = (struct image_check){ .kind = kind, .size = size, .problem = xstrdup(problem) };
	check->digest = xstrdup(digest);
	verdict->ok &= !problem;
}

static bool is_told(const struct image_verdict *verdict, const char *kind, const char *digest)
{
	for (size_t i = 0; i < verdict->count; i++)
		if (strcmp(verdict->checks[i].kind, kind) == 0 &&
		    strcmp(verdict->checks[i].digest, digest) == 0)
			return true;
	return false;
}

/* 0, or CAY_CORRUPT, or an error of reading it, or CAY_CANCELLED. */
static int hash_file(struct verifier *verifier, const char *path, const char *digest, uint64_t size,
		     struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char actual[DIGEST_SIZE];
	uint64_t done = 0;
	int r;

	if (fd < 0 && errno == ENOENT)
		return cay_error_set(err, CAY_CORRUPT, ENOENT, "it is missing");
	if (fd < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	r = digest_of_file(fd, is_cancelled, verifier, actual, &done);
	if (r == -ECANCELED)
		return worker_cancelled(err);
	if (r == -EIO)
		return cay_error_set(err, CAY_CORRUPT, EIO, "it can't be read from the disk");
	if (r < 0)
		return cay_error_errno(err, r, "reading %s", path);
	if (done != size || strcmp(actual, digest) != 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "its %ju bytes have the digest %s",
				     (uintmax_t)done, actual);
	return 0;
}

/* Turns a failed check into a finding; other failures stay failures. */
static int conclude(struct verifier *verifier, const char *kind, const char *digest, uint64_t size,
		    int r, const char *remedy, struct cay_error *err)
{
	_cleanup_free_ char *problem = NULL;

	if (r < 0 && err->code != CAY_CORRUPT && err->code != CAY_INVALID &&
	    err->code != CAY_TOO_LARGE)
		return r;
	if (r < 0)
		problem = xasprintf("%s; %s", err->message, remedy);
	tell(verifier, kind, digest, size, problem);
	cay_error_clear(err);
	return 0;
}

static int check_blob(struct verifier *verifier, const char *kind, const struct export_blob *blob,
		      bool *ret_good, struct cay_error *err)
{
	_cleanup_free_ char *path = content_blob_path(&verifier->store->content, blob->digest);
	int r;

	*ret_good = true;
	if (is_told(verifier->verdict, kind, blob->digest))
		return 0;
	report(verifier, blob->digest);
	r = store_claim(verifier->store, blob->digest, &verifier->cancel, err);
	if (r < 0)
		return r;
	r = hash_file(verifier, path, blob->digest, blob->size, err);
	*ret_good = r == 0;
	if (r < 0 && err->code == CAY_CORRUPT)
		(void)unlink(path); /* what can't be removed can't be replaced either; it is told */
	store_unclaim(verifier->store, blob->digest);
	return conclude(verifier, kind, blob->digest, blob->size, r,
			"pull or load the image again to replace it", err);
}

static uint64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* A layer as it was converted; one that was not yet, has nothing to be checked. */
static int check_conversion(struct verifier *verifier, const char *digest, const char *diff_id,
			    struct cay_error *err)
{
	const struct content *content = &verifier->store->content;
	_cleanup_free_ char *index = content_index_path(content, digest);
	_cleanup_free_ char *data = content_data_path(content, digest);
	struct layer_header header;
	uint64_t size;
	int r;

	if (is_told(verifier->verdict, "disk", digest) ||
	    !content_has_layer(content, digest, &header))
		return 0;
	r = store_claim(verifier->store, digest, &verifier->cancel, err);
	if (r < 0)
		return r;
	size = file_size(index) + file_size(data);
	r = worker_check_layer(&verifier->store->worker, content, digest, diff_id,
			       &verifier->cancel, err);
	if (r < 0 && err->code == CAY_CORRUPT) {
		(void)unlink(index); /* first: it says that the layer is there */
		(void)unlink(data);
	}
	store_unclaim(verifier->store, digest);
	return conclude(verifier, "disk", digest, size, r,
			"it is made again from its layer at the next start", err);
}

static int same_files(const char *left, const char *right, struct cay_error *err)
{
	_cleanup_free_ char *a = xmalloc(COPY_SIZE), *b = xmalloc(COPY_SIZE);
	_cleanup_close_ int left_fd = open(left, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int right_fd = open(right, O_RDONLY | O_CLOEXEC);
	ssize_t n, m;

	if (left_fd < 0 || right_fd < 0)
		return cay_error_errno(err, errno, "opening %s", left_fd < 0 ? left : right);
	do {
		n = read_full(left_fd, a, COPY_SIZE);
		m = read_full(right_fd, b, COPY_SIZE);
		if (n < 0 || m < 0)
			return cay_error_errno(err, (int)MIN(n, m), "reading %s", left);
		if (n != m || memcmp(a, b, (size_t)n) != 0)
			return cay_error_set(err, CAY_CORRUPT, EBADMSG,
					     "it is not what its layers give");
	} while (n > 0);
	return 0;
}

/* Merges the layers once more, to a file beside. */
static int compare_metadata(struct verifier *verifier, const char *path,
			    const struct export_manifest *manifest, struct cay_error *err)
{
	const struct content *content = &verifier->store->content;
	_cleanup_free_ char *beside = NULL;
	_cleanup_strv_ struct strv blobs = { 0 };
	_cleanup_close_ int fd = content_temporary(content, &beside, err);
	int r;

	if (fd < 0)
		return fd;
	for (size_t i = 1; i < manifest->part_count; i++)
		strv_add(&blobs, manifest->parts[i].digest);
	r = worker_merge(&verifier->store->worker, content, blobs.items, blobs.count, beside,
			 &verifier->cancel, err);
	if (r == 0)
		r = same_files(path, beside, err);
	(void)unlink(beside);
	return r;
}

static int check_metadata(struct verifier *verifier, const struct export_manifest *manifest,
			  struct cay_error *err)
{
	struct image_store *store = verifier->store;
	_cleanup_free_ char *path = content_metadata_path(&store->content, manifest->blob.digest);
	struct layer_header header;
	uint64_t size;
	int r;

	if (!file_exists(path))
		return 0;
	for (size_t i = 1; i < manifest->part_count; i++)
		if (!content_has_layer(&store->content, manifest->parts[i].digest, &header))
			return 0; /* nothing to compare it with; the layer's own check has told */
	r = store_claim(store, manifest->blob.digest, &verifier->cancel, err);
	if (r < 0)
		return r;
	size = file_size(path);
	r = compare_metadata(verifier, path, manifest, err);
	if (r < 0 && err->code == CAY_CORRUPT)
		(void)unlink(path);
	store_unclaim(store, manifest->blob.digest);
	return conclude(verifier, "disk", manifest->blob.digest, size, r,
			"it is made again at the next start", err);
}

/* The diff ids of an image, by the catalog. */
static void find_diff_ids(struct image_store *store, const char *manifest_digest,
			  struct strv *diff_ids)
{
	const struct record *record;

	(void)pthread_mutex_lock(&store->lock);
	record = catalog_by_manifest(&store->catalog, manifest_digest);
	if (record)
		strv_copy(diff_ids, &record->config.diff_ids);
	(void)pthread_mutex_unlock(&store->lock);
}

static int check_manifest(struct verifier *verifier, struct export_manifest *manifest,
			  struct cay_error *err)
{
	_cleanup_strv_ struct strv diff_ids = { 0 };
	bool good;
	int r = check_blob(verifier, "manifest", &manifest->blob, &good, err);

	if (r < 0 || !good) /* what it lists is not known then */
		return r;
	r = export_read_parts(&verifier->store->content, manifest, err);
	find_diff_ids(verifier->store, manifest->blob.digest, &diff_ids);
	for (size_t i = 0; r == 0 && i < manifest->part_count; i++) {
		const struct export_blob *part = &manifest->parts[i];

		r = check_blob(verifier, i == 0 ? "config" : "layer", part, &good, err);
		/* Compared with a blob that is good; without one the conversion is all there is. */
		if (r == 0 && good && i > 0 && i <= diff_ids.count)
			r = check_conversion(verifier, part->digest, diff_ids.items[i - 1], err);
	}
	return r < 0 || manifest->is_attachment ? r : check_metadata(verifier, manifest, err);
}

int image_store_verify(struct image_store *store, const char *reference,
		       const struct image_progress_sink *sink, struct image_verdict *ret_verdict,
		       struct cay_error *err)
{
	struct image_verdict verdict = { .ok = true };
	struct verifier verifier = { .store = store, .sink = sink, .verdict = &verdict };
	_cleanup_export_ struct export export = { 0 };
	struct cay_error own = { 0 };
	bool good;
	int r = export_find(store, reference, NULL, &export, &own);

	verifier.cancel = (struct worker_cancel){ is_cancelled, &verifier };
	if (r == 0)
		verdict.id = xstrdup(export.id);
	if (r == 0 && export.is_index)
		r = check_blob(&verifier, "manifest", &export.top, &good, &own);
	for (size_t i = 0; r == 0 && i < export.manifest_count; i++)
		r = check_manifest(&verifier, &export.manifests[i], &own);
	if (r < 0) {
		image_verdict_done(&verdict);
		return cay_error_set(err, own.code, own.err, "%s", own.message);
	}
	*ret_verdict = verdict;
	return 0;
}

void image_verdict_done(struct image_verdict *verdict)
{
	for (size_t i = 0; i < verdict->count; i++) {
		free(verdict->checks[i].digest);
		free(verdict->checks[i].problem);
	}
	free(verdict->checks);
	free(verdict->id);
	*verdict = (struct image_verdict){ 0 };
}
