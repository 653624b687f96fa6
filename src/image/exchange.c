/* SPDX-License-Identifier: Apache-2.0 */
/* One question to a registry: credentials, redirects, pauses, and what its refusals say. */
#include "image/registry-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <sys/random.h>
#include <time.h>

enum {
	REDIRECTS_MAX = 10,
	PAUSE_MAX_MS = 8000,
	SLICE_MS = 50, /* how often a pause asks whether it is cancelled */
	SHOWN_MAX = 200,
};

static char *copy_authorization(struct registry *registry, unsigned int *ret_generation)
{
	char *copy;

	(void)pthread_mutex_lock(&registry->lock);
	copy = xstrdup(registry->authorization);
	*ret_generation = registry->generation;
	(void)pthread_mutex_unlock(&registry->lock);
	return copy;
}

int registry_check_step(const struct registry *registry, const struct url *from,
			const struct url *to, struct cay_error *err)
{
	if (from->https && !to->https && !registry_is_insecure(registry, to))
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "a way from https to http (%s) is refused", to->host);
	if (!registry->local && url_is_local(to))
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "a way to this host or its link (%s) is refused", to->host);
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
	r = registry_check_step(registry, &step->parts, &to, err);
	if (r < 0)
		return r;
	replace_string(&step->url, target);
	url_done(&step->parts);
	step->parts = to;
	to = (struct url){ 0 };
	return 0;
}

/* Whether the answer leads elsewhere. Only these two keep the method and the body. */
static bool is_redirect(const struct transfer_request *request, const struct transfer_reply *reply)
{
	const bool reading = !request->method || strcmp(request->method, "HEAD") == 0;

	return reply->redirect && (reading || reply->status == 307 || reply->status == 308);
}

/* Sends it to where the step is now. */
static int send_step(struct registry *registry, struct transfer *transfer, const struct step *step,
		     const char *authorization, struct transfer_request *request,
		     struct transfer_reply *reply, struct cay_error *err)
{
	_cleanup_security_ struct security security = { 0 };
	int r = registry_security(registry, &step->parts, &security, err);

	if (r < 0)
		return r;
	transfer_reply_done(reply);
	request->url = step->url;
	request->authorization = authorization;
	request->certs = &security.certs;
	request->unverified = security.unverified;
	request->guarded = registry_is_guarded(registry, &step->parts, &security);
	request->direct = url_is_local(&step->parts);
	request->idle_seconds = registry->options.idle_seconds;
	request->cancel = registry->options.cancel;
	r = transfer_run(transfer, request, reply, err);
	request->url = request->authorization = NULL;
	request->certs = NULL;
	return r;
}

int registry_send(struct registry *registry, struct transfer *transfer, const char *url,
		  bool foreign, struct transfer_request *request, struct transfer_reply *reply,
		  struct cay_error *err)
{
	_cleanup_(step_done) struct step step = { .url = xstrdup(url) };
	int r = url_parse(step.url, &step.parts, err);

	while (r == 0) {
		const bool own = !foreign && url_same_server(&step.parts, &registry->url);
		_cleanup_free_ char *authorization = NULL;
		unsigned int generation = 0;

		if (own)
			authorization = copy_authorization(registry, &generation);
		r = send_step(registry, transfer, &step, authorization, request, reply, err);
		if (r < 0)
			break;
		if (reply->status == 401 && own && !step.authorized &&
		    reply->challenges.count > 0) {
			step.authorized = true;
			r = registry_authorize(registry, transfer, &reply->challenges, generation,
					       err);
		} else if (is_redirect(request, reply)) {
			r = follow_redirect(registry, &step, reply->redirect, err);
		} else {
			break;
		}
	}
	return r;
}

