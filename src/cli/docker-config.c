/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: finding it, reading the members about credentials, and writing it back. */
#include "cli/docker-config.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/secret.h"
#include "cli/json-edit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>

void credentials_done(struct credentials *credentials)
{
	free(credentials->username);
	secret_free(credentials->password);
	secret_free(credentials->identity_token);
	secret_free(credentials->registry_token);
	*credentials = (struct credentials){ 0 };
}

struct credentials credentials_take(struct credentials *credentials)
{
	struct credentials taken = *credentials;

	*credentials = (struct credentials){ 0 };
	return taken;
}

bool credentials_given(const struct credentials *credentials)
{
	return (credentials->username && credentials->password) || credentials->identity_token ||
		credentials->registry_token;
}

void docker_config_done(struct docker_config *config)
{
	free(config->path);
	secret_buf_done(&config->text);
	json_decref(config->auths);
	json_decref(config->helpers);
	free(config->store);
	*config = (struct docker_config){ 0 };
}

char *docker_config_path(void)
{
	const char *directory = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	const struct passwd *user;

	if (directory && *directory)
		return path_join(directory, "config.json");
	if (!home || !*home) {
		/* cppcheck-suppress getpwuidCalled ; cay has one thread */
		user = getpwuid(geteuid());
		home = user ? user->pw_dir : "/";
	}
	return path_join(home, ".docker/config.json");
}

char *registry_hostname(const char *address)
{
	if (starts_with(address, "https://"))
		address += strlen("https://");
	else if (starts_with(address, "http://"))
		address += strlen("http://");
	return xstrndup(address, strcspn(address, "/"));
}

static int malformed(const char *path, const char *what, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "%s: %s", path, what);
}

/* A member's value, which must be an object of its own, or null for none. */
static int parse_object(const char *path, const struct json_member *member, json_t **ret_object,
			struct cay_error *err)
{
	_cleanup_json_ json_t *value =
		json_loadb(member->value.data, member->value.length, JSON_DECODE_ANY, NULL);

	if (!value || !(json_is_object(value) || json_is_null(value)))
		return malformed(path, "\"auths\" or \"credHelpers\" is no object", err);
	json_decref(*ret_object);
	*ret_object = json_is_object(value) ? TAKE_PTR(value) : NULL;
	return 0;
}

static int parse_store(const char *path, const struct json_member *member, char **ret_store,
		       struct cay_error *err)
{
	_cleanup_json_ json_t *value =
		json_loadb(member->value.data, member->value.length, JSON_DECODE_ANY, NULL);
	const char *text = json_string_value(value);

	if (!text && !json_is_null(value))
		return malformed(path, "\"credsStore\" is no string", err);
	replace_string(ret_store, text && *text ? text : NULL);
	return 0;
}

static struct docker_config take_config(struct docker_config *config)
{
	struct docker_config taken = *config;

	*config = (struct docker_config){ 0 };
	return taken;
}

static struct str skip_space(struct str text)
{
	while (text.length > 0 && *text.data && strchr(" \t\r\n", *text.data)) {
		text.data++;
		text.length--;
	}
	return text;
}

/* Nothing, or "null" and nothing else: what else there is must not be lost to a login. */
static bool is_blank(const char *data, size_t size)
{
	static const char null[] = "null";
	struct str text = skip_space((struct str){ data, size });

	if (str_starts(text, null)) {
		text.data += strlen(null);
		text.length -= strlen(null);
		text = skip_space(text);
	}
	return text.length == 0;
}

int docker_config_parse(const char *path, const void *data, size_t size,
			struct docker_config *ret_config, struct cay_error *err)
{
	_cleanup_docker_config_ struct docker_config config = { .path = xstrdup(path) };
	struct json_member member;
	struct str object;
	int r = 0;

	if (is_blank(data, size)) {
		*ret_config = take_config(&config);
		return 0;
	}
	buf_append(&config.text, data, size);
	if (json_edit_object((struct str){ config.text.data, size }, &object) < 0)
		return malformed(path, "not a valid JSON object", err);
	for (size_t place = 0; r >= 0 && json_edit_next(object, &place, &member);) {
		if (json_member_is(&member, "auths", true))
			r = parse_object(path, &member, &config.auths, err);
		else if (json_member_is(&member, "credHelpers", true))
			r = parse_object(path, &member, &config.helpers, err);
		else if (json_member_is(&member, "credsStore", true))
			r = parse_store(path, &member, &config.store, err);
	}
	if (r < 0)
		return r;
	*ret_config = take_config(&config);
	return 0;
}

int docker_config_load(struct docker_config *ret_config, struct cay_error *err)
{
	_cleanup_free_ char *path = docker_config_path();
	_cleanup_secret_buf_ struct buf text = { 0 };
	int r = file_read(path, DOCKER_CONFIG_MAX, &text, err);

	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return r;
	if (r < 0)
		cay_error_clear(err);
	return docker_config_parse(path, buf_text(&text), text.length, ret_config, err);
}

/* A string of an entry, found by either case as Go does; "" counts as none. */
static char *entry_text(const json_t *entry, const char *name)
{
	const char *key, *text = NULL;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)entry, key, value) {
		if (strcasecmp(key, name) == 0 && json_is_string(value))
			text = json_string_value(value);
	}
	return text && *text ? xstrdup(text) : NULL;
}

/* "auth": the base64 of "user:password". Zeros at the password's end are docker's own padding. */
static int decode_auth(const char *auth, struct credentials *credentials)
{
	_cleanup_secret_buf_ struct buf plain = { 0 };
	const char *colon;
	int r;

	(void)buf_reserve(&plain, strlen(auth)); /* a buffer that grew would leave parts behind */
	r = base64_decode(str_from(auth), &plain);
	colon = r < 0 ? NULL : strchr(buf_text(&plain), ':');
	if (!colon) {
		r = -EINVAL;
	} else {
		free(credentials->username);
		secret_free(credentials->password);
		credentials->username = xstrndup(plain.data, (size_t)(colon - plain.data));
		credentials->password = colon[1] ? xstrdup(colon + 1) : NULL;
	}
	return r;
}

