/* SPDX-License-Identifier: Apache-2.0 */
/* The instructions of a Dockerfile that change a configuration. */
#include "daemon/changes.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "daemon/signals.h"

#include <errno.h>
#include <strings.h>

enum { PORT_MAX = 65535, RANGE_MAX = 4096 };

struct change {
	json_t *config;
	const char *name; /* of the instruction, in capitals */
	struct str text;  /* what follows it */
	bool *command_set;
};

static int need_argument(const struct change *change, struct cay_error *err)
{
	if (change->text.length > 0)
		return 0;
	return cay_error_set(err, CAY_INVALID, EINVAL, "%s requires at least one argument",
			     change->name);
}

static json_t *object_of(json_t *config, const char *key)
{
	json_t *object = json_object_get(config, key);

	if (!json_is_object(object)) {
		object = json_object();
		json_set(config, key, object);
	}
	return object;
}

static json_t *array_of(json_t *config, const char *key)
{
	json_t *array = json_object_get(config, key);

	if (!json_is_array(array)) {
		array = json_array();
		json_set(config, key, array);
	}
	return array;
}

static int expand(const struct change *change, struct str word, char **ret_text,
		  struct cay_error *err)
{
	return changes_expand(word, json_object_get(change->config, "Env"), ret_text, err);
}

/* ---- commands ---- */

json_t *changes_parse_list(struct str text)
{
	json_t *array = NULL, *item;
	size_t i;

	if (text.length == 0 || text.data[0] != '[' ||
	    json_parse(text.data, text.length, "the list", &array, NULL) < 0)
		return NULL;
	json_array_foreach(array, i, item) {
		if (!json_is_string(item)) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *shell_command(const json_t *config, struct str line)
{
	const json_t *shell = json_object_get(config, "Shell");
	json_t *command = json_is_array(shell) && json_array_size(shell) > 0
		? json_copy((json_t *)shell)
		: json_pack("[ss]", "/bin/sh", "-c");
	_cleanup_free_ char *text = str_dup(line);

	(void)json_array_append_new(command, json_string(text));
	return command;
}

static json_t *command_of(const struct change *change)
{
	json_t *list = changes_parse_list(change->text);

	return list ? list : shell_command(change->config, change->text);
}

static int change_cmd(const struct change *change, struct cay_error *err)
{
	int r = need_argument(change, err);

	if (r < 0)
		return r;
	json_set(change->config, "Cmd", command_of(change));
	*change->command_set = true;
	return 0;
}

/* An entrypoint makes the old command meaningless. */
static int change_entrypoint(const struct change *change, struct cay_error *err)
{
	int r = need_argument(change, err);

	if (r < 0)
		return r;
	json_set(change->config, "Entrypoint", command_of(change));
	if (!*change->command_set)
		json_set(change->config, "Cmd", json_null());
	return 0;
}

/* ---- pairs ---- */

static void set_variable(json_t *config, const char *name, const char *value)
{
	json_t *env = array_of(config, "Env"), *item;
	const size_t length = strlen(name);
	_cleanup_free_ char *entry = xasprintf("%s=%s", name, value);
	size_t i;

	json_array_foreach(env, i, item) {
		const char *text = json_string_value(item);

		if (text && strncmp(text, name, length) == 0 && text[length] == '=') {
			(void)json_array_set_new(env, i, json_string(entry));
			return;
		}
	}
	(void)json_array_append_new(env, json_string(entry));
}

static int set_pair(const struct change *change, struct str name_text, struct str value_text,
		    const json_t *env, struct cay_error *err)
{
	_cleanup_free_ char *name = NULL, *value = NULL;
	int r = changes_expand(name_text, env, &name, err);

	if (r == 0)
		r = changes_expand(value_text, env, &value, err);
	if (r == 0 && *name == '\0')
		r = cay_error_set(err, CAY_INVALID, EINVAL, "%s names can not be blank",
				  change->name);
	if (r < 0)
		return r;
	if (strcmp(change->name, "ENV") == 0)
		set_variable(change->config, name, value);
	else
		json_set_string(object_of(change->config, "Labels"), name, value);
	return 0;
}

/* "NAME=value …", or the old "NAME the rest". */
static int change_pairs(const struct change *change, struct cay_error *err)
{
	/* All of one instruction see the variables from before it. */
	_cleanup_json_ json_t *env = json_copy(json_object_get(change->config, "Env"));
	_cleanup_strv_ struct strv words = { 0 };
	int r = need_argument(change, err);

	changes_split(change->text, &words);
	if (r == 0 && !strchr(words.items[0], '=')) {
		const struct str first = str_from(words.items[0]);
		struct str rest = { change->text.data + first.length,
				    change->text.length - first.length };

		rest = str_strip(rest, " \t\r\n");
		if (rest.length == 0)
			return cay_error_set(err, CAY_INVALID, EINVAL, "%s must have two arguments",
					     change->name);
		return set_pair(change, first, rest, env, err);
	}
	for (size_t i = 0; r == 0 && i < words.count; i++) {
		struct str value, name = str_split(str_from(words.items[i]), '=', &value);

		if (!strchr(words.items[i], '='))
			r = cay_error_set(err, CAY_INVALID, EINVAL,
					  "Syntax error - can't find = in \"%.128s\". Must be of "
					  "the form: name=value",
					  words.items[i]);
		else
			r = set_pair(change, name, value, env, err);
	}
	return r;
}

/* ---- ports and volumes ---- */

/* "80", "80/udp", "8000-8010/tcp"; a host's part, as -p has it, means nothing here. */
static int add_port(json_t *ports, const char *text, struct cay_error *err)
{
	struct str protocol, range, first, last;
	uint64_t from = 0, to = 0;

	range = str_split(str_from(text), '/', &protocol);
	first = str_split(range, '-', &last);
	if (protocol.length == 0)
		protocol = STR("tcp");
	if (last.length == 0)
		last = first;
	if (str_to_u64(first, PORT_MAX, &from) < 0 || str_to_u64(last, PORT_MAX, &to) < 0 ||
	    from == 0 || to < from || to - from >= RANGE_MAX)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid containerPort: %.128s",
				     text);
	if (!str_equals_nocase(protocol, "tcp") && !str_equals_nocase(protocol, "udp") &&
	    !str_equals_nocase(protocol, "sctp"))
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid proto: %.*s",
				     (int)MIN(protocol.length, (size_t)64), protocol.data);
	for (; from <= to; from++) {
		_cleanup_free_ char *key = xasprintf("%u/%.*s", (unsigned int)from,
						     (int)protocol.length, protocol.data);

		for (char *c = key; *c; c++)
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
		json_set(ports, key, json_object());
	}
	return 0;
}

