/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer's way: what is written goes into the digest of the plain tar, to
 * the worker that converts it, and by way of gzip into the blob. Only when all
 * of that is done there are documents that tell of it.
 */
#include "image/commit.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "image/gzip.h"
#include "image/progress.h"
#include "image/store-internal.h"

#include <errno.h>

struct committer {
	struct image_store *store;
	const struct image_commit *commit;
	const struct image_progress_sink *sink;
	struct worker_cancel cancel;
	struct pins pins;
	struct manifest parent; /* of no layers where there is none */
	json_t *config;         /* the new configuration, being made */

	struct blob_writer blob;
	struct worker worker;
	struct gzip *gzip;
	struct hasher hasher; /* of the plain tar */
	bool begun, is_empty; /* is_empty: the tar has no entry */
	char diff_id[DIGEST_SIZE];
};

static bool is_cancelled(void *user)
{
	const struct committer *committer = user;

	return progress_sink_is_cancelled(committer->sink);
}

/* ---- the layer ---- */

static int put_compressed(const void *data, size_t size, void *user, struct cay_error *err)
{
	struct committer *committer = user;

	return blob_writer_put(&committer->blob, data, size, err);
}

static int take_piece(const void *data, size_t size, void *user, struct cay_error *err)
{
	struct committer *committer = user;
	int r;

	if (size == 0)
		return 0;
	if (!committer->begun) /* a header begins with a name, the end of a tar with zeros */
		committer->is_empty = *(const char *)data == '\0';
	committer->begun = true;
	if (is_cancelled(committer))
		return worker_cancelled(err);
	hasher_update(&committer->hasher, data, size);
	r = worker_feed(&committer->worker, data, size, &committer->cancel, err);
	return r < 0 ? r : gzip_write(committer->gzip, data, size, err);
}

/* What the worker says of a tar is about the one who sent it. */
static int blame_tar(int r, struct cay_error *err)
{
	if (r < 0 && err->code == CAY_CORRUPT)
		err->code = CAY_INVALID;
	return r;
}

static int receive_layer(struct committer *committer, struct cay_error *err)
{
	const struct image_commit *commit = committer->commit;
	const struct content *content = &committer->store->content;
	const struct image_writer writer = { take_piece, committer };
	uint8_t bytes[DIGEST_BYTES];
	int r = blob_writer_open(&committer->blob, content, err);

	if (r == 0)
		r = worker_start_layer(&committer->worker, &committer->store->worker, content, -1,
				       err);
	if (r == 0)
		r = commit->produce(&writer, commit->user, err);
	if (r == 0 && !committer->begun)
		r = cay_error_set(err, CAY_INVALID, EBADMSG, "there is no tar: nothing came");
	if (r == 0)
		r = gzip_finish(committer->gzip, err);
	if (r < 0)
		return blame_tar(r, err);
	hasher_finish(&committer->hasher, bytes);
	digest_format(bytes, committer->diff_id);
	blob_writer_seal(&committer->blob);
	return 0;
}

/* Gives the layer its names, unless it is there already. */
static int keep_layer(struct committer *committer, struct cay_error *err)
{
	struct image_store *store = committer->store;
	const char *digest = committer->blob.digest;
	struct layer_header header;
	int r;

	pins_add(&committer->pins, digest);
	r = store_claim(store, digest, &committer->cancel, err);
	if (r < 0)
		return r;
	r = blob_writer_commit(&committer->blob, NULL, 0, err);
	if (r == 0 && !content_has_layer_of(&store->content, digest, committer->diff_id, &header)) {
		/* It may be an image's that is known and lost its data alone. */
		committer->worker.lasting = true;
		r = worker_finish_layer(&committer->worker, &store->content, digest,
					committer->diff_id, &committer->cancel, err);
	}
	store_unclaim(store, digest);
	return blame_tar(r, err);
}

/* ---- the documents ---- */

static int open_parent(struct committer *committer, struct cay_error *err)
{
	const struct image_commit *commit = committer->commit;
	_cleanup_(image_free_p) struct image *image = NULL;
	_cleanup_platform_ struct platform platform = { 0 };
	int r;

	if (!commit->parent) {
		r = platform_parse(commit->platform, &platform, err);
		if (r < 0)
			return r;
		committer->config = json_object();
		json_set_string(committer->config, "architecture", platform.architecture);
		json_set_string(committer->config, "os", platform.os);
		if (platform.variant)
			json_set_string(committer->config, "variant", platform.variant);
		return 0;
	}
	r = image_store_find(committer->store, commit->parent, &image, err);
	if (r == 0)
		r = manifest_read_stored(&committer->store->content, image->manifest_digest,
					 &committer->parent, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < committer->parent.item_count; i++)
		pins_add(&committer->pins, committer->parent.items[i].digest);
	committer->config = json_deep_copy(image->config);
	return 0;
}

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text && *text)
		json_set_string(object, key, text);
}

/* The array of that name, made where there is none. */
static json_t *array_of(json_t *object, const char *key)
{
	json_t *array = json_object_get(object, key);

	if (!json_is_array(array)) {
		array = json_array();
		json_set(object, key, array);
	}
	return array;
}

