/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes to a registry: blobs and manifests.
 *
 * A blob is sent in one request where that works. It is sent in chunks where it
 * is large, so that a reset costs a chunk and not the whole; where the registry
 * refuses the whole; and after a reset, from where the registry says it is.
 */
#include "image/registry-internal.h"

#include "base/alloc.h"
#include "image/registry-headers.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>

/* Larger blobs go in chunks of this size. */
#define CHUNK_SIZE (UINT64_C(128) << 20)

/* One blob on its way. */
struct sending {
	struct registry *registry;
	struct transfer *transfer;
	struct registry_upload *upload;
	char *location; /* of the upload session; NULL: there is none */
	uint64_t done;  /* bytes that the registry has */
	uint64_t min_chunk;
	bool chunked;
	bool may_mount; /* mounting has not been refused yet */
	unsigned int retry_after;
};

int registry_has_blob(struct registry *registry, struct transfer *transfer, const char *digest,
		      uint64_t size, struct cay_error *err)
{
	_cleanup_free_ char *url = registry_url(registry, "blobs", digest);
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	struct transfer_request request = { .method = "HEAD", .limit = TRANSFER_ERROR_MAX };
	int r = registry_ask(registry, transfer, url, &request, &reply, err);

	if (r < 0)
		return r;
	if (reply.status == 401)
		return registry_tell_status(registry, &reply, err);
	/*
	 * 403 may come from a storage behind the registry, which takes no HEAD; one of the
	 * registry's own comes again, with a body that says why, when the blob is sent. Of another
	 * size it can't be the same: it is sent again, and the registry's to judge.
	 */
	return reply.status == 200 && (reply.length < 0 || (uint64_t)reply.length == size);
}

int registry_has_manifest(struct registry *registry, struct transfer *transfer, const char *digest,
			  struct cay_error *err)
{
	_cleanup_free_ char *url = registry_url(registry, "manifests", digest);
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	struct transfer_request request = { .method = "HEAD",
					    .accept = ACCEPT_MANIFESTS,
					    .limit = TRANSFER_ERROR_MAX };
	int r = registry_ask(registry, transfer, url, &request, &reply, err);

	return r < 0 ? r : reply.status == 200;
}

/* Where an answer says the session is. */
static int take_location(struct sending *sending, const char *base,
			 const struct transfer_reply *reply, struct cay_error *err)
{
	_cleanup_url_ struct url from = { 0 }, to = { 0 };
	_cleanup_free_ char *location = NULL;
	int r;

	if (!reply->location)
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "the registry starts an upload without a Location");
	r = url_resolve(base, reply->location, &location, err);
	if (r == 0)
		r = url_parse(base, &from, err);
	if (r == 0)
		r = url_parse(location, &to, err);
	if (r < 0)
		return cay_error_prefix(err, "the registry's Location is malformed");
	r = registry_check_step(sending->registry, &from, &to, err);
	if (r < 0)
		return r;
	free(sending->location);
	sending->location = TAKE_PTR(location);
	return 0;
}

static void drop_session(struct sending *sending)
{
	free(sending->location);
	sending->location = NULL;
	sending->done = 0;
}

/* The path of a new session, asking for a mount where one may work. */
static char *session_url(const struct sending *sending, const char *from)
{
	_cleanup_free_ char *url = registry_url(sending->registry, "blobs", "uploads/");
	char *escaped = from ? curl_easy_escape(NULL, from, 0) : NULL;
	char *whole = escaped
		? xasprintf("%s?mount=%s&from=%s", url, sending->upload->digest, escaped)
		: xstrdup(url);

	curl_free(escaped);
	return whole;
}