static int change_expose(const struct change *change, struct cay_error *err)
{
	_cleanup_strv_ struct strv words = { 0 };
	int r = need_argument(change, err);

	changes_split(change->text, &words);
	for (size_t i = 0; r == 0 && i < words.count; i++) {
		_cleanup_free_ char *text = NULL;

		r = expand(change, str_from(words.items[i]), &text, err);
		if (r == 0)
			r = add_port(object_of(change->config, "ExposedPorts"), text, err);
	}
	return r;
}

static int add_volume(const struct change *change, const char *word, struct cay_error *err)
{
	_cleanup_free_ char *path = NULL;
	int r = expand(change, str_from(word), &path, err);

	if (r < 0)
		return r;
	if (str_strip(str_from(path), " \t").length == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "VOLUME specified can not be an empty string");
	json_set(object_of(change->config, "Volumes"), path, json_object());
	return 0;
}

static int change_volume(const struct change *change, struct cay_error *err)
{
	_cleanup_json_ json_t *list = changes_parse_list(change->text);
	_cleanup_strv_ struct strv words = { 0 };
	int r = need_argument(change, err);

	for (size_t i = 0; i < json_array_size(list); i++)
		strv_add(&words, json_string_value(json_array_get(list, i)));
	if (!list)
		changes_split(change->text, &words);
	for (size_t i = 0; r == 0 && i < words.count; i++)
		r = add_volume(change, words.items[i], err);
	return r;
}

/* ---- single words ---- */

static int change_user(const struct change *change, struct cay_error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = need_argument(change, err);

	if (r == 0)
		r = expand(change, change->text, &text, err);
	if (r == 0)
		json_set_string(change->config, "User", text);
	return r;
}

/* The path without empty parts, "." and "..". */
static char *clean_path(const char *path)
{
	_cleanup_buf_ struct buf out = { 0 };
	struct str rest = str_from(path);

	while (rest.length > 0) {
		const struct str part = str_split(rest, '/', &rest);

		if (part.length == 0 || str_equals(part, "."))
			continue;
		if (str_equals(part, "..")) {
			while (out.length > 0 && out.data[--out.length] != '/')
				;
			continue;
		}
		buf_putc(&out, '/');
		buf_append(&out, part.data, part.length);
	}
	if (out.length == 0)
		return xstrdup("/");
	out.data[out.length] = '\0';
	return buf_steal(&out);
}

