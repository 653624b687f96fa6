/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a registry: where it is, what it speaks, whom it trusts. */
#include "image/registry-internal.h"

#include "base/alloc.h"
#include "base/secret.h"

#include <errno.h>
#include <strings.h>

enum { PROBE_SECONDS = 10 };

/* A host without a port stands for all its ports, as for docker. */
bool registry_is_insecure(const struct registry *registry, const struct url *url)
{
	const char *open = strchr(url->host, ':') ? "[" : "", *close = *open ? "]" : "";
	_cleanup_free_ char *with_port = xasprintf("%s%s%s:%s", open, url->host, close, url->port);
	_cleanup_free_ char *alone = xasprintf("%s%s%s", open, url->host, close);
	const struct strv *list = registry->options.insecure;

	for (size_t i = 0; list && i < list->count; i++) {
		const char *entry = list->items[i];

		if (strcasecmp(entry, with_port) == 0 || strcasecmp(entry, alone) == 0)
			return true;
		if (strchr(entry, '/') && host_in_network(url->host, entry))
			return true;
	}
	return false;
}

char *registry_url(const struct registry *registry, const char *kind, const char *name)
{
	return xasprintf("%s/%s/%s/%s", registry->base, registry->options.ref->repository, kind,
			 name);
}

void security_done(struct security *security)
{
	certs_done(&security->certs);
}

/*
 * The registry's authorities hold for the servers it leads to as well, which a private registry's
 * token server needs. Our certificate is shown to the registry alone, and another's to that other.
 */
int registry_security(const struct registry *registry, const struct url *url,
		      struct security *ret_security, struct cay_error *err)
{
	struct security security = { 0 };
	const bool own = url_same_server(url, &registry->url);
	_cleanup_free_ char *name = NULL;
	int r = 0;

	if (!url->https) {
		*ret_security = security;
		return 0;
	}
	security.unverified = own ? registry->insecure : registry_is_insecure(registry, url);
	if (!own) {
		name = url_server(url);
		r = certs_load(registry->options.certs, name, &security.certs, err);
	} else if (registry->certs.certificate) {
		security.certs.certificate = xstrdup(registry->certs.certificate);
		security.certs.key = xstrdup(registry->certs.key);
	}
	if (r < 0)
		return r;
	buf_append(&security.certs.authorities, buf_text(&registry->certs.authorities),
		   registry->certs.authorities.length);
	*ret_security = security;
	return 0;
}

bool registry_is_guarded(const struct registry *registry, const struct url *url,
			 const struct security *security)
{
	if (registry->local || url_same_server(url, &registry->url))
		return false;
	return !url->https || security->unverified ||
		strcasecmp(url->host, registry->url.host) != 0;
}

static int set_base(struct registry *registry, bool https, struct cay_error *err)
{
	const struct image_ref *ref = registry->options.ref;
	/* The host people write is the hub's name; its registry answers under another. */
	const char *host = strcmp(ref->registry, HUB_NAME) == 0 ? HUB_SERVER : ref->registry;
	const char *mirror = registry->options.mirror;

	free(registry->base);
	registry->base = mirror ? xasprintf("%s%sv2", mirror, ends_with(mirror, "/") ? "" : "/")
				: xasprintf("%s://%s/v2", https ? "https" : "http", host);
	url_done(&registry->url);
	return url_parse(registry->base, &registry->url, err);
}

struct transfer *registry_borrow(struct registry *registry)
{
	struct transfer *transfer = NULL;

	(void)pthread_mutex_lock(&registry->lock);
	if (registry->idle_count > 0)
		transfer = registry->idle[--registry->idle_count];
	(void)pthread_mutex_unlock(&registry->lock);
	return transfer ? transfer : transfer_new();
}

void registry_give_back(struct registry *registry, struct transfer *transfer)
{
	(void)pthread_mutex_lock(&registry->lock);
	registry->idle =
		xreallocarray(registry->idle, registry->idle_count + 1, sizeof(struct transfer *));
	registry->idle[registry->idle_count++] = transfer;
	(void)pthread_mutex_unlock(&registry->lock);
}

