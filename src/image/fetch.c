/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from a registry: manifests, blobs, lists of tags. */
#include "image/registry-internal.h"

#include "base/alloc.h"
#include "base/json.h"
#include "image/registry-headers.h"

#include <errno.h>

enum {
	TAGS_MAX = 10000,
	TAG_PAGES_MAX = 1000,
	TAG_PAGE_BYTES_MAX = 4 << 20,
};

/* What generic servers send for want of anything better says nothing. */
static bool says_something(const char *content_type)
{
	return content_type && *content_type &&
		strcmp(content_type, "application/octet-stream") != 0 &&
		strcmp(content_type, "application/json") != 0 &&
		!starts_with(content_type, "text/plain");
}

int registry_get_manifest(struct registry *registry, struct transfer *transfer, const char *name,
			  struct buf *out, char **ret_media_type, struct cay_error *err)
{
	_cleanup_free_ char *url = registry_url(registry, "manifests", name);
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	struct transfer_request request = { .accept = ACCEPT_MANIFESTS, .limit = DOCUMENT_MAX };
	char digest[DIGEST_SIZE];
	int r = registry_ask(registry, transfer, url, &request, &reply, err);

	if (r < 0)
		return r;
	if (reply.status != 200)
		return registry_tell_status(registry, &reply, err);
	digest_of(reply.body.data, reply.body.length, digest);
	if (digest_is_valid(reply.digest) && strcmp(reply.digest, digest) != 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the manifest's digest is not what the registry says it is");
	buf_append(out, reply.body.data, reply.body.length);
	if (says_something(reply.content_type))
		*ret_media_type = TAKE_PTR(reply.content_type);
	return 0;
}

/* A blob that is being received, in one or more pieces. */
struct blob {
	const char *digest;
	uint64_t size, done; /* done: bytes that the sink has got */
	uint64_t skip;       /* bytes of this answer that it has got already */
	bool started;        /* this answer's first byte was seen */
	const struct transfer_reply *reply;
	int (*sink)(const void *data, size_t size, void *user, struct cay_error *err);
	void *user;
};

/* At the first byte of an answer: where in the blob it starts. */
static int start_answer(struct blob *blob, struct cay_error *err)
{
	uint64_t start = 0;

	blob->started = true;
	blob->skip = 0;
	if (blob->reply->status == 206 &&
	    (registry_read_content_range(blob->reply->range, &start) < 0 || start > blob->done))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the registry sent another range than it was asked for");
	blob->skip = blob->done - start;
	return 0;
}

static int receive(const void *data, size_t size, void *user, struct cay_error *err)
{
	struct blob *blob = user;
	size_t skip;
	int r;

	if (!blob->started) {
		r = start_answer(blob, err);
		if (r < 0)
			return r;
	}
	skip = (size_t)MIN(blob->skip, size);
	blob->skip -= skip;
	data = (const char *)data + skip;
	size -= skip;
	if (size > blob->size - blob->done)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "%s is longer than its manifest says", blob->digest);
	blob->done += size;
	return size > 0 ? blob->sink(data, size, blob->user, err) : 0;
}

/* One try. 1: all of it is there; 0: it is worth another try; -errno otherwise. */
static int try_blob(struct registry *registry, struct transfer *transfer, const char *url,
		    bool foreign, struct blob *blob, bool *use_range, struct transfer_reply *reply,
		    struct cay_error *err)
{
	struct transfer_request request = { .sink = receive,
					    .user = blob,
					    .offset = *use_range ? blob->done : 0 };
	int r;

	blob->started = false;
	blob->reply = reply;
	r = registry_send(registry, transfer, url, foreign, &request, reply, err);
	if (r < 0)
		return reply->transient ? 0 : r;
	if (reply->status == 416 && *use_range && blob->done > 0) {
		*use_range = false;
		(void)cay_error_set(err, CAY_UNAVAILABLE, EIO,
				    "the registry refuses to go on with %s in its middle",
				    blob->digest);
		return 0;
	}
	if (reply->status != 200 && reply->status != 206) {
		r = registry_tell_status(registry, reply, err);
		return registry_status_is_transient(reply->status) ? 0 : r;
	}
	if (blob->done == blob->size)
		return 1;
	(void)cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s is shorter than its manifest says",
			    blob->digest);
	return 0;
}

/* From one place. */
static int get_from(struct registry *registry, struct transfer *transfer, const char *url,
		    bool foreign, struct blob *blob, struct cay_error *err)
{
	bool use_range = true;

	for (unsigned int tries = 0, in_all = 0;; tries++, in_all++) {
		_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
		struct cay_error why = { 0 };
		const uint64_t before = blob->done;
		int r = try_blob(registry, transfer, url, foreign, blob, &use_range, &reply, &why);

		if (r > 0)
			return 0;
		if (blob->done > before)
			tries = 0;
		if (r < 0 || tries + 1 >= TRIES_MAX || in_all >= TRIES_IN_ALL) {
			if (err)
				*err = why;
			return -why.err;
		}
		r = registry_pause(registry, tries, reply.retry_after, err);
		if (r < 0)
			return r;
	}
}

