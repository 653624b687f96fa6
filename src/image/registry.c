/* SPDX-License-Identifier: Apache-2.0 */
/* A registry's manifests and blobs. */
#include "image/registry-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "image/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <sys/random.h>
#include <time.h>

enum {
	REDIRECTS_MAX = 10,
	TRIES_MAX = 6,       /* in a row without a byte of progress */
	FIRST_TRIES_MAX = 3, /* to reach a registry at all: a typing error is told soon */
	TRIES_IN_ALL = 100,  /* of one blob */
	PAUSE_MAX_MS = 8000,
	SLICE_MS = 50, /* how often a pause asks whether it is cancelled */
	SHOWN_MAX = 200,
};

#define ACCEPT_MANIFESTS \
	MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST ", " MEDIA_DOCKER_MANIFEST

bool registry_is_insecure(const struct registry *registry, const struct url *url)
{
	_cleanup_free_ char *with_port = xasprintf("%s:%s", url->host, url->port);

	return strv_contains(registry->options.insecure, with_port) ||
		(strcmp(url->port, "80") == 0 &&
		 strv_contains(registry->options.insecure, url->host));
}

static bool has_proxy(void)
{
	static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY",
					     "all_proxy", "ALL_PROXY" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (value && value[0])
			return true;
	}
	return false;
}

static void set_base(struct registry *registry, bool https)
{
	const struct image_ref *ref = registry->options.ref;
	/* The host people write is the hub's name; its registry answers under another. */
	const char *host =
		strcmp(ref->registry, "docker.io") == 0 ? "registry-1.docker.io" : ref->registry;

	free(registry->base);
	registry->base = xasprintf("%s://%s/v2", https ? "https" : "http", host);
}

/* A loopback registry may speak either: plain HTTP is tried first. */
static bool speaks_http(struct registry *registry)
{
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	_cleanup_(transfer_free_p) struct transfer *transfer = transfer_new();
	_cleanup_free_ char *url = NULL;

	set_base(registry, false);
	url = xasprintf("%s/", registry->base);
	const struct transfer_request request = {
		.url = url,
		.direct = true,
		.idle_seconds = registry->options.idle_seconds,
		.cancel = registry->options.cancel,
		.limit = TRANSFER_ERROR_MAX,
	};

	/* One that speaks TLS answers 400, or closes, or sends what is no HTTP. */
	return transfer_run(transfer, &request, &reply, NULL) == 0 && reply.status != 400;
}

int registry_open(const struct registry_options *options, struct registry **ret_registry,
		  struct cay_error *err)
{
	struct registry *registry = xcalloc(1, sizeof(*registry));
	const bool loopback = image_ref_is_loopback(options->ref->registry);
	bool https;
	int r;

	registry->options = *options;
	registry->proxied = has_proxy();
	(void)pthread_mutex_init(&registry->lock, NULL); /* can't fail on Linux */
	if (strv_contains(options->insecure, options->ref->registry))
		https = false;
	else
		https = !loopback || !speaks_http(registry);
	set_base(registry, https);
	r = url_parse(registry->base, &registry->url, err);
	if (r < 0) {
		registry_close(registry);
		return cay_error_prefix(err, "registry %s", options->ref->registry);
	}
	registry->local = url_is_local(&registry->url);
	*ret_registry = registry;
	return 0;
}

void registry_close(struct registry *registry)
{
	if (!registry)
		return;
	(void)pthread_mutex_destroy(&registry->lock);
	url_done(&registry->url);
	free(registry->base);
	free(registry->authorization);
	free(registry);
}

static char *copy_authorization(struct registry *registry, unsigned int *ret_generation)
{
	char *copy;

	(void)pthread_mutex_lock(&registry->lock);
	copy = xstrdup(registry->authorization);
	*ret_generation = registry->generation;
	(void)pthread_mutex_unlock(&registry->lock);
	return copy;
}

/* Whether a redirect may be followed. */
static int check_redirect(const struct registry *registry, const struct url *from,
			  const struct url *to, struct cay_error *err)
{
	if (from->https && !to->https && !registry_is_insecure(registry, to))
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "a redirect from https to http (%s) is refused", to->host);
	if (!registry->local && url_is_local(to))
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "a redirect to this host or its link (%s) is refused",
				     to->host);
	return 0;
}

/* One step of a request: its URL, whose redirects and challenges have been followed so far. */
struct step {
	char *url;
	struct url parts;
	unsigned int hops;
	bool authorized; /* a challenge was answered already */
};

static void step_done(struct step *step)
{
	free(step->url);
	url_done(&step->parts);
}

static int follow_redirect(const struct registry *registry, struct step *step, const char *target,
			   struct cay_error *err)
{
	_cleanup_url_ struct url to = { 0 };
	int r;