/* Whether anything speaks TLS at the base. */
static bool speaks_tls(struct registry *registry)
{
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	struct transfer *transfer = registry_borrow(registry);
	_cleanup_free_ char *url = xasprintf("%s/", registry->base);
	bool found;
	const struct transfer_request request = {
		.url = url,
		.direct = url_is_local(&registry->url),
		.certs = &registry->certs,
		.unverified = true,
		/* A server of plain HTTP may wait for the end of a line. */
		.idle_seconds = MIN(registry->options.idle_seconds, (unsigned int)PROBE_SECONDS),
		.cancel = registry->options.cancel,
		.limit = TRANSFER_ERROR_MAX,
	};

	found = transfer_run(transfer, &request, &reply, NULL) == 0;
	registry_give_back(registry, transfer);
	return found;
}

/*
 * An insecure registry may speak either. TLS is asked for first, as it is better, and as many a
 * server answers plain HTTP on its port of TLS too, only to lead away from it; what is asked for
 * TLS on a port of plain HTTP takes it for a malformed request and says so at once.
 */
static int find_scheme(struct registry *registry, struct cay_error *err)
{
	int r = set_base(registry, true, err);

	if (r == 0 && !speaks_tls(registry))
		r = set_base(registry, false, err);
	return r;
}

/* Reads what is configured for it and settles on a scheme. */
static int set_up(struct registry *registry, struct cay_error *err)
{
	const struct image_credentials *mine = registry->options.credentials;
	const char *name = registry->options.ref->registry;
	_cleanup_free_ char *mirror_name = NULL;
	bool listed;
	int r = set_base(registry, true, err);

	if (r == 0 && mine && mine->registry_token) {
		r = auth_check_token(mine->registry_token, err);
		registry->authorization = xasprintf("Bearer %s", mine->registry_token);
	}
	if (r < 0)
		return r;
	listed = registry_is_insecure(registry, &registry->url);
	registry->local = url_is_local(&registry->url);
	if (registry->options.mirror) {
		mirror_name = url_server(&registry->url);
		name = mirror_name;
	}
	r = certs_load(registry->options.certs, name, &registry->certs, err);
	if (r < 0)
		return r;
	/* Who has given an authority for a registry on loopback wants it to be used. */
	registry->insecure = listed ||
		(url_is_loopback(&registry->url) && registry->certs.authorities.length == 0);
	return registry->insecure && !registry->options.mirror ? find_scheme(registry, err) : 0;
}

int registry_open(const struct registry_options *options, struct registry **ret_registry,
		  struct cay_error *err)
{
	struct registry *registry = xcalloc(1, sizeof(*registry));
	int r;

	registry->options = *options;
	(void)pthread_mutex_init(&registry->lock, NULL); /* can't fail on Linux */
	r = set_up(registry, err);
	if (r < 0) {
		registry_close(registry);
		return cay_error_prefix(err, "registry %s",
					options->mirror ? options->mirror : options->ref->registry);
	}
	*ret_registry = registry;
	return 0;
}

void registry_close(struct registry *registry)
{
	if (!registry)
		return;
	(void)pthread_mutex_destroy(&registry->lock);
	for (size_t i = 0; i < registry->idle_count; i++)
		transfer_free(registry->idle[i]);
	free(registry->idle);
	url_done(&registry->url);
	certs_done(&registry->certs);
	free(registry->base);
	secret_free(registry->authorization);
	secret_free(registry->identity_token);
	free(registry);
}

int registry_check_mirror(const char *url, struct cay_error *err)
{
	_cleanup_url_ struct url parts = { 0 };
	const char *path = strstr(url, "://");
	int r = url_parse(url, &parts, err);

	if (r < 0)
		return r;
	path = path ? strpbrk(path + 3, "/?#") : "?";
	if (path && strcmp(path, "/") != 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "it has more than a host and a port");
	return 0;
}
