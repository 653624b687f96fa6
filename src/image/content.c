/* SPDX-License-Identifier: Apache-2.0 */
/* The store's files: folders, blobs, and what was made from them. */
#include "image/content.h"

#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#define LAYERS    "layers"
#define IMAGES    "images"
#define TEMPORARY "images/tmp"

enum { SUFFIX_SIZE = 32 };

static const char *const folders[] = { CONTENT_BLOBS, LAYERS, IMAGES };

static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}\n";

static char *in_root(const struct content *content, const char *name)
{
	return path_join(content->root, name);
}

/* What file_write_atomic() had not renamed yet: "index.json.XXXXXX". */
static int remove_leftovers(const struct content *content, struct cay_error *err)
{
	_cleanup_free_ char *folder = in_root(content, "content");
	DIR *directory = opendir(folder);
	struct dirent *entry;

	if (!directory)
		return cay_error_errno(err, errno, "reading %s", folder);
	while ((entry = readdir(directory))) {
		_cleanup_free_ char *path = path_join(folder, entry->d_name);

		if (starts_with(entry->d_name, "index.json.") ||
		    starts_with(entry->d_name, "oci-layout."))
			(void)unlink(path); /* in nobody's way */
	}
	(void)closedir(directory);
	return 0;
}

int content_open(const char *root, struct content *ret_content, struct cay_error *err)
{
	struct content content = { .root = xstrdup(root) };
	_cleanup_free_ char *temporary = in_root(&content, TEMPORARY);
	_cleanup_free_ char *marker = in_root(&content, "content/oci-layout");
	int r = remove_tree(temporary, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *path = in_root(&content, folders[i]);

		r = make_dirs(path, 0700, err);
	}
	if (r == 0)
		r = make_dirs(temporary, 0700, err);
	if (r == 0)
		r = remove_leftovers(&content, err);
	if (r == 0 && !file_exists(marker))
		r = file_write_atomic(marker, layout, strlen(layout), 0644, err);
	if (r < 0) {
		content_close(&content);
		return r;
	}
	*ret_content = content;
	return 0;
}

void content_close(struct content *content)
{
	free(content->root);
	content->root = NULL;
}

static char *named(const struct content *content, const char *folder, const char *digest,
		   const char *suffix)
{
	assert(digest_is_valid(digest));
	return xasprintf("%s/%s/%s%s", content->root, folder, digest_hex(digest), suffix);
}

char *content_blob_path(const struct content *content, const char *digest)
{
	return named(content, CONTENT_BLOBS, digest, "");
}

char *content_data_path(const struct content *content, const char *digest)
{
	return named(content, LAYERS, digest, ".data");
}

char *content_index_path(const struct content *content, const char *digest)
{
	return named(content, LAYERS, digest, ".index");
}

/* Metadata points into the layers' data files, whose shape the version stands for. */
static const char *metadata_suffix(char suffix[SUFFIX_SIZE])
{
	(void)snprintf(suffix, SUFFIX_SIZE, ".%d.erofs", LAYER_VERSION);
	return suffix;
}

char *content_metadata_path(const struct content *content, const char *digest)
{
	char suffix[SUFFIX_SIZE];

	return named(content, IMAGES, digest, metadata_suffix(suffix));
}

bool content_is_outdated(const char *path)
{
	char suffix[SUFFIX_SIZE];

	return ends_with(path, ".erofs") && !ends_with(path, metadata_suffix(suffix));
}

char *content_catalog_path(const struct content *content)
{
	return in_root(content, "content/index.json");
}

