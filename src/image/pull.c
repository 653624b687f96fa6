/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling an image: its manifest by way of an index, its configuration, its
 * layers some at a time. What arrives of a layer goes at once to three places:
 * the blob's file, its digest, and the worker that converts it.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "image/parallel.h"
#include "image/progress.h"
#include "image/registry.h"
#include "image/store-internal.h"

#include <errno.h>

struct puller {
	struct image_store *store;
	struct image_ref ref;
	char *name;        /* "registry/repository" */
	char *full;        /* as it will be known; NULL when pulled by digest alone */
	char *digest_name; /* "registry/repository@digest" */
	struct platform platform;
	bool platform_given;
	struct progress progress;
	struct worker_cancel cancel;
	struct registry *registry;
	struct pins pins;
	struct manifest manifest;
	char manifest_digest[DIGEST_SIZE];
	char top_digest[DIGEST_SIZE]; /* what the reference led to: an index or the manifest */
	struct image_config config;
	struct parallel parallel;
	bool by_index; /* top_digest is an index, which is kept too */
	bool news;     /* something had to be fetched */
};

static bool is_cancelled(void *user)
{
	const struct puller *puller = user;

	return atomic_load(&puller->parallel.failed) || progress_is_cancelled(&puller->progress);
}

/* A document of the registry: fetched, pinned and, when it is wanted for good, stored. */
static int fetch_manifest(struct puller *puller, struct transfer *transfer, const char *name,
			  const char *media_type, struct manifest *ret_manifest,
			  char ret_digest[DIGEST_SIZE], struct buf *text, struct cay_error *err)
{
	_cleanup_free_ char *announced = NULL;
	int r = registry_get_manifest(puller->registry, transfer, name, text, &announced, err);

	if (r < 0)
		return r;
	digest_of(text->data, text->length, ret_digest);
	if (digest_is_valid(name) && strcmp(name, ret_digest) != 0)
		return cay_error_set(
			err, CAY_CORRUPT, EBADMSG,
			"the registry sent a manifest with the digest %s instead of %s", ret_digest,
			name);
	if (media_type && media_type[0] && announced && strcmp(announced, media_type) != 0)
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "the registry sent %.128s where its index says %.128s",
				     announced, media_type);
	return manifest_parse(text->data, text->length,
			      announced                             ? announced
				      : media_type && media_type[0] ? media_type
								    : NULL,
			      ret_manifest, err);
}

/* Pins and keeps what was fetched. */
static int store_document(struct puller *puller, const char *digest, const struct buf *text,
			  struct cay_error *err)
{
	pins_add(&puller->pins, digest);
	if (content_has_document(&puller->store->content, digest, text->length))
		return 0;
	puller->news = true;
	return content_write_blob(&puller->store->content, text->data, text->length, err);
}

/* The manifest that an index names: from the store, where it is already. */
static int get_member(struct puller *puller, struct transfer *transfer,
		      const struct descriptor *member, struct buf *text, struct cay_error *err)
{
	const struct content *content = &puller->store->content;

	pins_add(&puller->pins, member->digest);
	if (!content_has_blob(content, member->digest, member->size) ||
	    content_read_blob(content, member->digest, DOCUMENT_MAX, text, NULL) < 0) {
		buf_clear(text); /* of what is damaged */
		return fetch_manifest(puller, transfer, member->digest, member->media_type,
				      &puller->manifest, puller->manifest_digest, text, err);
	}
	memcpy(puller->manifest_digest, member->digest, DIGEST_SIZE);
	return manifest_parse(text->data, text->length,
			      member->media_type[0] ? member->media_type : NULL, &puller->manifest,
			      err);
}

