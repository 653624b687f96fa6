/* SPDX-License-Identifier: Apache-2.0 */
/* The choice between helpers and the file, and what is sent to the daemon. */
#include "cli/credentials.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/secret.h"
#include "cli/credential-helper.h"
#include "cli/image-name.h"
#include "cli/json-edit.h"
#include "cli/text.h"

#include <errno.h>

#define HUB_KEY "https://index.docker.io/v1/"

char *credentials_key(const char *address)
{
	static const char *const hub[] = { "", "docker.io", "index.docker.io",
					   "registry-1.docker.io" };
	_cleanup_free_ char *host = registry_hostname(address ? address : "");

	for (size_t i = 0; i < ARRAY_SIZE(hub); i++)
		if (strcmp(host, hub[i]) == 0)
			return xstrdup(HUB_KEY);
	return TAKE_PTR(host);
}

char *credentials_key_of_image(const char *image)
{
	_cleanup_free_ char *full = image_name_expand(image);

	full[strcspn(full, "/")] = '\0';
	return credentials_key(full);
}

/*
 * The helper for a registry, or NULL for the file. Where nothing was ever stored docker looks for
 * the desktop's own keeper of secrets; with `detect` so does this.
 */
static const char *find_helper(const struct docker_config *config, const char *key, bool detect)
{
	const json_t *own = json_object_get(config->helpers, key);
	const char *keeper;

	if (json_is_string(own))
		return *json_string_value(own) ? json_string_value(own) : NULL;
	if (config->store)
		return config->store;
	if (!detect || json_object_size(config->helpers) > 0 || json_object_size(config->auths) > 0)
		return NULL;
	/* It is the keeper itself that decides; its helper alone would have nowhere to keep it. */
	keeper = program_exists("pass") ? "pass" : "secretservice";
	return helper_exists(keeper) ? keeper : NULL;
}

static int get_from(const struct docker_config *config, const char *key,
		    struct credentials *ret_credentials, struct cay_error *err)
{
	const char *helper = find_helper(config, key, true);

	return helper ? helper_get(helper, key, ret_credentials, err)
		      : docker_config_find(config, key, ret_credentials, err);
}

int credentials_get(const char *key, struct credentials *ret_credentials, struct cay_error *err)
{
	_cleanup_docker_config_ struct docker_config config = { 0 };
	int r = docker_config_load(&config, err);

	return r < 0 ? r : get_from(&config, key, ret_credentials, err);
}

struct storing {
	const char *key;
	const struct credentials *credentials;
	char *place;
};

static int store_in(struct docker_config *config, void *context, struct cay_error *err)
{
	struct storing *storing = context;
	const char *helper = find_helper(config, storing->key, true);
	_cleanup_free_ char *quoted = NULL;
	int r;

	if (!helper) {
		storing->place = xstrdup(config->path);
		return docker_config_put(config, storing->key, storing->credentials, err);
	}
	r = helper_store(helper, storing->key, storing->credentials, err);
	if (r < 0)
		return r;
	storing->place = xasprintf("the helper docker-credential-%s", helper);
	/* A helper that was found by looking is the configured one from now on. */
	quoted = json_edit_quote(helper);
	if (!find_helper(config, storing->key, false) &&
	    json_edit_set(&config->text, "credsStore", NULL, quoted) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s: not a valid JSON object",
				     config->path);
	/* Like docker, an entry without secrets says that the registry is known. */
	return docker_config_put(config, storing->key, &(const struct credentials){ 0 }, err);
}

int credentials_store(const char *key, const struct credentials *credentials, char **ret_place,
		      struct cay_error *err)
{
	struct storing storing = { .key = key, .credentials = credentials };
	int r = docker_config_change(store_in, &storing, err);

	if (r < 0)
		free(storing.place);
	else
		*ret_place = storing.place;
	return r;
}

struct erasing {
	const char *key;
	bool found;
};

