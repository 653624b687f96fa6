/* SPDX-License-Identifier: Apache-2.0 */
/* Calling docker-credential-NAME: secrets pass through a memory file and a pipe, never an argument.
 */
#include "cli/credential-helper.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>

/* A user name of this kind says that the secret is an identity token. */
#define TOKEN_USER "<token>"
/* What helpers say, in these words, where they have nothing. */
#define NOT_FOUND "credentials not found in native keychain"

static char *program_name(const char *name)
{
	return xasprintf("docker-credential-%s", name);
}

bool program_exists(const char *program)
{
	struct str rest = str_from(getenv("PATH"));

	while (rest.length > 0) {
		_cleanup_free_ char *directory = str_dup(str_split(rest, ':', &rest));
		_cleanup_free_ char *path = path_join(*directory ? directory : ".", program);

		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

bool helper_exists(const char *name)
{
	_cleanup_free_ char *program = program_name(name);

	return program_exists(program);
}

/* Its output, whole; too much of it ends the reading, and with it the helper. */
static int read_answer(int fd, const char *program, struct buf *answer, struct cay_error *err)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read_full(fd, chunk, sizeof(chunk))) > 0 &&
	       answer->length + (size_t)n <= HELPER_OUTPUT_MAX)
		buf_append(answer, chunk, (size_t)n);
	explicit_bzero(chunk, sizeof(chunk));
	if (n > 0)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "%s says more than %d bytes",
				     program, HELPER_OUTPUT_MAX);
	return n < 0 ? cay_error_errno(err, (int)n, "reading from %s", program) : 0;
}

/* Its first line, unless that may be an answer with a secret in it. */
static int helper_failed(const char *program, const char *verb, const struct buf *answer,
			 int status, struct cay_error *err)
{
	const char *text = buf_text(answer);
	int length = (int)MIN(strcspn(text, "\r\n"), 400);

	if (length == 0 || memchr(text, '{', (size_t)length) || memchr(text, '"', (size_t)length))
		return cay_error_set(err, CAY_INTERNAL, EIO, "%s %s failed with exit code %d",
				     program, verb, status);
	return cay_error_set(err, CAY_INTERNAL, EIO, "%s %s: %.*s", program, verb, length, text);
}

/* One call from beginning to end. CAY_NOT_FOUND where the helper says that it has nothing. */
static int call_helper(const char *name, const char *verb, const struct buf *input,
		       struct buf *answer, struct cay_error *err)
{
	_cleanup_free_ char *program = program_name(name);
	_cleanup_close_ int in = -1, reader = -1, writer = -1;
	_cleanup_strv_ struct strv argv = { 0 };
	int pipe_fds[2], status = 0, r;
	pid_t pid;

	if (strchr(name, '/'))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the credential helper \"%s\" is a path; a name is wanted, "
				     "that of a docker-credential-NAME in PATH",
				     name);
	in = memfd_with("credentials", buf_text(input), input->length);
	if (in < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, in < 0 ? in : errno, "calling %s", program);
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	strv_add(&argv, program);
	strv_add(&argv, verb);
	const struct process_fd fds[] = { { in, 0 }, { writer, 1 }, { STDERR_FILENO, 2 } };
	const struct process_spec spec = { .argv = &argv, .fds = fds, .fd_count = ARRAY_SIZE(fds) };

	r = process_spawn(&spec, &pid, err);
	if (r == -ENOENT)
		return cay_error_set(err, CAY_INTERNAL, ENOENT,
				     "the credential helper %s, which Docker's config.json names, "
				     "is not in PATH",
				     program);
	if (r < 0)
		return r;
	cay_close_p(&writer);
	writer = -1;
	r = read_answer(reader, program, answer, err);
	cay_close_p(&reader); /* a helper that writes on gets SIGPIPE */
	reader = -1;
	if (process_wait(pid, &status) < 0 || r < 0)
		return r < 0 ? r : cay_error_errno(err, errno, "waiting for %s", program);
	status = process_exit_code(status);
	if (status == 0)
		return 0;
	if (strstr(buf_text(answer), NOT_FOUND))
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "%s: " NOT_FOUND, program);
	return helper_failed(program, verb, answer, status, err);
}