/* Starts a session. 1: the blob was mounted from another repository, and there is none. */
static int start_session(struct sending *sending, const char *from, struct cay_error *err)
{
	_cleanup_free_ char *url = session_url(sending, from);
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	struct transfer_request request = { .method = "POST", .limit = TRANSFER_ERROR_MAX };
	int r;

	/* What a mount would save is not worth a second try. */
	r = from ? registry_send(sending->registry, sending->transfer, url, false, &request, &reply,
				 err)
		 : registry_ask(sending->registry, sending->transfer, url, &request, &reply, err);
	if (r < 0 && from && reply.transient) {
		if (err)
			cay_error_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	if (from && reply.status == 201)
		return 1;
	/* One that can't mount may refuse in whatever way; then the blob is sent. */
	if (from && reply.status != 202)
		return 0;
	if (reply.status != 202)
		return registry_tell_status(sending->registry, &reply, err);
	sending->min_chunk = reply.min_chunk;
	return take_location(sending, url, &reply, err);
}

/* Mounts it or starts a session. 1: mounted. */
static int begin(struct sending *sending, struct cay_error *err)
{
	const struct strv *sources = sending->upload->mount_from;
	int r;

	drop_session(sending);
	for (size_t i = 0; sources && sending->may_mount && i < sources->count; i++) {
		r = start_session(sending, sources->items[i], err);
		if (r > 0)
			sending->upload->ret_mounted_from = sources->items[i];
		if (r != 0)
			return r;
		if (sending->location)
			break; /* it does not have it there, but is ready to take it */
	}
	sending->may_mount = false;
	return sending->location ? 0 : start_session(sending, NULL, err);
}

static void tell_sent(uint64_t bytes, void *user)
{
	const struct sending *sending = user;

	if (sending->upload->sent)
		sending->upload->sent(sending->done + bytes, sending->upload->user);
}

static char *with_digest(const struct sending *sending)
{
	return xasprintf("%s%cdigest=%s", sending->location,
			 strchr(sending->location, '?') ? '&' : '?', sending->upload->digest);
}

/* `size` bytes from where it is; `range` says which these are, or is NULL. */
static int send_bytes(struct sending *sending, const char *method, const char *url,
		      const char *range, uint64_t size, struct transfer_reply *reply,
		      struct cay_error *err)
{
	const struct transfer_body body = {
		.fd = sending->upload->fd,
		.offset = sending->done,
		.size = size,
		.sent = tell_sent,
		.user = sending,
	};
	struct transfer_request request = {
		.method = method,
		.body = &body,
		.content_type = "application/octet-stream",
		.content_range = range,
		.limit = TRANSFER_ERROR_MAX,
	};

	return registry_send(sending->registry, sending->transfer, url, false, &request, reply,
			     err);
}

/* The last request of an upload: `size` bytes, and the digest of all. */
static int send_last(struct sending *sending, uint64_t size, struct transfer_reply *reply,
		     struct cay_error *err)
{
	_cleanup_free_ char *url = with_digest(sending);

	return send_bytes(sending, "PUT", url, NULL, size, reply, err);
}

static int send_chunk(struct sending *sending, uint64_t size, struct transfer_reply *reply,
		      struct cay_error *err)
{
	_cleanup_free_ char *range =
		xasprintf("%" PRIu64 "-%" PRIu64, sending->done, sending->done + size - 1);

	return send_bytes(sending, "PATCH", sending->location, range, size, reply, err);
}

/* What the registry says it has of the upload, which can't be more than it was sent. */
static int take_received(struct sending *sending, const struct transfer_reply *reply,
			 uint64_t at_most, struct cay_error *err)
{
	uint64_t count = at_most;

	if (reply->received &&
	    (registry_read_received(reply->received, &count) < 0 || count > at_most))
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "the registry claims to have bytes of %s that it was not sent",
				     sending->upload->digest);
	sending->done = count;
	return 0;
}

/* After a failure: goes on from where the registry is, or with a new session. 1: it is all there.
 */
static int ask_where(struct sending *sending, struct cay_error *err)
{
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	struct transfer_request request = { .limit = TRANSFER_ERROR_MAX };
	const struct registry_upload *upload = sending->upload;
	struct cay_error unread = { 0 };
	int r = registry_send(sending->registry, sending->transfer, sending->location, false,
			      &request, &reply, &unread);

	if (r < 0 && unread.code == CAY_CANCELLED) {
		if (err)
			*err = unread;
		return r;
	}
	if (r < 0 || reply.status != 204 || !reply.received) {
		drop_session(sending);
		/* Perhaps the last answer alone was lost. */
		return registry_has_blob(sending->registry, sending->transfer, upload->digest,
					 upload->size, err);
	}
	r = take_received(sending, &reply, upload->size, err);
	if (r == 0 && reply.location)
		r = take_location(sending, sending->location, &reply, err);
	sending->chunked = true;
	return r;
}

/* Refusals of a blob in one piece that do not speak of the blob. */
static bool wants_chunks(int status)
{
	return status == 405 || status == 411 || status == 413 || status == 415 || status == 501;
}

/*
 * What an answer that is not the hoped-for one means: 0: there is sense in another try; -errno
 * otherwise.
 */
