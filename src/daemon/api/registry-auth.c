/* SPDX-License-Identifier: Apache-2.0 */
/* The X-Registry-Auth header: base64 of JSON, and nothing of it left in memory after use. */
#include "daemon/api/registry-auth.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/secret.h"

#include <errno.h>

void registry_auth_done(struct registry_auth *auth)
{
	free(auth->username);
	secret_free(auth->password);
	secret_free(auth->identity_token);
	secret_free(auth->registry_token);
	*auth = (struct registry_auth){};
}

/* jansson hands out its own memory as const; it is ours to wipe all the same. */
static void wipe_member(json_t *object, const char *key)
{
	json_t *member = json_object_get(object, key);

	if (json_is_string(member))
		explicit_bzero((char *)json_string_value(member), json_string_length(member));
}

static int read_auth(json_t *object, struct registry_auth *auth, struct cay_error *err)
{
	int r = json_read_string(object, "username", &auth->username, err);

	if (r == 0)
		r = json_read_string(object, "password", &auth->password, err);
	if (r == 0)
		r = json_read_string(object, "identitytoken", &auth->identity_token, err);
	if (r == 0)
		r = json_read_string(object, "registrytoken", &auth->registry_token, err);
	return r;
}

static int refuse(struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EINVAL,
			     "X-Registry-Auth is not the base64 of a JSON object");
}

/* "" is how clients say that there is none. */
static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

struct image_credentials registry_auth_credentials(const struct registry_auth *auth)
{
	return (struct image_credentials){ or_null(auth->username), or_null(auth->password),
					   or_null(auth->identity_token),
					   or_null(auth->registry_token) };
}

int registry_auth_read(json_t *object, struct registry_auth *ret_auth, struct cay_error *err)
{
	static const char *const secrets[] = { "password", "identitytoken", "registrytoken",
					       "auth" };
	_cleanup_registry_auth_ struct registry_auth auth = {};
	int r = read_auth(object, &auth, err);

	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		wipe_member(object, secrets[i]);
	if (r < 0)
		return r;
	*ret_auth = auth;
	auth = (struct registry_auth){};
	return 0;
}

static int parse_decoded(const char *data, size_t size, struct registry_auth *ret_auth,
			 struct cay_error *err)
{
	_cleanup_json_ json_t *object = NULL;

	/* The parser's own words might quote the secret. */
	if (json_parse(data, size, "X-Registry-Auth", &object, NULL) < 0)
		return refuse(err);
	if (json_is_null(object))
		return 0;
	if (!json_is_object(object))
		return refuse(err);
	return registry_auth_read(object, ret_auth, err);
}

int registry_auth_parse(const char *header, struct registry_auth *ret_auth, struct cay_error *err)
{
	struct str text = str_from(header);
	_cleanup_secret_buf_ struct buf decoded = {};
	int r;

	if (text.length == 0)
		return 0;
	if (text.length > REGISTRY_AUTH_MAX)
		return cay_error_set(err, CAY_INVALID, E2BIG, "X-Registry-Auth is over %d bytes",
				     REGISTRY_AUTH_MAX);
	/* All at once: memory that was grown out of would keep a part of the secret. */
	(void)buf_reserve(&decoded, text.length);
	r = base64_decode(text, &decoded);
	return r < 0 ? refuse(err) : parse_decoded(decoded.data, decoded.length, ret_auth, err);
}
