/* SPDX-License-Identifier: Apache-2.0 */
/* login, logout, and the list of registries that credentials are stored for. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/secret.h"
#include "cli/credentials.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/text.h"

#include <errno.h>

const struct option login_options[] = {
	{ 'p', OPTION_SECRET, "password", "PASSWORD", NULL,
	  "The password (others can read it: prefer --password-stdin)" },
	{ 0, OPTION_FLAG, "password-stdin", NULL, NULL, "Read the password from standard input" },
	{ 'u', OPTION_TEXT, "username", "NAME", NULL, "The user name" },
	{ 0 },
};

const struct option registry_list_options[] = {
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Username}}" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only the names of the registries" },
	{ 0 },
};

enum { PASSWORD_MAX = 1024 * 1024 };

/* ---- login ---- */

/* One end of line goes, as an echo or an editor adds it. */
static void cut_line_end(char *text)
{
	size_t length = strlen(text);

	if (length > 0 && text[length - 1] == '\n')
		text[--length] = '\0';
	if (length > 0 && text[length - 1] == '\r')
		text[--length] = '\0';
}

static int read_password(char **ret_password, struct cay_error *err)
{
	_cleanup_secret_buf_ struct buf text = { 0 };
	int r = fd_read(STDIN_FILENO, "standard input", PASSWORD_MAX, &text, err);

	if (r < 0)
		return r;
	*ret_password = xstrdup(buf_text(&text));
	cut_line_end(*ret_password);
	return 0;
}

static int ask_username(const char *before, char **ret_username, struct cay_error *err)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (before)
		(void)fprintf(stderr, "Username (%s): ", before);
	else
		(void)fprintf(stderr, "Username: ");
	if (getline(&line, &size, stdin) < 0)
		return cay_error_set(err, CAY_CANCELLED, ECANCELED, "no user name was given");
	cut_line_end(line);
	if (!*line && !before)
		return cay_error_set(err, CAY_INVALID, ECANCELED, "no user name was given");
	*ret_username = *line ? TAKE_PTR(line) : xstrdup(before);
	return 0;
}

static int ask_password(char **ret_password, struct cay_error *err)
{
	_cleanup_secret_buf_ struct buf line = { 0 };
	int r;

	r = terminal_read_secret(STDIN_FILENO, "Password: ", &line, err);
	if (r < 0)
		return cay_error_prefix(err, "no password was given");
	*ret_password = xstrdup(buf_text(&line));
	return 0;
}

/* What the command line says, and the terminal for the rest. `before` is a known user or NULL. */
static int gather(const struct options *options, const char *before, struct credentials *ret,
		  struct cay_error *err)
{
	_cleanup_credentials_ struct credentials given = { 0 };
	int r = 0;

	given.username = xstrdup(option_text(options, "username"));
	given.password = xstrdup(option_text(options, "password"));
	if (option_flag(options, "password-stdin"))
		r = read_password(&given.password, err);
	if (r >= 0 && !(given.username && given.password) && !isatty(STDIN_FILENO))
		return cay_error_set(err, CAY_INVALID, ENOTTY,
				     "standard input is no terminal to ask on; give the user name "
				     "with -u and the password with --password-stdin");
	if (r >= 0 && !given.username)
		r = ask_username(before, &given.username, err);
	if (r >= 0 && !given.password)
		r = ask_password(&given.password, err);
	if (r < 0)
		return r;
	if (!*given.username || !*given.password)
		return cay_error_set(err, CAY_INVALID, EINVAL, "the %s is empty",
				     *given.username ? "password" : "user name");
	*ret = credentials_take(&given);
	return 0;
}

/* POST /auth; an identity token in the answer takes the password's place. */
static int log_in(struct client *client, const char *key, struct credentials *credentials,
		  char **ret_status, struct cay_error *err)
{
	_cleanup_json_ json_t *body = credentials_json(key, credentials), *answer = NULL;
	_cleanup_credentials_ struct credentials received = { 0 };
	_cleanup_target_ struct target target = { 0 };
	const char *token;
	int r;

	target_set(&target, "/auth", NULL, NULL);
	r = client_call(client, "POST", &target, body, &answer, err);
	if (r < 0)
		return r;
	token = json_text_at(answer, "IdentityToken", NULL);
	if (*token) {
		received = credentials_take(credentials);
		credentials->username = TAKE_PTR(received.username);
		credentials->identity_token = xstrdup(token);
	}
	*ret_status = xstrdup(json_text_at(answer, "Status", NULL));
	text_make_safe(*ret_status, false); /* perhaps a registry's own words */
	return 0;
}

