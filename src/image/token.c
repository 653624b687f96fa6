/* SPDX-License-Identifier: Apache-2.0 */
/* Answering a registry's challenge: basic credentials, or a token from the realm it names. */
#include "image/registry-internal.h"

#include "base/alloc.h"
#include "base/secret.h"

#include <curl/curl.h>
#include <errno.h>

enum { TOKEN_ANSWER_MAX = 64 * 1024, URL_MAX = 4096, REALM_REDIRECTS_MAX = 10 };

static const struct image_credentials no_credentials;

static const struct image_credentials *credentials(const struct registry *registry)
{
	return registry->options.credentials ? registry->options.credentials : &no_credentials;
}

/*
 * Where tokens come from is the registry's to say, but not freely: a registry elsewhere has no
 * business with servers on this host or its link, and secrets of an encrypted registry do not
 * travel in the clear.
 */
static int check_realm(const struct registry *registry, const struct url *realm,
		       struct cay_error *err)
{
	if (!registry->local && url_is_local(realm))
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "the registry names a token server on this host or its link, "
				     "which is refused");
	if (registry->url.https && !realm->https)
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "the registry names a token server without encryption, which "
				     "is refused");
	return 0;
}

/* Plain HTTP carries credentials only to where the user has said so, or not off this host. */
static bool may_send_credentials(const struct registry *registry, const struct url *realm)
{
	return realm->https || url_same_server(realm, &registry->url) ||
		registry_is_insecure(registry, realm) || url_is_loopback(realm);
}

static void add_query(struct buf *out, const char *name, const char *value)
{
	char *escaped = value ? curl_easy_escape(NULL, value, 0) : NULL;

	if (escaped)
		buf_printf(out, "%s%s=%s", out->length && !ends_with(buf_text(out), "?") ? "&" : "",
			   name, escaped);
	curl_free(escaped);
}

/*
 * What is asked for is our own wish: a registry could otherwise ask for more. A login asks for
 * nothing.
 */
static void make_scopes(const struct registry *registry, struct strv *out)
{
	const struct registry_options *options = &registry->options;

	if (registry->login)
		return;
	strv_addf(out, "repository:%s:%s", options->ref->repository,
		  options->push ? "pull,push" : "pull");
	for (size_t i = 0; options->pull_from && i < options->pull_from->count; i++)
		strv_addf(out, "repository:%s:pull", options->pull_from->items[i]);
}

/* The refresh form of OAuth 2, for docker's identity tokens; the result is a secret. */
static char *refresh_form(const struct challenge *challenge, const struct strv *scopes,
			  const char *token)
{
	_cleanup_buf_ struct buf joined = { 0 };
	struct buf form = { 0 };

	for (size_t i = 0; i < scopes->count; i++)
		buf_printf(&joined, "%s%s", i > 0 ? " " : "", scopes->items[i]);

	add_query(&form, "grant_type", "refresh_token");
	add_query(&form, "service", challenge->service);
	add_query(&form, "scope", joined.data);
	add_query(&form, "client_id", "cay");
	add_query(&form, "refresh_token", token);
	return buf_steal(&form);
}

static char *token_url(const struct registry *registry, const struct challenge *challenge,
		       const struct strv *scopes)
{
	struct buf url = { 0 };

	buf_printf(&url, "%s%s", challenge->realm, strchr(challenge->realm, '?') ? "" : "?");
	add_query(&url, "service", challenge->service);
	for (size_t i = 0; i < scopes->count; i++)
		add_query(&url, "scope", scopes->items[i]);
	if (registry->login) {
		add_query(&url, "account", credentials(registry)->username);
		add_query(&url, "client_id", "cay");
		add_query(&url, "offline_token", "true");
	}
	return buf_steal(&url);
}

static int read_answer(struct registry *registry, const struct transfer_reply *reply,
		       char **ret_authorization, struct cay_error *err)
{
	int r = auth_read_token(buf_text(&reply->body), reply->body.length, ret_authorization, err);

	if (r == 0 && registry->login)
		r = auth_read_refresh_token(buf_text(&reply->body), reply->body.length,
					    &registry->identity_token, err);
	return r;
}