/* From the reference to the manifest of this platform. */
static int resolve(struct puller *puller, struct transfer *transfer, struct cay_error *err)
{
	const char *name = puller->ref.digest ? puller->ref.digest : puller->ref.tag;
	_cleanup_buf_ struct buf text = { 0 };
	const struct descriptor *member;
	int r = fetch_manifest(puller, transfer, name, NULL, &puller->manifest, puller->top_digest,
			       &text, err);

	if (r < 0)
		return r;
	memcpy(puller->manifest_digest, puller->top_digest, DIGEST_SIZE);
	puller->by_index = puller->manifest.is_index;
	if (puller->by_index) {
		_cleanup_manifest_ struct manifest index = puller->manifest;

		puller->manifest = (struct manifest){ 0 };
		r = manifest_select(&index, &puller->platform, &member, err);
		if (r == 0)
			r = store_document(puller, puller->top_digest, &text, err);
		if (r < 0)
			return r;
		buf_clear(&text);
		r = get_member(puller, transfer, member, &text, err);
		if (r < 0)
			return r;
		if (puller->manifest.is_index)
			return cay_error_set(err, CAY_INVALID, EBADMSG, "its indexes are nested");
	}
	return store_document(puller, puller->manifest_digest, &text, err);
}

static int check_platform(const struct puller *puller, struct cay_error *err)
{
	_cleanup_free_ char *wanted = platform_format(&puller->platform);
	_cleanup_free_ char *actual = platform_format(&puller->config.platform);

	if (!puller->platform_given ||
	    platform_match(&puller->platform, &puller->config.platform) > 0)
		return 0;
	return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
			     "the image was found but does not match the specified platform: "
			     "wanted %.128s, actual: %.128s",
			     wanted, actual);
}

static int fetch_config(struct puller *puller, struct transfer *transfer, struct cay_error *err)
{
	const struct descriptor *config = &puller->manifest.config;
	const struct content *content = &puller->store->content;
	_cleanup_buf_ struct buf text = { 0 };
	int r;

	pins_add(&puller->pins, config->digest);
	if (!content_has_blob(content, config->digest, config->size) ||
	    content_read_blob(content, config->digest, DOCUMENT_MAX, &text, NULL) < 0) {
		buf_clear(&text);
		r = registry_get_config(puller->registry, transfer, config, &text, err);
		if (r < 0)
			return r;
		puller->news = true;
		r = content_write_blob(content, text.data, text.length, err);
		if (r < 0)
			return r;
	}
	r = image_config_parse(text.data, text.length, puller->manifest.item_count, &puller->config,
			       err);
	return r < 0 ? r : check_platform(puller, err);
}

/* A layer on its way to file, digest and worker. */
struct layer_sink {
	struct puller *puller;
	const struct descriptor *layer;
	struct blob_writer blob;
	struct worker worker;
	int64_t last_ms;
};

static void layer_sink_done(struct layer_sink *sink)
{
	worker_done(&sink->worker);
	blob_writer_done(&sink->blob);
}

static int receive_layer(const void *data, size_t size, void *user, struct cay_error *err)
{
	struct layer_sink *sink = user;
	int r = blob_writer_put(&sink->blob, data, size, err);

	if (r == 0)
		r = worker_feed(&sink->worker, data, size, &sink->puller->cancel, err);
	if (r == 0)
		progress_count(&sink->puller->progress, sink->layer->digest, "Downloading",
			       sink->blob.size, sink->layer->size, &sink->last_ms);
	return r;
}

static int download_layer(struct puller *puller, const struct descriptor *layer,
			  const char *diff_id, struct cay_error *err)
{
	_cleanup_(layer_sink_done) struct layer_sink sink = {
		.puller = puller, .layer = layer, .blob = BLOB_WRITER_INIT, .worker = WORKER_INIT
	};
	const struct content *content = &puller->store->content;
	struct layer_header header;
	int r = blob_writer_open(&sink.blob, content, err);

	/* It may be an image's that is known and lost its blob alone. */
	sink.worker.lasting = content_has_layer(content, layer->digest, &header);
	if (r == 0)
		r = worker_start_layer(&sink.worker, &puller->store->worker, content, -1, err);
	if (r == 0) {
		struct transfer *transfer = registry_borrow(puller->registry);

		r = registry_get_blob(puller->registry, transfer, layer, receive_layer, &sink, err);
		registry_give_back(puller->registry, transfer);
	}
	if (r == 0)
		r = blob_writer_commit(&sink.blob, layer->digest, layer->size, err);
	if (r < 0)
		return r;
	progress_say(&puller->progress, layer->digest, "Download complete");
	progress_say(&puller->progress, layer->digest, "Extracting");
	return worker_finish_layer(&sink.worker, content, layer->digest, diff_id, &puller->cancel,
				   err);
}