static int change_workdir(const struct change *change, struct cay_error *err)
{
	const char *old = json_string_value(json_object_get(change->config, "WorkingDir"));
	_cleanup_free_ char *text = NULL, *joined = NULL, *path = NULL;
	int r = need_argument(change, err);

	if (r == 0)
		r = expand(change, change->text, &text, err);
	if (r < 0)
		return r;
	joined = text[0] == '/' ? xstrdup(text) : xasprintf("%s/%s", old ? old : "", text);
	path = clean_path(joined);
	json_set_string(change->config, "WorkingDir", path);
	return 0;
}

static int change_stopsignal(const struct change *change, struct cay_error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = need_argument(change, err);

	if (r == 0)
		r = expand(change, change->text, &text, err);
	if (r == 0 && signal_parse(text) < 0)
		r = cay_error_set(err, CAY_INVALID, EINVAL, "invalid signal: %.64s", text);
	if (r == 0)
		json_set_string(change->config, "StopSignal", text);
	return r;
}

static int change_onbuild(const struct change *change, struct cay_error *err)
{
	static const char *const refused[] = { "ONBUILD", "FROM", "MAINTAINER" };
	_cleanup_free_ char *text = str_dup(change->text);
	const struct str word = { text, strcspn(text, " \t") };
	int r = need_argument(change, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refused); i++)
		if (str_equals_nocase(word, refused[i]))
			r = cay_error_set(err, CAY_INVALID, EINVAL,
					  "%s isn't allowed as an ONBUILD trigger", refused[i]);
	if (r == 0)
		(void)json_array_append_new(array_of(change->config, "OnBuild"), json_string(text));
	return r;
}

/* ---- all of them ---- */

static int change_healthcheck(const struct change *change, struct cay_error *err)
{
	return changes_healthcheck(change->config, change->text, err);
}

static const struct {
	const char *name;
	int (*apply)(const struct change *change, struct cay_error *err);
} instructions[] = {
	{ "CMD", change_cmd },
	{ "ENTRYPOINT", change_entrypoint },
	{ "ENV", change_pairs },
	{ "EXPOSE", change_expose },
	{ "HEALTHCHECK", change_healthcheck },
	{ "LABEL", change_pairs },
	{ "ONBUILD", change_onbuild },
	{ "STOPSIGNAL", change_stopsignal },
	{ "USER", change_user },
	{ "VOLUME", change_volume },
	{ "WORKDIR", change_workdir },
};

static int apply_line(json_t *config, struct str line, bool *command_set, struct cay_error *err)
{
	struct str word = { line.data, 0 };
	struct change change = { .config = config, .command_set = command_set };

	while (word.length < line.length && !strchr(" \t\r", line.data[word.length]))
		word.length++;
	change.text = str_strip((struct str){ line.data + word.length, line.length - word.length },
				" \t\r");
	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
		if (str_equals_nocase(word, instructions[i].name)) {
			change.name = instructions[i].name;
			return instructions[i].apply(&change, err);
		}
	}
	return cay_error_set(err, CAY_INVALID, EINVAL, "%.*s is not a valid change command",
			     (int)MIN(word.length, (size_t)128), word.data);
}

/* Takes a line off that goes on at its end; true with its backslash gone. */
static bool continues(struct str *line)
{
	*line = str_strip(*line, " \t\r");
	if (line->length == 0 || line->data[line->length - 1] != '\\')
		return false;
	line->length--;
	return true;
}

int changes_apply(json_t *config, const struct strv *changes, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 }, line = { 0 };
	_cleanup_json_ json_t *whole = NULL; /* all its parts are JSON strings then */
	struct str rest;
	bool command_set = false, open = false;
	int r = 0;

	for (size_t i = 0; i < changes->count; i++) {
		buf_puts(&text, changes->items[i]);
		buf_putc(&text, '\n');
	}
	if (text.length > CHANGES_TEXT_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the changes are longer than %d bytes", CHANGES_TEXT_MAX);
	whole = json_stringn(buf_text(&text), text.length);
	if (!whole)
		return cay_error_set(err, CAY_INVALID, EILSEQ, "the changes are not UTF-8");
	rest = (struct str){ buf_text(&text), text.length };
	while (r == 0 && rest.length > 0) {
		struct str piece = str_split(rest, '\n', &rest);

		if (str_starts(str_strip(piece, " \t\r"), "#"))
			continue;
		open = continues(&piece);
		buf_append(&line, piece.data, piece.length);
		if ((open && rest.length > 0) || line.length == 0)
			continue;
		r = apply_line(config, (struct str){ buf_text(&line), line.length }, &command_set,
			       err);
		buf_clear(&line);
	}
	return r;
}