	if (++step->hops > REDIRECTS_MAX)
		return cay_error_set(err, CAY_UNAVAILABLE, ELOOP, "more than %d redirects",
				     REDIRECTS_MAX);
	r = url_parse(target, &to, err);
	if (r < 0)
		return cay_error_prefix(err, "a malformed redirect");
	r = check_redirect(registry, &step->parts, &to, err);
	if (r < 0)
		return r;
	replace_string(&step->url, target);
	url_done(&step->parts);
	step->parts = to;
	to = (struct url){ 0 };
	return 0;
}

/*
 * Sends a request, answers one challenge and follows redirects, until there is an answer of
 * another kind. `request` is the caller's but for what is filled in here.
 */
static int send_request(struct registry *registry, struct transfer *transfer, const char *path,
			struct transfer_request *request, struct transfer_reply *reply,
			struct cay_error *err)
{
	_cleanup_(step_done) struct step step = { .url = xasprintf("%s/%s", registry->base, path) };
	int r = url_parse(step.url, &step.parts, err);

	while (r == 0) {
		const bool own = url_same_server(&step.parts, &registry->url);
		_cleanup_free_ char *authorization = NULL;
		unsigned int generation = 0;

		if (own)
			authorization = copy_authorization(registry, &generation);
		transfer_reply_done(reply);
		request->url = step.url;
		request->authorization = authorization;
		request->guarded = !own && !registry->local && !registry->proxied;
		request->direct = url_is_local(&step.parts);
		request->idle_seconds = registry->options.idle_seconds;
		request->cancel = registry->options.cancel;
		r = transfer_run(transfer, request, reply, err);
		request->url = request->authorization = NULL;
		if (r < 0)
			break;
		if (reply->status == 401 && own && !step.authorized &&
		    reply->challenges.count > 0) {
			step.authorized = true;
			r = registry_authorize(registry, transfer, &reply->challenges, generation,
					       err);
		} else if (reply->redirect) {
			r = follow_redirect(registry, &step, reply->redirect, err);
		} else {
			break;
		}
	}
	return r;
}

/* The pause before the next try: longer each time, a little random, never deaf. */
static int take_pause(struct registry *registry, unsigned int tries,
		      const struct transfer_reply *reply, struct cay_error *err)
{
	const int64_t start = clock_monotonic_ms();
	int64_t length = (int64_t)registry->options.retry_ms << MIN(tries, 10U);
	uint16_t noise = 0;

	if (getrandom(&noise, sizeof(noise), 0) < 0)
		noise = 0; /* the pause is merely regular then */
	length = MIN(length, PAUSE_MAX_MS);
	length += length * noise / 65536 / 4;
	length = MAX(length, (int64_t)reply->retry_after * 1000);
	while (clock_monotonic_ms() - start < length) {
		const struct timespec slice = { .tv_nsec = SLICE_MS * 1000000L };

		if (worker_is_cancelled(registry->options.cancel))
			return worker_cancelled(err);
		(void)nanosleep(&slice, NULL);
	}
	return 0;
}

static bool status_is_transient(int status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

static bool is_secret(const struct registry *registry, const char *text)
{
	const struct image_credentials *mine = registry->options.credentials;
	const char *secrets[] = {
		mine ? mine->password : NULL,
		mine ? mine->identity_token : NULL,
		registry->authorization ? strchr(registry->authorization, ' ') + 1 : NULL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		if (secrets[i] && secrets[i][0] && strstr(text, secrets[i]))
			return true;
	return false;
}

/* What the registry says about an error, if it says it in the specification's way. */
static char *error_text(struct registry *registry, const struct transfer_reply *reply)
{
	_cleanup_json_ json_t *document = NULL;
	const json_t *first;
	const char *code, *message;
	struct buf text = { 0 };
	bool secret;

	if (json_parse(buf_text(&reply->body), reply->body.length, "error", &document, NULL) < 0)
		return xasprintf("HTTP status %d", reply->status);
	first = json_array_get(json_object_get(document, "errors"), 0);
	code = json_string_value(json_object_get(first, "code"));
	message = json_string_value(json_object_get(first, "message"));
	if (!code)
		return xasprintf("HTTP status %d", reply->status);
	buf_printf(&text, "%.*s: %.*s", SHOWN_MAX, code, SHOWN_MAX, message ? message : "");
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] >= 0 && !isprint(text.data[i]))
			text.data[i] = '?';
	(void)pthread_mutex_lock(&registry->lock);
	secret = is_secret(registry, buf_text(&text));
	(void)pthread_mutex_unlock(&registry->lock);
	if (secret) {
		buf_clear(&text);
		buf_printf(&text, "HTTP status %d", reply->status);
	}
	return buf_steal(&text);
}

static int tell_status(struct registry *registry, const struct transfer_reply *reply,
		       struct cay_error *err)
{
	_cleanup_free_ char *text = error_text(registry, reply);