static int judge(struct sending *sending, const struct transfer_reply *reply, struct cay_error *err)
{
	int r;

	sending->retry_after = reply->retry_after;
	if (!sending->chunked && wants_chunks(reply->status)) {
		sending->chunked = true;
		drop_session(sending);
		return 0;
	}
	r = registry_tell_status(sending->registry, reply, err);
	/* The session is gone, or stands elsewhere than we thought. */
	if (reply->status == 404 || reply->status == 416) {
		drop_session(sending);
		return 0;
	}
	return registry_status_is_transient(reply->status) ? 0 : r;
}

/* 1: all is there; 0: worth another try; -errno. */
static int finish(struct sending *sending, uint64_t size, struct cay_error *err)
{
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	const char *digest = sending->upload->digest;
	int r = send_last(sending, size, &reply, err);

	if (r < 0)
		return reply.transient ? 0 : r;
	if (reply.status != 201 && reply.status != 204)
		return judge(sending, &reply, err);
	if (digest_is_valid(reply.digest) && strcmp(reply.digest, digest) != 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the registry has stored %s under another digest, %s", digest,
				     reply.digest);
	sending->done = sending->upload->size;
	return 1;
}

/* The same. */
static int send_chunks(struct sending *sending, struct cay_error *err)
{
	while (sending->done < sending->upload->size) {
		_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
		const uint64_t before = sending->done;
		const uint64_t chunk =
			MIN(sending->upload->size - before, MAX(CHUNK_SIZE, sending->min_chunk));
		int r = send_chunk(sending, chunk, &reply, err);

		if (r < 0)
			return reply.transient ? 0 : r;
		if (reply.status != 202 && reply.status != 204)
			return judge(sending, &reply, err);
		r = take_received(sending, &reply, before + chunk, err);
		if (r == 0 && reply.location)
			r = take_location(sending, sending->location, &reply, err);
		if (r < 0)
			return r;
		if (sending->done <= before)
			return cay_error_set(err, CAY_UNAVAILABLE, EIO,
					     "the registry takes no bytes of %s",
					     sending->upload->digest);
	}
	return finish(sending, 0, err);
}

/* The same, from wherever it is. */
static int try_upload(struct sending *sending, struct cay_error *err)
{
	int r = 0;

	if (sending->location)
		r = ask_where(sending, err);
	if (r == 0 && !sending->location)
		r = begin(sending, err);
	if (r != 0)
		return r;
	if (sending->chunked || sending->upload->size > CHUNK_SIZE)
		return send_chunks(sending, err);
	return finish(sending, sending->upload->size, err);
}

int registry_put_blob(struct registry *registry, struct transfer *transfer,
		      struct registry_upload *upload, struct cay_error *err)
{
	struct sending sending = {
		.registry = registry, .transfer = transfer, .upload = upload, .may_mount = true
	};
	int r = 0;

	upload->ret_mounted_from = NULL;
	for (unsigned int tries = 0, in_all = 0; r == 0; tries++, in_all++) {
		struct cay_error why = { 0 };
		const uint64_t before = sending.done;
		const bool was_chunked = sending.chunked;
		unsigned int most = TRIES_MAX;

		sending.retry_after = 0;
		r = try_upload(&sending, &why);
		if (r > 0)
			break;
		/* Being told to send chunks is no failure. */
		if (r == 0 && sending.chunked && !was_chunked && !sending.location)
			continue;
		if (sending.done > before)
			tries = 0;
		/* Each time that a registry falls silent is long enough. */
		if (why.code == CAY_TIMEOUT)
			most = FIRST_TRIES_MAX;
		if (r == 0 && tries + 1 < most && in_all < TRIES_IN_ALL) {
			r = registry_pause(registry, tries, sending.retry_after, err);
			continue;
		}
		if (err)
			*err = why;
		r = -why.err;
	}
	free(sending.location);
	return r < 0 ? r : 0;
}

int registry_put_manifest(struct registry *registry, struct transfer *transfer, const char *name,
			  const char *media_type, const void *data, size_t size,
			  struct cay_error *err)
{
	_cleanup_free_ char *url = registry_url(registry, "manifests", name);
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	const struct transfer_body body = { .data = data, .fd = -1, .size = size };
	struct transfer_request request = {
		.method = "PUT",
		.body = &body,
		.content_type = media_type,
		.limit = TRANSFER_ERROR_MAX,
	};
	char digest[DIGEST_SIZE];
	int r = registry_ask(registry, transfer, url, &request, &reply, err);

	if (r < 0)
		return r;
	if (reply.status < 200 || reply.status > 299)
		return registry_tell_status(registry, &reply, err);
	digest_of(data, size, digest);
	if (digest_is_valid(reply.digest) && strcmp(reply.digest, digest) != 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the registry has stored the manifest %s as another, %s",
				     digest, reply.digest);
	return 0;
}