int registry_ask(struct registry *registry, struct transfer *transfer, const char *url,
		 struct transfer_request *request, struct transfer_reply *reply,
		 struct cay_error *err)
{
	for (unsigned int tries = 0;; tries++) {
		struct cay_error why = { 0 };
		int r = registry_send(registry, transfer, url, false, request, reply, &why);

		if (r < 0 && (!reply->transient || tries + 1 >= FIRST_TRIES_MAX)) {
			if (err)
				*err = why;
			return r;
		}
		if (r == 0 && !registry_status_is_transient(reply->status))
			return 0;
		if (r == 0 && tries + 1 >= TRIES_MAX)
			return registry_tell_status(registry, reply, err);
		r = registry_pause(registry, tries, reply->retry_after, err);
		if (r < 0)
			return r;
	}
}

int registry_pause(struct registry *registry, unsigned int tries, unsigned int retry_after,
		   struct cay_error *err)
{
	const int64_t start = clock_monotonic_ms();
	int64_t length = (int64_t)registry->options.retry_ms << MIN(tries, 10U);
	uint16_t noise = 0;

	if (getrandom(&noise, sizeof(noise), 0) < 0)
		noise = 0; /* the pause is merely regular then */
	length = MIN(length, PAUSE_MAX_MS);
	length += length * noise / 65536 / 4;
	length = MAX(length, (int64_t)retry_after * 1000);
	while (clock_monotonic_ms() - start < length) {
		const struct timespec slice = { .tv_nsec = SLICE_MS * 1000000L };

		if (worker_is_cancelled(registry->options.cancel))
			return worker_cancelled(err);
		(void)nanosleep(&slice, NULL);
	}
	return 0;
}

bool registry_status_is_transient(int status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

static bool is_secret(const struct registry *registry, const char *text)
{
	const struct image_credentials *mine = registry->options.credentials;
	const char *secrets[] = {
		mine ? mine->password : NULL,
		mine ? mine->identity_token : NULL,
		mine ? mine->registry_token : NULL,
		registry->authorization ? strchr(registry->authorization, ' ') + 1 : NULL,
	};

	for (size_t i = 0; text && i < ARRAY_SIZE(secrets); i++)
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
	/* Of the whole: a piece of a secret would be shown where the text is cut. */
	(void)pthread_mutex_lock(&registry->lock);
	secret = is_secret(registry, code) || is_secret(registry, message);
	(void)pthread_mutex_unlock(&registry->lock);
	if (secret)
		return xasprintf("HTTP status %d", reply->status);
	buf_printf(&text, "%.*s: %.*s", SHOWN_MAX, code, SHOWN_MAX, message ? message : "");
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] >= 0 && !isprint(text.data[i]))
			text.data[i] = '?';
	return buf_steal(&text);
}

static bool sends_password(struct registry *registry)
{
	unsigned int generation;
	_cleanup_free_ char *authorization = copy_authorization(registry, &generation);

	return authorization && starts_with(authorization, "Basic ");
}

int registry_tell_status(struct registry *registry, const struct transfer_reply *reply,
			 struct cay_error *err)
{
	_cleanup_free_ char *text = error_text(registry, reply);

	switch (reply->status) {
	case 401:
	case 403:
		/* A registry that takes the password, and still refuses, says 403. */
		if (reply->status == 401 && sends_password(registry))
			return cay_error_set(err, CAY_UNAUTHORIZED, EACCES,
					     "the credentials are wrong: %s", text);
		return cay_error_set(err, CAY_UNAUTHORIZED, EACCES,
				     "%s access denied for %s, repository does not exist or may "
				     "require authentication: %s",
				     registry->options.push ? "push" : "pull",
				     registry->options.ref->repository, text);
	case 404:
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "not found: %s", text);
	case 429:
		return cay_error_set(err, CAY_UNAVAILABLE, EBUSY, "too many requests: %s", text);
	default:
		/* The specification's word for bytes that are not those of their digest. */
		return starts_with(text, "DIGEST_INVALID")
			? cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s", text)
			: cay_error_set(err, CAY_UNAVAILABLE, EIO, "%s", text);
	}
}