static int parse_answer(const char *name, const struct buf *answer, json_t **ret_value,
			struct cay_error *err)
{
	/* Not json_parse(), whose error may quote the text. */
	*ret_value = json_loadb(buf_text(answer), answer->length, JSON_DISABLE_EOF_CHECK, NULL);
	if (json_is_object(*ret_value))
		return 0;
	json_decref(*ret_value);
	*ret_value = NULL;
	return cay_error_set(err, CAY_CORRUPT, EBADMSG,
			     "the answer of docker-credential-%s is no JSON object", name);
}

int helper_parse_credentials(const char *name, const struct buf *answer,
			     struct credentials *ret_credentials, struct cay_error *err)
{
	_cleanup_credentials_ struct credentials found = { 0 };
	_cleanup_json_ json_t *value = NULL;
	const char *username, *secret;
	int r = parse_answer(name, answer, &value, err);

	if (r < 0)
		return r;
	username = json_string_value(json_object_get(value, "Username"));
	secret = json_string_value(json_object_get(value, "Secret"));
	if (!username || !secret)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the answer of docker-credential-%s has no Username or no "
				     "Secret",
				     name);
	if (strcmp(username, TOKEN_USER) == 0) {
		found.identity_token = xstrdup(secret);
	} else {
		found.username = xstrdup(username);
		found.password = xstrdup(secret);
	}
	*ret_credentials = credentials_take(&found);
	return 1;
}

int helper_parse_list(const char *name, const struct buf *answer, json_t **ret_users,
		      struct cay_error *err)
{
	_cleanup_json_ json_t *value = NULL, *users = json_object();
	const char *key;
	json_t *user;
	int r = parse_answer(name, answer, &value, err);

	if (r < 0)
		return r;
	json_object_foreach(value, key, user) {
		if (json_is_string(user))
			json_set(users, key, json_incref(user));
	}
	*ret_users = TAKE_PTR(users);
	return 0;
}

int helper_get(const char *name, const char *key, struct credentials *ret_credentials,
	       struct cay_error *err)
{
	_cleanup_secret_buf_ struct buf answer = { 0 };
	_cleanup_buf_ struct buf input = { 0 };
	int r;

	buf_puts(&input, key);
	r = call_helper(name, "get", &input, &answer, err);
	if (r < 0 && err->code == CAY_NOT_FOUND) {
		cay_error_clear(err);
		return 0;
	}
	return r < 0 ? r : helper_parse_credentials(name, &answer, ret_credentials, err);
}

int helper_store(const char *name, const char *key, const struct credentials *credentials,
		 struct cay_error *err)
{
	bool token = credentials->identity_token;
	_cleanup_secret_buf_ struct buf input = { 0 }, answer = { 0 };
	_cleanup_json_ json_t *value = json_object();
	const char *username = credentials->username ? credentials->username : "";
	const char *password = credentials->password ? credentials->password : "";

	json_set_string(value, "ServerURL", key);
	json_set_string(value, "Username", token ? TOKEN_USER : username);
	json_set_string(value, "Secret", token ? credentials->identity_token : password);
	json_print_to(value, &input);
	return call_helper(name, "store", &input, &answer, err);
}

int helper_erase(const char *name, const char *key, struct cay_error *err)
{
	_cleanup_buf_ struct buf input = { 0 }, answer = { 0 };
	int r;

	buf_puts(&input, key);
	r = call_helper(name, "erase", &input, &answer, err);
	if (r < 0 && err->code == CAY_NOT_FOUND) {
		cay_error_clear(err);
		return 0;
	}
	return r;
}

int helper_list(const char *name, json_t **ret_users, struct cay_error *err)
{
	_cleanup_buf_ struct buf input = { 0 }, answer = { 0 };
	int r = call_helper(name, "list", &input, &answer, err);

	return r < 0 ? r : helper_parse_list(name, &answer, ret_users, err);
}