bool content_has_blob(const struct content *content, const char *digest, uint64_t size)
{
	_cleanup_free_ char *path = content_blob_path(content, digest);
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

int content_read_blob(const struct content *content, const char *digest, size_t limit,
		      struct buf *out, struct cay_error *err)
{
	_cleanup_free_ char *path = content_blob_path(content, digest);
	const size_t start = out->length;
	char actual[DIGEST_SIZE];
	int r = file_read(path, limit, out, err);

	if (r < 0)
		return r;
	digest_of(out->data + start, out->length - start, actual);
	if (strcmp(actual, digest) != 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the stored blob %s is damaged (`cay image verify NAME` takes "
				     "it away, then pull or load its image again)",
				     digest);
	return 0;
}

bool content_has_document(const struct content *content, const char *digest, uint64_t size)
{
	_cleanup_buf_ struct buf text = { 0 };

	return size <= CONTENT_DOCUMENT_MAX && content_has_blob(content, digest, size) &&
		content_read_blob(content, digest, CONTENT_DOCUMENT_MAX, &text, NULL) == 0;
}

bool content_has_layer(const struct content *content, const char *digest,
		       struct layer_header *ret_header)
{
	_cleanup_free_ char *index = content_index_path(content, digest);
	_cleanup_free_ char *data = content_data_path(content, digest);
	_cleanup_close_ int fd = open(index, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct layer_header header;
	struct stat st;

	if (fd < 0 || read_full(fd, &header, sizeof(header)) != (ssize_t)sizeof(header) ||
	    memcmp(header.magic, LAYER_MAGIC, sizeof(header.magic)) != 0 ||
	    header.version != LAYER_VERSION || header.data_blocks > LAYER_DATA_MAX / LAYER_BLOCK)
		return false;
	if (stat(data, &st) < 0 || (uint64_t)st.st_size != header.data_blocks * LAYER_BLOCK)
		return false;
	*ret_header = header;
	return true;
}

bool content_has_layer_of(const struct content *content, const char *digest, const char *diff_id,
			  struct layer_header *ret_header)
{
	struct layer_header header;
	char actual[DIGEST_SIZE];

	if (!content_has_layer(content, digest, &header))
		return false;
	digest_format(header.diff_id, actual);
	if (strcmp(actual, diff_id) != 0)
		return false;
	*ret_header = header;
	return true;
}

bool content_blob_size(const struct content *content, const char *digest, uint64_t *ret_size)
{
	_cleanup_free_ char *path = content_blob_path(content, digest);
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	*ret_size = (uint64_t)st.st_size;
	return true;
}

int content_temporary(const struct content *content, char **ret_path, struct cay_error *err)
{
	_cleanup_free_ char *path = in_root(content, TEMPORARY "/XXXXXX");
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return cay_error_errno(err, errno, "creating a file in %s/" TEMPORARY,
				       content->root);
	*ret_path = TAKE_PTR(path);
	return fd;
}

int blob_writer_open(struct blob_writer *writer, const struct content *content,
		     struct cay_error *err)
{
	int fd = content_temporary(content, &writer->path, err);

	if (fd < 0)
		return fd;
	writer->fd = fd;
	writer->content = content;
	writer->size = writer->begun = 0;
	hasher_init(&writer->hasher);
	return 0;
}

int blob_writer_put(struct blob_writer *writer, const void *data, size_t size,
		    struct cay_error *err)
{
	int r = write_full(writer->fd, data, size);

	if (r < 0)
		return cay_error_errno(err, r, "writing a blob");
	hasher_update(&writer->hasher, data, size);
	writer->size += size;
	fd_write_behind(writer->fd, writer->size, &writer->begun);
	return 0;
}

void blob_writer_seal(struct blob_writer *writer)
{
	uint8_t bytes[DIGEST_BYTES];

	if (writer->digest[0])
		return;
	hasher_finish(&writer->hasher, bytes);
	digest_format(bytes, writer->digest);
}

int blob_writer_commit(struct blob_writer *writer, const char *digest, uint64_t size,
		       struct cay_error *err)
{
	_cleanup_free_ char *path = NULL;

	blob_writer_seal(writer);
	if (digest && writer->size != size)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "%s has %" PRIu64 " bytes instead of %" PRIu64, digest,
				     writer->size, size);
	if (digest && strcmp(writer->digest, digest) != 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the bytes of %s have another digest, %s", digest,
				     writer->digest);
	/*
	 * What is there already stays: an image may need it, and the new file is not synced yet.
	 * blob_writer_done() removes the other.
	 */
	if (writer->size <= CONTENT_DOCUMENT_MAX
		    ? content_has_document(writer->content, writer->digest, writer->size)
		    : content_has_blob(writer->content, writer->digest, writer->size))
		return 0;
	path = content_blob_path(writer->content, writer->digest);
	/* Readable by other tools of the same user, as an OCI layout is. */
	if (fchmod(writer->fd, 0444) < 0 || rename(writer->path, path) < 0)
		return cay_error_errno(err, errno, "writing %s", path);
	free(TAKE_PTR(writer->path));
	writer->is_new = true;
	return 0;
}

void blob_writer_done(struct blob_writer *writer)
{
	if (writer->path)
		(void)unlink(writer->path); /* a leftover goes at the next start */
	free(writer->path);
	cay_close_p(&writer->fd);
	hasher_done(&writer->hasher);
	*writer = (struct blob_writer)BLOB_WRITER_INIT;
}

int content_write_blob(const struct content *content, const void *data, size_t size,
		       struct cay_error *err)
{
	_cleanup_(blob_writer_done) struct blob_writer writer = BLOB_WRITER_INIT;
	int r = blob_writer_open(&writer, content, err);

	if (r == 0)
		r = blob_writer_put(&writer, data, size, err);
	return r < 0 ? r : blob_writer_commit(&writer, NULL, 0, err);
}

int content_sync_file(const char *path, struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return cay_error_errno(err, errno, "syncing %s", path);
	return 0;
}

/*
 * The data of all of them first, then fsync() one by one: a file's inode belongs to the journal's
 * transaction in which its data got its blocks, so that the first fsync() commits what the others
 * then find done. In one go each file would wait for a commit of its own.
 */
int content_sync_files(const struct strv *paths, struct cay_error *err)
{
	static const unsigned int passes[] = {
		SYNC_FILE_RANGE_WRITE,
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER,
	};
	int r = 0;

	for (size_t pass = 0; pass < ARRAY_SIZE(passes); pass++)
		for (size_t i = 0; i < paths->count; i++) {
			_cleanup_close_ int fd = open(paths->items[i], O_RDONLY | O_CLOEXEC);

			/* Only to be faster: what is wrong is told by fsync(). */
			if (fd >= 0)
				(void)sync_file_range(fd, 0, 0, passes[pass]);
		}
	for (size_t i = 0; r == 0 && i < paths->count; i++)
		r = content_sync_file(paths->items[i], err);
	return r;
}

int content_sync_folders(const struct content *content, struct cay_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *path = in_root(content, folders[i]);
		int r = content_sync_file(path, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int content_each(const struct content *content,
		 void (*visit)(const char *digest, const char *path, void *user), void *user,
		 struct cay_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *folder = in_root(content, folders[i]);
		DIR *directory = opendir(folder);
		struct dirent *entry;

		if (!directory)
			return cay_error_errno(err, errno, "reading %s", folder);
		while ((entry = readdir(directory))) {
			_cleanup_free_ char *path = path_join(folder, entry->d_name);
			char digest[DIGEST_SIZE];

			(void)snprintf(digest, sizeof(digest), "sha256:%.64s", entry->d_name);
			if (digest_is_valid(digest))
				visit(digest, path, user);
		}
		(void)closedir(directory);
	}
	return 0;
}