/* Claimed: gets what is missing of one layer. */
static int get_layer(struct puller *puller, const struct descriptor *layer, const char *diff_id,
		     struct cay_error *err)
{
	const struct content *content = &puller->store->content;
	struct cay_error why = { 0 };
	int r;

	if (store_has_layer(puller->store, layer)) {
		progress_say(&puller->progress, layer->digest, "Already exists");
		return 0;
	}
	puller->news = true;
	if (content_has_blob(content, layer->digest, layer->size)) {
		progress_say(&puller->progress, layer->digest, "Extracting");
		r = store_convert_layer(puller->store, layer->digest, diff_id, &puller->cancel,
					&why);
		if (r < 0)
			(void)cay_error_set(err, why.code, why.err,
					    why.code == CAY_CORRUPT
						    ? "%s (it was here already; if it is damaged, "
						      "`cay image verify NAME` of an image that "
						      "has it takes it away: then pull again)"
						    : "%s",
					    why.message);
	} else {
		r = download_layer(puller, layer, diff_id, err);
		if (r < 0)
			(void)cay_error_prefix(err, "layer %s", layer->digest);
	}
	if (r == 0)
		progress_say(&puller->progress, layer->digest, "Pull complete");
	return r;
}

static int pull_layer(size_t item, void *user, struct cay_error *err)
{
	struct puller *puller = user;
	const struct descriptor *layer = &puller->manifest.items[item];
	int r;

	/* One layer may stand in an image more than once; the first time counts. */
	for (size_t i = 0; i < item; i++)
		if (strcmp(puller->manifest.items[i].digest, layer->digest) == 0)
			return 0;
	r = store_claim(puller->store, layer->digest, &puller->cancel, err);
	if (r < 0)
		return r;
	r = get_layer(puller, layer, puller->config.diff_ids.items[item], err);
	store_unclaim(puller->store, layer->digest);
	return r;
}

static int fetch_layers(struct puller *puller, struct cay_error *err)
{
	for (size_t i = 0; i < puller->manifest.item_count; i++) {
		pins_add(&puller->pins, puller->manifest.items[i].digest);
		progress_say(&puller->progress, puller->manifest.items[i].digest,
			     "Pulling fs layer");
	}
	puller->parallel.work = pull_layer;
	puller->parallel.user = puller;
	puller->parallel.count = puller->manifest.item_count;
	puller->parallel.threads = puller->store->parallel;
	return parallel_run(&puller->parallel, err);
}

/* Everything, from the registry itself or from one mirror of it. */
static int fetch_from(struct puller *puller, const char *mirror,
		      const struct image_credentials *credentials, struct cay_error *err)
{
	const struct image_store *store = puller->store;
	const struct registry_options options = {
		.ref = &puller->ref,
		.mirror = mirror,
		.insecure = &store->insecure,
		.certs = &store->certs,
		/* They are the registry's, and none of a mirror's business. */
		.credentials = mirror ? NULL : credentials,
		.cancel = &puller->cancel,
		.idle_seconds = store->idle_seconds,
		.retry_ms = store->retry_ms,
	};
	struct transfer *transfer;
	int r;

	/* What another mirror has said is not to be mixed with this one's words. */
	registry_close(puller->registry);
	puller->registry = NULL;
	manifest_done(&puller->manifest);
	image_config_done(&puller->config);
	atomic_store(&puller->parallel.failed, false);
	atomic_store(&puller->parallel.next, 0);
	r = registry_open(&options, &puller->registry, err);
	if (r < 0)
		return r;
	transfer = registry_borrow(puller->registry);
	r = resolve(puller, transfer, err);
	if (r == 0)
		r = fetch_config(puller, transfer, err);
	registry_give_back(puller->registry, transfer);
	return r < 0 ? r : fetch_layers(puller, err);
}