static void fill_config(struct committer *committer, bool has_layer)
{
	/* Of whoever made the parent. */
	static const char *const foreign[] = { "author", "comment", "container", "container_config",
					       "docker_version" };
	const struct image_commit *commit = committer->commit;
	json_t *config = committer->config, *line = json_object(), *rootfs;
	char created[CLOCK_TEXT_MAX];

	clock_format_utc(clock_now_ns(), created);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		(void)json_object_del(config, foreign[i]); /* it may not be there */
	json_set_string(config, "created", created);
	set_text(config, "author", commit->author);
	json_set(config, "config", json_deep_copy(commit->config));
	json_set_string(line, "created", created);
	set_text(line, "author", commit->author);
	set_text(line, "created_by", commit->created_by);
	set_text(line, "comment", commit->comment);
	if (!has_layer)
		json_set_bool(line, "empty_layer", true);
	(void)json_array_append_new(array_of(config, "history"), line);
	rootfs = json_object_get(config, "rootfs");
	if (!json_is_object(rootfs)) {
		rootfs = json_object();
		json_set(config, "rootfs", rootfs);
	}
	json_set_string(rootfs, "type", "layers");
	if (has_layer)
		(void)json_array_append_new(array_of(rootfs, "diff_ids"),
					    json_string(committer->diff_id));
}

/* A layer's media type in OCI's words. */
static const char *oci_layer_type(const char *type)
{
	if (ends_with(type, "zstd"))
		return MEDIA_OCI_LAYER_TAR "+zstd";
	return ends_with(type, "gzip") ? MEDIA_OCI_LAYER_TAR "+gzip" : MEDIA_OCI_LAYER_TAR;
}

/* Stores a document of the image; its descriptor is the caller's. */
static int store_document(struct committer *committer, const json_t *document, const char *type,
			  char ret_digest[DIGEST_SIZE], json_t **ret_descriptor,
			  struct cay_error *err)
{
	_cleanup_free_ char *text = json_print(document);
	const size_t size = strlen(text);
	int r;

	if (size > DOCUMENT_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the image's configuration is larger than %d bytes",
				     DOCUMENT_MAX);
	digest_of(text, size, ret_digest);
	pins_add(&committer->pins, ret_digest);
	r = content_write_blob(&committer->store->content, text, size, err);
	if (r == 0 && ret_descriptor)
		*ret_descriptor = descriptor_json(type, ret_digest, size);
	return r;
}

static json_t *list_layers(const struct committer *committer, bool has_layer)
{
	const struct manifest *parent = &committer->parent;
	json_t *layers = json_array();

	for (size_t i = 0; i < parent->item_count; i++)
		(void)json_array_append_new(
			layers,
			descriptor_json(oci_layer_type(parent->items[i].media_type),
					parent->items[i].digest, parent->items[i].size));
	if (has_layer)
		(void)json_array_append_new(layers,
					    descriptor_json(MEDIA_OCI_LAYER_TAR "+gzip",
							    committer->blob.digest,
							    committer->blob.size));
	return layers;
}

static int make_known(struct committer *committer, bool has_layer, struct image **ret_image,
		      struct cay_error *err)
{
	_cleanup_json_ json_t *manifest = json_object();
	char config_digest[DIGEST_SIZE], digest[DIGEST_SIZE];
	const struct publication publication = {
		.manifest_digest = digest,
		.name = committer->commit->name,
		.news = true,
	};
	json_t *descriptor = NULL;
	int r;

	if (committer->parent.item_count + has_layer > LAYERS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the image would have more than %d layers", LAYERS_MAX);
	fill_config(committer, has_layer);
	r = store_document(committer, committer->config, MEDIA_OCI_CONFIG, config_digest,
			   &descriptor, err);
	if (r < 0)
		return r;
	json_set_int(manifest, "schemaVersion", 2);
	json_set_string(manifest, "mediaType", MEDIA_OCI_MANIFEST);
	json_set(manifest, "config", descriptor);
	json_set(manifest, "layers", list_layers(committer, has_layer));
	r = store_document(committer, manifest, MEDIA_OCI_MANIFEST, digest, NULL, err);
	return r < 0
		? r
		: store_publish(committer->store, &publication, &committer->cancel, ret_image, err);
}

int image_store_commit(struct image_store *store, const struct image_commit *commit,
		       const struct image_progress_sink *sink, struct image **ret_image,
		       struct cay_error *err)
{
	struct committer committer = {
		.store = store,
		.commit = commit,
		.sink = sink,
		.pins = { .store = store },
		.blob = BLOB_WRITER_INIT,
		.worker = WORKER_INIT,
	};
	bool has_layer;
	int r;

	committer.cancel = (struct worker_cancel){ is_cancelled, &committer };
	committer.gzip = gzip_new(put_compressed, &committer);
	hasher_init(&committer.hasher);
	r = open_parent(&committer, err);
	if (r == 0)
		r = receive_layer(&committer, err);
	has_layer = !committer.is_empty || committer.parent.item_count == 0;
	if (r == 0 && has_layer)
		r = keep_layer(&committer, err);
	if (r == 0)
		r = make_known(&committer, has_layer, ret_image, err);
	worker_done(&committer.worker);
	blob_writer_done(&committer.blob);
	gzip_free(committer.gzip);
	hasher_done(&committer.hasher);
	manifest_done(&committer.parent);
	json_decref(committer.config);
	pins_done(&committer.pins);
	return r;
}