	switch (reply->status) {
	case 401:
	case 403:
		return cay_error_set(err, CAY_UNAUTHORIZED, EACCES,
				     "pull access denied for %s, repository does not exist or may "
				     "require authentication: %s",
				     registry->options.ref->repository, text);
	case 404:
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "not found: %s", text);
	case 429:
		return cay_error_set(err, CAY_UNAVAILABLE, EBUSY, "too many requests: %s", text);
	default:
		return cay_error_set(err, CAY_UNAVAILABLE, EIO, "%s", text);
	}
}

int registry_get_manifest(struct registry *registry, struct transfer *transfer, const char *name,
			  struct buf *out, char **ret_media_type, struct cay_error *err)
{
	_cleanup_free_ char *path =
		xasprintf("%s/manifests/%s", registry->options.ref->repository, name);
	char digest[DIGEST_SIZE];

	for (unsigned int tries = 0;; tries++) {
		_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
		struct transfer_request request = { .accept = ACCEPT_MANIFESTS,
						    .limit = DOCUMENT_MAX };
		int r = send_request(registry, transfer, path, &request, &reply, err);

		if (r == 0 && reply.status == 200) {
			digest_of(reply.body.data, reply.body.length, digest);
			if (digest_is_valid(reply.digest) && strcmp(reply.digest, digest) != 0)
				return cay_error_set(err, CAY_CORRUPT, EBADMSG,
						     "the manifest's digest is not what the "
						     "registry says it is");
			buf_append(out, reply.body.data, reply.body.length);
			/* What generic servers send for want of anything better says nothing. */
			if (reply.content_type &&
			    strcmp(reply.content_type, "application/octet-stream") != 0 &&
			    strcmp(reply.content_type, "application/json") != 0 &&
			    !starts_with(reply.content_type, "text/plain"))
				*ret_media_type = TAKE_PTR(reply.content_type);
			return 0;
		}
		if (r < 0 ? !reply.transient : !status_is_transient(reply.status))
			return r < 0 ? r : tell_status(registry, &reply, err);
		if (tries + 1 >= (r < 0 ? FIRST_TRIES_MAX : TRIES_MAX))
			return r < 0 ? r : tell_status(registry, &reply, err);
		r = take_pause(registry, tries, &reply, err);
		if (r < 0)
			return r;
	}
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
	struct str rest, number;

	blob->started = true;
	blob->skip = 0;
	if (blob->reply->status == 206) {
		/* "bytes 100-199/200" */
		number = str_from(blob->reply->range);
		if (!str_starts(number, "bytes "))
			number.length = 0;
		else
			number = str_split((struct str){ number.data + 6, number.length - 6 }, '-',
					   &rest);
		if (str_to_u64(number, INT64_MAX, &start) < 0 || start > blob->done)
			return cay_error_set(err, CAY_CORRUPT, EBADMSG,
					     "the registry sent another range than it was asked "
					     "for");
	}
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
static int try_blob(struct registry *registry, struct transfer *transfer, const char *path,
		    struct blob *blob, bool *use_range, struct transfer_reply *reply,
		    struct cay_error *err)
{
	struct transfer_request request = { .sink = receive,
					    .user = blob,
					    .offset = *use_range ? blob->done : 0 };
	int r;

	blob->started = false;
	blob->reply = reply;
	r = send_request(registry, transfer, path, &request, reply, err);
	if (r < 0)
		return reply->transient ? 0 : r;
	if (reply->status == 416 && *use_range && blob->done > 0) {
		*use_range = false;
		return 0;
	}
	if (reply->status != 200 && reply->status != 206) {
		r = tell_status(registry, reply, err);
		return status_is_transient(reply->status) ? 0 : r;
	}
	if (blob->done == blob->size)
		return 1;
	(void)cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s is shorter than its manifest says",
			    blob->digest);
	return 0;
}

int registry_get_blob(struct registry *registry, struct transfer *transfer, const char *digest,
		      uint64_t size,
		      int (*sink)(const void *data, size_t size, void *user, struct cay_error *err),
		      void *user, struct cay_error *err)
{
	_cleanup_free_ char *path =
		xasprintf("%s/blobs/%s", registry->options.ref->repository, digest);
	struct blob blob = { .digest = digest, .size = size, .sink = sink, .user = user };
	bool use_range = true;

	for (unsigned int tries = 0, in_all = 0;; tries++, in_all++) {
		_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
		struct cay_error why = { 0 };
		const uint64_t before = blob.done;
		int r = try_blob(registry, transfer, path, &blob, &use_range, &reply, &why);

		if (r > 0)
			return 0;
		if (blob.done > before)
			tries = 0;
		if (r < 0 || tries + 1 >= TRIES_MAX || in_all >= TRIES_IN_ALL) {
			if (err)
				*err = why;
			return -why.err;
		}
		r = take_pause(registry, tries, &reply, err);
		if (r < 0)
			return r;
	}
}
