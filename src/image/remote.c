/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to registries that move no image: logins, tags, what a reference leads to. */
#include "base/alloc.h"
#include "image/certs.h"
#include "image/progress.h"
#include "image/registry.h"
#include "image/store-internal.h"

#include <errno.h>
#include <strings.h>

/* One question and what it needs. All zeros before asker_open(). */
struct asker {
	struct image_ref ref;
	struct registry *registry;
	struct transfer *transfer;
	const struct image_progress_sink *sink;
	struct worker_cancel cancel;
};

static void asker_done(struct asker *asker)
{
	registry_close(asker->registry);
	transfer_free(asker->transfer);
	image_ref_done(&asker->ref);
}

static bool is_cancelled(void *user)
{
	const struct asker *asker = user;

	return progress_sink_is_cancelled(asker->sink);
}

/* With the reference filled in. */
static int asker_open(struct asker *asker, const struct image_store *store,
		      const struct image_credentials *credentials,
		      const struct image_progress_sink *sink, struct cay_error *err)
{
	const struct registry_options options = {
		.ref = &asker->ref,
		.insecure = &store->insecure,
		.certs = &store->certs,
		.credentials = credentials,
		.cancel = &asker->cancel,
		.idle_seconds = store->idle_seconds,
		.retry_ms = store->retry_ms,
	};

	asker->sink = sink;
	asker->cancel = (struct worker_cancel){ is_cancelled, asker };
	asker->transfer = transfer_new();
	return registry_open(&options, &asker->registry, err);
}

int image_store_remote_tags(struct image_store *store, const char *reference,
			    const struct image_credentials *credentials,
			    const struct image_progress_sink *sink, struct strv *ret_tags,
			    struct cay_error *err)
{
	_cleanup_(asker_done) struct asker asker = { 0 };
	_cleanup_strv_ struct strv tags = { 0 };
	int r = image_ref_parse(reference, &asker.ref, err);

	if (r == 0)
		r = asker_open(&asker, store, credentials, sink, err);
	if (r == 0)
		r = registry_get_tags(asker.registry, asker.transfer, &tags, err);
	if (r < 0)
		return cay_error_prefix(err, "the tags of %.256s", reference);
	*ret_tags = tags;
	tags = (struct strv){ 0 };
	return 0;
}

void image_remote_done(struct image_remote *remote)
{
	for (size_t i = 0; i < remote->platform_count; i++) {
		free(remote->platforms[i].os);
		free(remote->platforms[i].architecture);
		free(remote->platforms[i].variant);
	}
	free(remote->platforms);
	free(remote->media_type);
	*remote = (struct image_remote){ 0 };
}

static void add_platform(struct image_remote *remote, const struct platform *platform)
{
	struct image_remote_platform *added;

	remote->platforms = xreallocarray(remote->platforms, remote->platform_count + 1,
					  sizeof(*remote->platforms));
	added = &remote->platforms[remote->platform_count++];
	*added = (struct image_remote_platform){
		xstrdup(platform->os ? platform->os : ""),
		xstrdup(platform->architecture ? platform->architecture : ""),
		xstrdup(platform->variant)
	};
}

/* A manifest does not say what it is for: its configuration does. */
static int add_config_platform(struct asker *asker, const struct manifest *manifest,
			       struct image_remote *remote, struct cay_error *err)
{
	_cleanup_image_config_ struct image_config config = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	int r = registry_get_config(asker->registry, asker->transfer, &manifest->config, &text,
				    err);

	if (r == 0)
		r = image_config_parse(text.data, text.length, manifest->item_count, &config, err);
	if (r == 0)
		add_platform(remote, &config.platform);
	return r;
}

static int inspect(struct asker *asker, struct image_remote *remote, struct cay_error *err)
{
	const char *name = asker->ref.digest ? asker->ref.digest : asker->ref.tag;
	_cleanup_manifest_ struct manifest manifest = { 0 };
	_cleanup_free_ char *announced = NULL;
	_cleanup_buf_ struct buf text = { 0 };
	int r = registry_get_manifest(asker->registry, asker->transfer, name, &text, &announced,
				      err);

	if (r == 0)
		r = manifest_parse(text.data, text.length, announced, &manifest, err);
	if (r < 0)
		return r;
	digest_of(text.data, text.length, remote->digest);
	if (asker->ref.digest && strcmp(remote->digest, asker->ref.digest) != 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the registry sent a manifest with the digest %s",
				     remote->digest);
	remote->size = text.length;
	remote->media_type = xstrdup(manifest.media_type);
	for (size_t i = 0; manifest.is_index && i < manifest.item_count; i++)
		add_platform(remote, &manifest.items[i].platform);
	return manifest.is_index ? 0 : add_config_platform(asker, &manifest, remote, err);
}

int image_store_inspect_remote(struct image_store *store, const char *reference,
			       const struct image_credentials *credentials,
			       const struct image_progress_sink *sink,
			       struct image_remote *ret_remote, struct cay_error *err)
{
	_cleanup_(asker_done) struct asker asker = { 0 };
	struct image_remote remote = { 0 };
	int r = image_ref_parse(reference, &asker.ref, err);

	if (r == 0)
		r = asker_open(&asker, store, credentials, sink, err);
	if (r == 0)
		r = inspect(&asker, &remote, err);
	if (r < 0) {
		image_remote_done(&remote);
		return cay_error_prefix(err, "%.256s", reference);
	}
	*ret_remote = remote;
	return 0;
}

/* "https://index.docker.io/v1/" and "host:5000/" are what clients call registries, too. */
static int parse_server(const char *address, struct image_ref *ref, struct cay_error *err)
{
	static const char *const hub[] = { "", "docker.io", "index.docker.io",
					   "registry-1.docker.io" };
	const char *host = starts_with(address, "https://") ? address + strlen("https://")
		: starts_with(address, "http://")           ? address + strlen("http://")
							    : address;

	ref->registry = xstrndup(host, strcspn(host, "/"));
	ref->repository = xstrdup("");
	for (size_t i = 0; i < ARRAY_SIZE(hub); i++)
		if (strcasecmp(ref->registry, hub[i]) == 0)
			replace_string(&ref->registry, "docker.io");
	if (!certs_name_is_valid(ref->registry))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%.256s\" is not the address of a registry", address);
	return 0;
}

int image_store_login(struct image_store *store, const char *address,
		      const struct image_credentials *credentials,
		      const struct image_progress_sink *sink, char **ret_identity_token,
		      struct cay_error *err)
{
	_cleanup_(asker_done) struct asker asker = { 0 };
	int r = parse_server(address, &asker.ref, err);

	if (r < 0)
		return r;
	r = asker_open(&asker, store, credentials, sink, err);
	if (r == 0)
		r = registry_login(asker.registry, asker.transfer, ret_identity_token, err);
	return r < 0 ? cay_error_prefix(err, "login to %s", asker.ref.registry) : 0;
}