static int check_login(const struct options *options, struct cay_error *err)
{
	if (!option_flag(options, "password-stdin")) {
		if (option_given(options, "password"))
			text_complain("warning: --password shows in the shell's history and in the "
				      "list of processes; --password-stdin does not");
		return 0;
	}
	if (option_given(options, "password"))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--password and --password-stdin exclude each other");
	if (!option_given(options, "username"))
		return cay_error_set(err, CAY_INVALID, EINVAL, "--password-stdin needs --username");
	return 0;
}

/* With what is stored, where nothing else was given; 1 when that did it. */
static int try_stored(const struct invocation *invocation, const char *key,
		      struct credentials *ret_stored, char **ret_status, struct cay_error *err)
{
	struct cay_error unreadable = { 0 };
	int r;

	if (option_given(invocation->options, "username") ||
	    option_given(invocation->options, "password"))
		return 0;
	if (credentials_get(key, ret_stored, &unreadable) < 0) {
		text_complain("warning: %s", unreadable.message);
		return 0;
	}
	if (!credentials_given(ret_stored))
		return 0;
	r = text_print_line("Authenticating with existing credentials...", err);
	if (r >= 0)
		r = log_in(invocation->client, key, ret_stored, ret_status, err);
	if (r >= 0)
		return 1;
	if (!isatty(STDIN_FILENO) || err->code == CAY_UNAVAILABLE)
		return r;
	text_complain("%s", err->message);
	cay_error_clear(err);
	return 0;
}

int command_login(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_credentials_ struct credentials credentials = { 0 }, stored = { 0 };
	_cleanup_free_ char *key = credentials_key(invocation->operands[0]);
	_cleanup_free_ char *place = NULL, *status = NULL;
	int r = check_login(invocation->options, err), done;

	if (r < 0)
		return r;
	done = try_stored(invocation, key, &stored, &status, err);
	if (done < 0)
		return done;
	if (done == 0) {
		r = gather(invocation->options, stored.username, &credentials, err);
		if (r >= 0)
			r = log_in(invocation->client, key, &credentials, &status, err);
	}
	if (r >= 0)
		r = credentials_store(key, done ? &stored : &credentials, &place, err);
	if (r < 0)
		return r;
	if (*place == '/')
		text_complain("warning: the credentials are stored in %s, unencrypted; a "
			      "credential helper (\"credsStore\" there) would keep them safe",
			      place);
	return text_print_line(*status ? status : "Login Succeeded", err);
}

/* ---- logout and list ---- */

int command_logout(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_free_ char *key = credentials_key(invocation->operands[0]);
	_cleanup_free_ char *line = NULL;
	int r = credentials_erase(key, err);

	if (r < 0)
		return r;
	line = xasprintf(r > 0 ? "Removing login credentials for %s" : "Not logged in to %s", key);
	return text_print_line(line, err);
}

struct listing {
	struct table *table;
	struct cay_error *err;
	int r;
};

static void add_registry(void *context, const char *key, const char *username)
{
	struct listing *listing = context;
	_cleanup_json_ json_t *row = json_object();

	if (listing->r < 0)
		return;
	row_set(row, "Registry", key);
	row_set(row, "Username", username);
	listing->r = table_add(listing->table, row, listing->err);
}

int command_list_registries(const struct invocation *invocation, struct cay_error *err)
{
	static const struct column columns[] = { { "Registry", "REGISTRY" },
						 { "Username", "USERNAME" },
						 { 0 } };
	const struct options *options = invocation->options;
	const char *standard = option_flag(options, "quiet") ? "{{.Registry}}"
							     : "table {{.Registry}}\t{{.Username}}";
	_cleanup_(table_free_p) struct table *table = NULL;
	struct listing listing = { .err = err };
	int r = table_open(option_text(options, "format"), standard, columns, &table, err), status;

	if (r < 0)
		return r;
	listing.table = table;
	status = credentials_list(add_registry, &listing, err);
	if (status < 0 || listing.r < 0)
		return status < 0 ? status : listing.r;
	r = table_print(table, err);
	return r < 0 ? r : status;
}