/* Under every name it may have been stored as, by this or by an older client. */
static int erase_from(struct docker_config *config, void *context, struct cay_error *err)
{
	struct erasing *erasing = context;
	const char *const formats[] = { "%s", "http://%s", "https://%s" };
	bool hub = strcmp(erasing->key, HUB_KEY) == 0;
	const char *helper = find_helper(config, erasing->key, true);

	for (size_t i = 0; i < (hub ? 1 : ARRAY_SIZE(formats)); i++) {
		_cleanup_free_ char *name = xasprintf("%.*s%s", (int)strcspn(formats[i], "%"),
						      formats[i], erasing->key);
		int removed = json_edit_remove(&config->text, "auths", name);

		if (removed < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "%s: not a valid JSON object", config->path);
		erasing->found = erasing->found || removed > 0;
		if (helper && i > 0) /* most know no other name: no failure */
			(void)helper_erase(helper, name, &(struct cay_error){ 0 });
	}
	if (!helper)
		return 0;
	erasing->found = true;
	return helper_erase(helper, erasing->key, err);
}

int credentials_erase(const char *key, struct cay_error *err)
{
	_cleanup_free_ char *path = docker_config_path();
	struct erasing erasing = { .key = key };
	int r;

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0; /* not to be made for this */
	r = docker_config_change(erase_from, &erasing, err);
	return r < 0 ? r : erasing.found;
}

/* ---- listing ---- */

static void collect_auths(const struct docker_config *config, json_t *users)
{
	const char *key;
	json_t *value;

	json_object_foreach(config->auths, key, value) {
		_cleanup_credentials_ struct credentials found = { 0 };
		struct cay_error unreadable;

		if (docker_config_find(config, key, &found, &unreadable) > 0 &&
		    credentials_given(&found))
			json_set_string(users, key, found.username ? found.username : "<token>");
	}
}

static int collect_helpers(const struct docker_config *config, json_t *users)
{
	const char *store = find_helper(config, "", true), *key;
	_cleanup_json_ json_t *listed = NULL;
	struct cay_error failure;
	int status = 0;
	json_t *value;

	if (store && helper_list(store, &listed, &failure) < 0) {
		text_complain("%s", failure.message);
		status = 1;
	}
	(void)json_object_update(users, listed);
	json_object_foreach(config->helpers, key, value) {
		_cleanup_credentials_ struct credentials found = { 0 };
		const char *helper = json_string_value(value);
		int r;

		if (!helper || !*helper)
			continue;
		r = helper_get(helper, key, &found, &failure);
		if (r < 0) {
			text_complain("%s", failure.message);
			status = 1;
		} else if (r > 0) {
			json_set_string(users, key, found.username ? found.username : "<token>");
		}
	}
	return status;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int credentials_list(void (*each)(void *context, const char *key, const char *username),
		     void *context, struct cay_error *err)
{
	_cleanup_docker_config_ struct docker_config config = { 0 };
	_cleanup_json_ json_t *users = json_object();
	_cleanup_free_ const char **names = NULL;
	size_t count = 0;
	const char *key;
	json_t *value;
	int r = docker_config_load(&config, err);

	if (r < 0)
		return r;
	collect_auths(&config, users);
	r = collect_helpers(&config, users);
	names = xcalloc(json_object_size(users) + 1, sizeof(*names));
	json_object_foreach(users, key, value) {
		names[count++] = key;
	}
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++)
		each(context, names[i], json_string_value(json_object_get(users, names[i])));
	return r;
}

/* ---- for the daemon ---- */

json_t *credentials_json(const char *key, const struct credentials *credentials)
{
	json_t *value = json_object();

	if (credentials->username)
		json_set_string(value, "username", credentials->username);
	if (credentials->password)
		json_set_string(value, "password", credentials->password);
	json_set_string(value, "serveraddress", key);
	if (credentials->identity_token)
		json_set_string(value, "identitytoken", credentials->identity_token);
	if (credentials->registry_token)
		json_set_string(value, "registrytoken", credentials->registry_token);
	return value;
}

int credentials_header(const char *image, char **ret_header, struct cay_error *err)
{
	_cleanup_docker_config_ struct docker_config config = { 0 };
	_cleanup_credentials_ struct credentials found = { 0 };
	_cleanup_free_ char *key = credentials_key_of_image(image);
	_cleanup_secret_ char *text = NULL;
	_cleanup_json_ json_t *value = NULL;
	int r = docker_config_load(&config, err);

	if (r >= 0)
		r = get_from(&config, key, &found, err);
	/* Most images need none, and a helper often belongs to a desktop that is not here. */
	if (r < 0) {
		text_complain("warning: going on without credentials for %s: %s", key,
			      err->message);
		cay_error_clear(err);
	}
	value = credentials_given(&found) ? credentials_json(key, &found) : json_object();
	text = json_print(value);
	*ret_header = base64_encode(text, strlen(text), true);
	return 0;
}