int docker_config_find(const struct docker_config *config, const char *key,
		       struct credentials *ret_credentials, struct cay_error *err)
{
	_cleanup_credentials_ struct credentials found = { 0 };
	const json_t *entry = json_object_get(config->auths, key);
	_cleanup_free_ char *auth = NULL;
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach(config->auths, name, value) {
		_cleanup_free_ char *host = registry_hostname(name);

		if (!entry && strcmp(host, key) == 0)
			entry = value;
	}
	if (!json_is_object(entry))
		return 0;
	found.username = entry_text(entry, "username");
	found.password = entry_text(entry, "password");
	found.identity_token = entry_text(entry, "identitytoken");
	found.registry_token = entry_text(entry, "registrytoken");
	auth = entry_text(entry, "auth");
	if (auth)
		r = decode_auth(auth, &found);
	secret_free(TAKE_PTR(auth));
	if (r < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "%s: the entry for %s is not the base64 of \"user:password\"; "
				     "\"cay registry login %s\" writes it anew",
				     config->path, key, key);
	*ret_credentials = credentials_take(&found);
	return 1;
}

/* ---- writing ---- */

/* Names that stand for the file at the end of symbolic links, also where that is not there yet. */
static char *follow_links(const char *path)
{
	char target[PATH_MAX];
	_cleanup_free_ char *at = xstrdup(path);

	for (int hops = 0; hops < 16; hops++) {
		ssize_t n = readlink(at, target, sizeof(target) - 1);
		const char *slash = strrchr(at, '/');
		_cleanup_free_ char *directory = NULL;

		if (n <= 0)
			break;
		target[n] = '\0';
		directory = slash ? xstrndup(at, (size_t)(slash - at)) : xstrdup(".");
		free(at);
		at = target[0] == '/' ? xstrdup(target) : path_join(directory, target);
	}
	return TAKE_PTR(at);
}

static int write_config(const struct docker_config *config, struct cay_error *err)
{
	_cleanup_free_ char *target = follow_links(config->path);
	struct stat before;
	bool existed = stat(target, &before) == 0;
	int r = file_write_atomic(target, buf_text(&config->text), config->text.length, 0600, err);

	/* With sudo the file in the user's own directory stays the user's. */
	if (r >= 0 && existed && before.st_uid != geteuid() &&
	    lchown(target, before.st_uid, before.st_gid) < 0)
		return cay_error_errno(err, errno, "giving %s back to its owner", target);
	return r;
}

int docker_config_change(int (*change)(struct docker_config *config, void *context,
				       struct cay_error *err),
			 void *context, struct cay_error *err)
{
	_cleanup_docker_config_ struct docker_config config = { 0 };
	_cleanup_free_ char *path = docker_config_path(), *directory = NULL;
	_cleanup_close_ int lock = -1;
	int r;

	directory = xstrndup(path, (size_t)(path_last(path) - path));
	r = make_dirs(directory, 0700, err);
	if (r < 0)
		return r;
	lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock >= 0)
		(void)flock(lock, LOCK_EX); /* not every file system has locks: docker uses none */
	r = docker_config_load(&config, err);
	if (r < 0)
		return cay_error_prefix(err, "the file is left as it is");
	if (config.text.length == 0)
		buf_puts(&config.text, "{}");
	r = change(&config, context, err);
	return r < 0 ? r : write_config(&config, err);
}

/* Docker's layout of an entry: a member a line, at the third level. */
static char *format_entry(const json_t *entry)
{
	_cleanup_buf_ struct buf out = { 0 };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)entry, key, value) {
		_cleanup_free_ char *name = json_edit_quote(key);
		_cleanup_free_ char *text = json_print(value);

		buf_printf(&out, "%s\n\t\t\t%s: %s", out.length > 0 ? "," : "{", name, text);
	}
	buf_puts(&out, out.length > 0 ? "\n\t\t}" : "{}");
	return buf_steal(&out);
}

static void set_auth(json_t *entry, const struct credentials *credentials)
{
	_cleanup_free_ char *encoded = NULL;
	char *plain;

	if (!credentials->username && !credentials->password)
		return;
	plain = xasprintf("%s:%s", credentials->username ? credentials->username : "",
			  credentials->password ? credentials->password : "");
	encoded = base64_encode(plain, strlen(plain), false);
	secret_free(plain);
	json_set_string(entry, "auth", encoded);
}

int docker_config_put(struct docker_config *config, const char *key,
		      const struct credentials *credentials, struct cay_error *err)
{
	static const char *const ours[] = { "auth",          "username",      "password",
					    "identitytoken", "registrytoken", "serveraddress" };
	const json_t *before = json_object_get(config->auths, key);
	_cleanup_json_ json_t *entry = json_object();
	_cleanup_free_ char *text = NULL;
	const char *name;
	json_t *value;

	set_auth(entry, credentials);
	json_object_foreach((json_t *)(uintptr_t)before, name, value) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
			known = known || strcasecmp(name, ours[i]) == 0;
		if (!known)
			json_set(entry, name, json_incref(value));
	}
	if (credentials->identity_token)
		json_set_string(entry, "identitytoken", credentials->identity_token);
	if (credentials->registry_token)
		json_set_string(entry, "registrytoken", credentials->registry_token);
	text = format_entry(entry);
	if (json_edit_set(&config->text, "auths", key, text) < 0)
		return malformed(config->path, "not a valid JSON object", err);
	return 0;
}