static int tell_refusal(const struct transfer_reply *reply, const struct url *realm, bool sent,
			struct cay_error *err)
{
	if (reply->status == 401 || reply->status == 403)
		return cay_error_set(
			err, CAY_UNAUTHORIZED, EACCES, "%s refuses a token: %s", realm->host,
			sent ? "the credentials are wrong" : "authentication is required");
	return cay_error_set(err, CAY_UNAVAILABLE, EIO, "asking %s for a token: HTTP status %d",
			     realm->host, reply->status);
}

/* The request to the realm, again where it fails in passing: much may hang on it. */
static int ask_realm(struct registry *registry, struct transfer *transfer,
		     const struct transfer_request *request, struct transfer_reply *reply,
		     struct cay_error *err)
{
	for (unsigned int tries = 0;; tries++) {
		struct cay_error why = { 0 };
		int r;

		transfer_reply_done(reply);
		r = transfer_run(transfer, request, reply, &why);
		if (tries + 1 >= FIRST_TRIES_MAX ||
		    !(r < 0 ? reply->transient : registry_status_is_transient(reply->status))) {
			if (r < 0 && err)
				*err = why;
			return r;
		}
		r = registry_pause(registry, tries, reply->retry_after, err);
		if (r < 0)
			return r;
	}
}

/* What goes to the realm, as far as it is secret: one of these at most. */
struct proof {
	const char *basic; /* a header's value */
	const char *form;  /* with an identity token in it */
};

/* Asks the realm, or whom it led to. */
static int ask_at(struct registry *registry, struct transfer *transfer, const char *url,
		  const struct url *parts, const struct proof *proof, struct transfer_reply *reply,
		  struct cay_error *err)
{
	_cleanup_security_ struct security security = { 0 };
	int r = registry_security(registry, parts, &security, err);

	if (r < 0)
		return r;
	const struct transfer_request request = {
		.url = url,
		.authorization = proof->basic,
		.form = proof->form,
		.direct = url_is_local(parts),
		.guarded = registry_is_guarded(registry, parts, &security),
		.certs = &security.certs,
		.unverified = security.unverified,
		.idle_seconds = registry->options.idle_seconds,
		.cancel = registry->options.cancel,
		.limit = TOKEN_ANSWER_MAX,
	};

	r = ask_realm(registry, transfer, &request, reply, err);
	return r < 0 ? cay_error_prefix(err, "asking %s for a token", parts->host) : 0;
}

/* Whether a token server may lead to another URL. A form is a secret, and nothing without it. */
static int check_redirect(const struct registry *registry, const struct url *from,
			  const struct url *to, bool with_form, struct cay_error *err)
{
	if (from->https && !to->https)
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "a way from https to http (%s) is refused", to->host);
	if (with_form && !url_same_server(from, to))
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "the token server leads to another, %s, which does not get "
				     "the identity token",
				     to->host);
	return check_realm(registry, to, err);
}

/* Asks the realm and follows where it leads; what is secret stays with the realm's server. */
static int ask_along(struct registry *registry, struct transfer *transfer, const char *url,
		     const struct proof *proof, struct transfer_reply *reply, struct cay_error *err)
{
	_cleanup_url_ struct url realm = { 0 }, at = { 0 };
	_cleanup_free_ char *text = xstrdup(url);
	int r = url_parse(url, &realm, err);

	if (r == 0)
		r = url_parse(url, &at, err);
	for (unsigned int hops = 0; r == 0; hops++) {
		const bool own = url_same_server(&at, &realm);
		_cleanup_url_ struct url to = { 0 };

		r = ask_at(registry, transfer, text, &at, own ? proof : &(struct proof){ 0 }, reply,
			   err);
		/* Other redirects of a form would make a question without it. */
		if (r < 0 || !reply->redirect ||
		    (proof->form && reply->status != 307 && reply->status != 308))
			break;
		if (hops >= REALM_REDIRECTS_MAX)
			return cay_error_set(err, CAY_UNAVAILABLE, ELOOP,
					     "the token server %s: more than %d redirects",
					     realm.host, REALM_REDIRECTS_MAX);
		if (strlen(reply->redirect) > URL_MAX)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "the token server %s: a malformed redirect",
					     realm.host);
		r = url_parse(reply->redirect, &to, err);
		if (r < 0)
			return cay_error_prefix(err, "the token server %s: a malformed redirect",
						realm.host);
		r = check_redirect(registry, &at, &to, proof->form, err);
		replace_string(&text, reply->redirect);
		url_done(&at);
		at = to;
		to = (struct url){ 0 };
	}
	return r;
}