static int fetch_all(struct puller *puller, const struct image_credentials *credentials,
		     struct cay_error *err)
{
	const struct strv *mirrors = &puller->store->mirrors;
	const bool mirrored = strcmp(puller->ref.registry, "docker.io") == 0;

	for (size_t i = 0; mirrored && i < mirrors->count; i++) {
		struct cay_error why = { 0 };
		int r = fetch_from(puller, mirrors->items[i], NULL, &why);

		if (r == 0)
			return 0;
		if (why.code == CAY_CANCELLED) {
			if (err)
				*err = why;
			return r;
		}
		log_warning("%s is not pulled from the mirror %s: %s", puller->ref.repository,
			    mirrors->items[i], why.message);
	}
	return fetch_from(puller, NULL, credentials, err);
}

/* What the user asked for, in all the forms that are needed. */
static int prepare(struct puller *puller, const char *reference, const char *platform,
		   struct cay_error *err)
{
	int r = image_ref_parse(reference, &puller->ref, err);

	if (r == 0)
		r = platform_parse(platform, &puller->platform, err);
	if (r < 0)
		return r;
	puller->platform_given = platform != NULL;
	puller->name = image_ref_name(&puller->ref);
	/* With a digest the tag is a comment, as for docker: it is not what was asked for. */
	if (!puller->ref.digest)
		puller->full = image_ref_format(&puller->ref);
	return 0;
}

static int pull(struct puller *puller, const char *reference, const char *platform,
		const struct image_credentials *credentials, struct image **ret_image,
		struct cay_error *err)
{
	_cleanup_free_ char *shown = NULL;
	int r = prepare(puller, reference, platform, err);

	if (r < 0)
		return r;
	progress_sayf(&puller->progress, puller->ref.tag ? puller->ref.tag : "", "Pulling from %s",
		      puller->ref.repository);
	r = fetch_all(puller, credentials, err);
	if (r < 0)
		return cay_error_prefix(err, "pulling %.256s", reference);
	puller->digest_name = xasprintf("%s@%s", puller->name, puller->top_digest);
	const struct publication publication = {
		.manifest_digest = puller->manifest_digest,
		.index_digest = puller->by_index ? puller->top_digest : NULL,
		.name = puller->full,
		.digest_name = puller->digest_name,
		.news = puller->news,
	};
	r = store_publish(puller->store, &publication, &puller->cancel, ret_image, err);
	if (r < 0)
		return cay_error_prefix(err, "pulling %.256s", reference);
	shown = image_reference_familiar(puller->full ? puller->full : puller->digest_name);
	progress_sayf(&puller->progress, "", "Digest: %s", puller->top_digest);
	progress_sayf(&puller->progress, "", "Status: %s for %s",
		      puller->news ? "Downloaded newer image" : "Image is up to date", shown);
	return 0;
}

int image_store_pull(struct image_store *store, const char *reference, const char *platform,
		     const struct image_credentials *credentials,
		     const struct image_progress_sink *sink, struct image **ret_image,
		     struct cay_error *err)
{
	struct puller puller = { .store = store, .pins = { .store = store } };
	int r;

	puller.cancel = (struct worker_cancel){ is_cancelled, &puller };
	progress_init(&puller.progress, sink);
	r = pull(&puller, reference, platform, credentials, ret_image, err);
	registry_close(puller.registry);
	image_ref_done(&puller.ref);
	platform_done(&puller.platform);
	manifest_done(&puller.manifest);
	image_config_done(&puller.config);
	pins_done(&puller.pins);
	progress_done(&puller.progress);
	free(puller.name);
	free(puller.full);
	free(puller.digest_name);
	return r;
}
