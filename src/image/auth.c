/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges and tokens. */
#include "image/auth.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <strings.h>

enum { HEADER_MAX = 8192, CHALLENGES_MAX = 8, TOKEN_MAX = 32768 };

void challenges_done(struct challenges *challenges)
{
	for (size_t i = 0; i < challenges->count; i++) {
		free(challenges->items[i].realm);
		free(challenges->items[i].service);
		free(challenges->items[i].scope);
	}
	free(challenges->items);
	*challenges = (struct challenges){ 0 };
}

static int malformed(struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EBADMSG,
			     "the registry's WWW-Authenticate header is malformed");
}

/* RFC 9110's tchar. */
static bool is_token_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static struct str take_token(const char **at)
{
	const char *start = *at;

	while (is_token_char(**at))
		(*at)++;
	return (struct str){ start, (size_t)(*at - start) };
}

static void skip_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t')
		(*at)++;
}

/* A token or a quoted string, without its quotes and escapes; NULL when it is neither. */
static char *take_value(const char **at)
{
	_cleanup_buf_ struct buf value = { 0 };

	if (**at != '"') {
		struct str token = take_token(at);

		return token.length > 0 ? str_dup(token) : NULL;
	}
	for ((*at)++; **at != '"'; (*at)++) {
		if (**at == '\\')
			(*at)++;
		if (**at == '\0' || (unsigned char)**at < ' ' || **at == '\x7f')
			return NULL;
		buf_putc(&value, **at);
	}
	(*at)++;
	return buf_steal(&value);
}

static void set_parameter(struct challenge *challenge, struct str name, char *value)
{
	static const struct {
		const char *name;
		size_t offset;
	} known[] = {
		{ "realm", offsetof(struct challenge, realm) },
		{ "service", offsetof(struct challenge, service) },
		{ "scope", offsetof(struct challenge, scope) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		char **target = (char **)((char *)challenge + known[i].offset);

		if (!str_equals_nocase(name, known[i].name))
			continue;
		free(*target);
		*target = TAKE_PTR(value);
	}
	free(value);
}

static struct challenge *add_challenge(struct challenges *challenges, struct str scheme)
{
	struct challenge *challenge;

	challenges->items =
		xreallocarray(challenges->items, challenges->count + 1, sizeof(*challenges->items));
	challenge = &challenges->items[challenges->count++];
	*challenge = (struct challenge){ 0 };
	if (str_equals_nocase(scheme, "Basic"))
		challenge->scheme = AUTH_BASIC;
	else if (str_equals_nocase(scheme, "Bearer"))
		challenge->scheme = AUTH_BEARER;
	return challenge;
}

/*
 * A comma separates both challenges and their parameters. What tells them apart is the "=": a
 * parameter's name has one after it, a scheme a blank or nothing.
 */
int challenges_parse(const char *header, struct challenges *challenges, struct cay_error *err)
{
	struct challenge *current = NULL;
	const char *at = header;

	if (strlen(header) > HEADER_MAX)
		return malformed(err);
	for (;;) {
		struct str word;
		const char *after;
		char *value;

		skip_blanks(&at);
		if (*at == '\0')
			return current ? 0 : malformed(err);
		if (*at == ',') {
			at++;
			continue;
		}
		word = take_token(&at);
		if (word.length == 0)
			return malformed(err);
		after = at;
		skip_blanks(&after);
		if (*after != '=') {
			if (challenges->count >= CHALLENGES_MAX ||
			    (*at != '\0' && after == at && *at != ','))
				return malformed(err);
			current = add_challenge(challenges, word);
			continue;
		}
		if (!current)
			return malformed(err);
		at = after + 1;
		skip_blanks(&at);
		value = take_value(&at);
		skip_blanks(&at);
		if (!value || (*at != '\0' && *at != ',')) {
			free(value);
			return malformed(err);
		}
		set_parameter(current, word, value);
	}
}

const struct challenge *challenges_choose(const struct challenges *challenges)
{
	const struct challenge *best = NULL;

	for (size_t i = 0; i < challenges->count; i++) {
		const struct challenge *challenge = &challenges->items[i];

		if (challenge->scheme == AUTH_BEARER && challenge->realm)
			return challenge;
		if (challenge->scheme == AUTH_BASIC && !best)
			best = challenge;
	}
	return best;
}

char *auth_basic(const char *username, const char *password)
{
	_cleanup_free_ char *plain = xasprintf("%s:%s", username, password);
	const size_t length = strlen(plain);
	_cleanup_free_ char *encoded = xmalloc(length / 3 * 4 + 5);

	(void)EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)plain, (int)length);
	return xasprintf("Basic %s", encoded);
}

int auth_check_token(const char *token, struct cay_error *err)
{
	if (token[0] == '\0' || strlen(token) > TOKEN_MAX)
		return cay_error_set(err, CAY_INVALID, EBADMSG, "the token is empty or too long");
	for (const char *c = token; *c; c++)
		if (*c <= ' ' || *c > '~')
			return cay_error_set(err, CAY_INVALID, EBADMSG, "the token is malformed");
	return 0;
}

int auth_read_token(const char *data, size_t size, char **ret_authorization, struct cay_error *err)
{
	_cleanup_json_ json_t *document = NULL;
	_cleanup_free_ char *token = NULL;
	int r = json_parse(data, size, "the token server's answer", &document, err);

	if (r == 0 && json_is_object(document))
		r = json_read_string(document, "access_token", &token, err);
	if (r == 0 && !token && json_is_object(document))
		r = json_read_string(document, "token", &token, err);
	if (r < 0)
		return r;
	if (!token)
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "the token server's answer has no token");
	r = auth_check_token(token, err);
	if (r < 0)
		return r;
	*ret_authorization = xasprintf("Bearer %s", token);
	return 0;
}

int auth_read_refresh_token(const char *data, size_t size, char **ret_token, struct cay_error *err)
{
	_cleanup_json_ json_t *document = NULL;
	_cleanup_free_ char *token = NULL;
	int r = json_parse(data, size, "the token server's answer", &document, err);

	if (r == 0 && json_is_object(document))
		r = json_read_string(document, "refresh_token", &token, err);
	if (r == 0 && token)
		r = auth_check_token(token, err);
	if (r == 0 && token) {
		free(*ret_token);
		*ret_token = TAKE_PTR(token);
	}
	return r;
}