/* Asks the realm. */
static int fetch_token(struct registry *registry, struct transfer *transfer,
		       const struct challenge *challenge, char **ret_authorization,
		       struct cay_error *err)
{
	const struct image_credentials *mine = credentials(registry);
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	_cleanup_free_ char *url = NULL, *basic = NULL, *form = NULL;
	_cleanup_strv_ struct strv scopes = { 0 };
	_cleanup_url_ struct url realm = { 0 };
	bool send;
	int r;

	if (strlen(challenge->realm) > URL_MAX || strchr(challenge->realm, '#'))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the registry names a malformed token server");
	r = url_parse(challenge->realm, &realm, err);
	if (r < 0)
		return cay_error_prefix(err, "the registry names a malformed token server");
	r = check_realm(registry, &realm, err);
	if (r < 0)
		return r;
	send = may_send_credentials(registry, &realm);
	make_scopes(registry, &scopes);
	if (send && mine->identity_token)
		form = refresh_form(challenge, &scopes, mine->identity_token);
	else if (send && mine->username && mine->password)
		basic = auth_basic(mine->username, mine->password);
	url = form ? xstrdup(challenge->realm) : token_url(registry, challenge, &scopes);
	r = ask_along(registry, transfer, url, &(struct proof){ basic, form }, &reply, err);
	if (r < 0)
		return r;
	if (reply.status != 200)
		return tell_refusal(&reply, &realm, basic || form, err);
	return read_answer(registry, &reply, ret_authorization, err);
}

/* Locked. */
static int authorize(struct registry *registry, struct transfer *transfer,
		     const struct strv *headers, struct cay_error *err)
{
	const struct image_credentials *mine = credentials(registry);
	_cleanup_challenges_ struct challenges challenges = { 0 };
	const struct challenge *challenge;
	char *authorization = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < headers->count; i++)
		r = challenges_parse(headers->items[i], &challenges, err);
	if (r < 0)
		return r;
	challenge = challenges_choose(&challenges);
	if (mine->registry_token)
		r = cay_error_set(err, CAY_UNAUTHORIZED, EACCES, "the token is refused");
	else if (challenge && challenge->scheme == AUTH_BEARER)
		r = fetch_token(registry, transfer, challenge, &authorization, err);
	else if (challenge && mine->username && mine->password && !registry->authorization)
		authorization = auth_basic(mine->username, mine->password);
	else
		r = cay_error_set(err, CAY_UNAUTHORIZED, EACCES, "%s",
				  registry->authorization ? "the credentials are wrong"
					  : challenge     ? "authentication is required"
							  : "it refuses without saying how to "
							    "authenticate");
	if (r < 0)
		return r;
	secret_free(registry->authorization);
	registry->authorization = authorization;
	registry->generation++;
	return 0;
}

int registry_authorize(struct registry *registry, struct transfer *transfer,
		       const struct strv *headers, unsigned int generation, struct cay_error *err)
{
	int r = 0;

	(void)pthread_mutex_lock(&registry->lock);
	if (registry->generation == generation)
		r = authorize(registry, transfer, headers, err);
	(void)pthread_mutex_unlock(&registry->lock);
	return r;
}

int registry_login(struct registry *registry, struct transfer *transfer, char **ret_identity_token,
		   struct cay_error *err)
{
	_cleanup_free_ char *url = xasprintf("%s/", registry->base);
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	struct transfer_request request = { .limit = TRANSFER_ERROR_MAX };
	int r;

	registry->login = true;
	r = registry_ask(registry, transfer, url, &request, &reply, err);
	if (r < 0)
		return r;
	if (reply.status == 401 || reply.status == 403)
		return cay_error_set(err, CAY_UNAUTHORIZED, EACCES, "the credentials are wrong");
	if (reply.status != 200)
		return registry_tell_status(registry, &reply, err);
	*ret_identity_token = TAKE_PTR(registry->identity_token);
	return 0;
}