/* A way to a foreign layer that the registry may name. */
static int check_foreign(const struct registry *registry, const char *text, struct cay_error *err)
{
	_cleanup_url_ struct url url = { 0 };
	int r = url_parse(text, &url, err);

	return r < 0 ? r : registry_check_step(registry, &registry->url, &url, err);
}

int registry_get_blob(struct registry *registry, struct transfer *transfer,
		      const struct descriptor *descriptor,
		      int (*sink)(const void *data, size_t size, void *user, struct cay_error *err),
		      void *user, struct cay_error *err)
{
	_cleanup_free_ char *url = registry_url(registry, "blobs", descriptor->digest);
	struct blob blob = {
		.digest = descriptor->digest, .size = descriptor->size, .sink = sink, .user = user
	};
	struct cay_error why = { 0 };
	int r = get_from(registry, transfer, url, false, &blob, &why);

	/* What has come is kept: wherever the rest comes from, the digest tells in the end. */
	for (size_t i = 0; i < descriptor->urls.count; i++) {
		if (r == 0 || why.code == CAY_CANCELLED || why.code == CAY_CORRUPT)
			break;
		cay_error_clear(&why);
		r = check_foreign(registry, descriptor->urls.items[i], &why);
		if (r == 0)
			r = get_from(registry, transfer, descriptor->urls.items[i], true, &blob,
				     &why);
		if (r < 0)
			(void)cay_error_prefix(&why, "at the URL its manifest names");
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

static int append(const void *data, size_t size, void *user, struct cay_error *err)
{
	buf_append(user, data, size); /* at most the size that was checked against DOCUMENT_MAX */
	return 0;
}

int registry_get_config(struct registry *registry, struct transfer *transfer,
			const struct descriptor *config, struct buf *out, struct cay_error *err)
{
	const size_t start = out->length;
	char digest[DIGEST_SIZE];
	int r;

	if (config->size > DOCUMENT_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the image's configuration is larger than %d bytes",
				     DOCUMENT_MAX);
	r = registry_get_blob(registry, transfer, config, append, out, err);
	if (r < 0)
		return cay_error_prefix(err, "the image's configuration");
	digest_of(out->data + start, out->length - start, digest);
	if (strcmp(digest, config->digest) != 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the bytes of %s have another digest, %s", config->digest,
				     digest);
	return 0;
}

/* One page of tags, and where the next one is: NULL at the end. */
static int get_tags_page(struct registry *registry, struct transfer *transfer, const char *url,
			 struct strv *out, char **ret_next, struct cay_error *err)
{
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	struct transfer_request request = { .limit = TAG_PAGE_BYTES_MAX };
	_cleanup_json_ json_t *document = NULL;
	_cleanup_free_ char *next = NULL;
	_cleanup_strv_ struct strv tags = { 0 };
	_cleanup_url_ struct url to = { 0 };
	int r = registry_ask(registry, transfer, url, &request, &reply, err);

	if (r < 0)
		return r;
	if (reply.status != 200)
		return registry_tell_status(registry, &reply, err);
	r = json_parse(buf_text(&reply.body), reply.body.length, "the list of tags", &document,
		       err);
	if (r == 0 && !json_is_object(document))
		r = cay_error_set(err, CAY_INVALID, EBADMSG, "the list of tags is not an object");
	if (r == 0)
		r = json_read_strv(document, "tags", TAGS_MAX - out->count, &tags, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < tags.count; i++)
		strv_add(out, tags.items[i]);
	r = registry_read_link(reply.link, url, &next, err);
	if (r < 0 || !next)
		return r;
	r = url_parse(next, &to, err);
	if (r == 0 && !url_same_server(&to, &registry->url))
		r = cay_error_set(err, CAY_FORBIDDEN, EACCES,
				  "the list of tags goes on at another server, which is refused");
	if (r == 0)
		*ret_next = TAKE_PTR(next);
	return r;
}

int registry_get_tags(struct registry *registry, struct transfer *transfer, struct strv *out,
		      struct cay_error *err)
{
	char *url = registry_url(registry, "tags", "list");
	int r = 0;

	for (unsigned int page = 0; r == 0 && url; page++) {
		_cleanup_free_ char *now = TAKE_PTR(url);

		if (page >= TAG_PAGES_MAX)
			r = cay_error_set(err, CAY_TOO_LARGE, EFBIG,
					  "the list of tags has more than %d pages", TAG_PAGES_MAX);
		else
			r = get_tags_page(registry, transfer, now, out, &url, err);
	}
	return r;
}
