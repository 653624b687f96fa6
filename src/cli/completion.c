/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion. The scripts for the shells only pass the words on to
 * "cay __complete", which answers from the command table and, for names of
 * containers, images, networks and volumes, from the daemon.
 */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/docker-config.h"
#include "cli/help.h"
#include "cli/text.h"

#include <errno.h>

static const char bash_script[] =
	"# bash completion for cay\n"
	"_cay() {\n"
	"\tlocal IFS=$'\\n'\n"
	"\tCOMPREPLY=($(cay __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
	"\tcase \"${COMPREPLY[0]}\" in *:) compopt -o nospace 2>/dev/null ;; esac\n"
	"\tif [ ${#COMPREPLY[@]} -eq 0 ]; then\n"
	"\t\tcompopt -o default 2>/dev/null\n"
	"\tfi\n"
	"}\n"
	"complete -F _cay cay\n";

static const char zsh_script[] =
	"#compdef cay\n"
	"_cay() {\n"
	"\tlocal -a found\n"
	"\tfound=(${(f)\"$(cay __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
	"\tif (( ${#found} )); then\n"
	"\t\tcompadd -a found\n"
	"\telse\n"
	"\t\t_files\n"
	"\tfi\n"
	"}\n"
	"compdef _cay cay\n";

static const char fish_script[] = "# fish completion for cay\n"
				  "function __cay_complete\n"
				  "\tset -l words (commandline -opc) (commandline -ct)\n"
				  "\tcay __complete $words[2..-1] 2>/dev/null\n"
				  "end\n"
				  "complete -c cay -a '(__cay_complete)'\n";

int command_completion(const struct invocation *invocation, struct cay_error *err)
{
	static const struct {
		const char *shell, *script;
	} scripts[] = { { "bash", bash_script }, { "zsh", zsh_script }, { "fish", fish_script } };
	const char *shell = invocation->operands[0];

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		_cleanup_buf_ struct buf text = { 0 };

		if (strcmp(shell, scripts[i].shell) != 0)
			continue;
		buf_puts(&text, scripts[i].script);
		return text_print(&text, err);
	}
	return cay_error_set(err, CAY_INVALID, EINVAL,
			     "there is no completion for %s, only for bash, zsh and fish", shell);
}

static void add_matching(struct buf *out, const char *prefix, const char *start,
			 const char *candidate)
{
	_cleanup_free_ char *whole = xasprintf("%s%s", prefix, candidate);

	if (starts_with(whole, start))
		buf_printf(out, "%s\n", whole);
}

static void complete_words(struct buf *out, const char *prefix, const char *start,
			   const char *words)
{
	struct str rest = str_from(words);

	while (rest.length > 0) {
		_cleanup_free_ char *word = str_dup(str_split(rest, ' ', &rest));

		add_matching(out, prefix, start, word);
	}
}

/* Names from the daemon; none where it does not answer. */
static void complete_containers(struct client *client, bool all, const char *ending,
				const char *start, struct buf *out)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *container, *name;
	size_t i, j;

	if (client_call_named(client, "GET", all ? "/containers/json?all=1" : "/containers/json",
			      "", &list, NULL) < 0)
		return;
	json_array_foreach(list, i, container) {
		json_array_foreach(json_object_get(container, "Names"), j, name) {
			const char *text = json_is_string(name) ? json_string_value(name) : "";

			_cleanup_free_ char *shown =
				xasprintf("%s%s", text + (*text == '/'), ending);

			add_matching(out, "", start, shown);
		}
	}
}

static void complete_images(struct client *client, const char *start, struct buf *out)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *image, *name;
	size_t i, j;

	if (client_call_named(client, "GET", "/images/json", "", &list, NULL) < 0)
		return;
	json_array_foreach(list, i, image) {
		json_array_foreach(json_object_get(image, "RepoTags"), j, name) {
			add_matching(out, "", start,
				     json_is_string(name) ? json_string_value(name) : "");
		}
	}
}

/* Of which a list of the daemon's has one name each. */
enum listed { NETWORKS, VOLUMES, TEMPLATES };

static void complete_listed(struct client *client, enum listed what, const char *start,
			    struct buf *out)
{
	static const struct {
		const char *path;
		const char *list; /* the member of the answer; NULL: the answer itself */
		const char *name;
		bool is_id; /* which is shown short */
	} lists[] = {
		[NETWORKS] = { "/networks", NULL, "Name", false },
		[VOLUMES] = { "/volumes", "Volumes", "Name", false },
		[TEMPLATES] = { "/cay/v1/templates", NULL, "Key", true },
	};
	_cleanup_json_ json_t *answer = NULL;
	const json_t *item;
	size_t i;

	if (client_call_named(client, "GET", lists[what].path, "", &answer, NULL) < 0)
		return;
	json_array_foreach(lists[what].list ? json_object_get(answer, lists[what].list) : answer, i,
			   item) {
		const char *name = json_text_at(item, lists[what].name, NULL);
		char id[80];

		if (lists[what].is_id)
			short_id(name, false, id);
		add_matching(out, "", start, lists[what].is_id ? id : name);
	}
}

/* Of the file only: a helper might ask the user something. */
static void complete_registries(const char *start, struct buf *out)
{
	_cleanup_docker_config_ struct docker_config config = { 0 };
	struct cay_error unreadable;
	const char *key;
	json_t *value;

	if (docker_config_load(&config, &unreadable) < 0)
		return;
	json_object_foreach(config.auths, key, value) {
		add_matching(out, "", start, key);
	}
}

/* `before` operands stand before the one that is being typed. */
static void complete_operand(struct client *client, enum operand_kind kind, size_t before,
			     const char *start, struct buf *out)
{
	if (kind == OPERAND_NETWORK_CONTAINER)
		kind = before == 0    ? OPERAND_NETWORK
			: before == 1 ? OPERAND_CONTAINER
				      : OPERAND_NONE;
	if (kind == OPERAND_CONTAINER_IMAGE)
		kind = before == 0 ? OPERAND_CONTAINER : OPERAND_IMAGE;
	if (kind == OPERAND_REGISTRY)
		complete_registries(start, out);
	if (!client)
		return;
	if (kind == OPERAND_CONTAINER || kind == OPERAND_RUNNING_CONTAINER || kind == OPERAND_ANY)
		complete_containers(client, kind != OPERAND_RUNNING_CONTAINER, "", start, out);
	if (kind == OPERAND_CONTAINER_PATH)
		complete_containers(client, true, ":", start, out);
	if (kind == OPERAND_IMAGE || kind == OPERAND_ANY)
		complete_images(client, start, out);
	if (kind == OPERAND_NETWORK || kind == OPERAND_ANY)
		complete_listed(client, NETWORKS, start, out);
	if (kind == OPERAND_VOLUME || kind == OPERAND_ANY)
		complete_listed(client, VOLUMES, start, out);
	if (kind == OPERAND_TEMPLATE)
		complete_listed(client, TEMPLATES, start, out);
}

static void complete_option(const struct option *options, const char *start, struct buf *out)
{
	for (const struct option *option = options; option && option->name; option++)
		if (option->kind != OPTION_SAME)
			add_matching(out, "--", start, option->name);
	add_matching(out, "--", start, "help");
}

/* The option that the word names, if its value is the next word. */
static const struct option *expects_value(const struct option *options, const char *word)
{
	const struct option *option;

	if (!options || word[0] != '-' || word[1] == '\0' || strchr(word, '='))
		return NULL;
	if (word[1] == '-') {
		option = option_find(options, str_from(word + 2));
	} else {
		for (option = options; option->name; option++)
			if (word[strlen(word) - 1] == option->letter)
				break;
	}
	return option && option->name && option->kind != OPTION_FLAG ? option : NULL;
}

/* The words before the last one are given; the last is what is being typed. */
void complete(struct client *client, const char *const *words, size_t count, struct buf *out)
{
	const struct command *command = &cay_command;
	const char *start = count > 0 ? words[count - 1] : "";
	const struct option *pending = NULL;
	size_t operands = 0;

	for (size_t i = 0; i + 1 < count; i++) {
		bool was_value = pending != NULL;

		pending = was_value ? NULL : expects_value(command->options, words[i]);
		if (was_value || words[i][0] == '-')
			continue;
		if (!command->children) {
			operands++;
			continue;
		}
		command = command_find(command, words[i]);
		if (!command)
			return;
	}
	if (pending) {
		if (pending->choices)
			complete_words(out, "", start, pending->choices);
		else if (client && strcmp(pending->value, "NETWORK") == 0)
			complete_listed(client, NETWORKS, start, out);
		else if (client && starts_with(pending->value, "CONTAINER"))
			complete_containers(client, true, "", start, out);
		return;
	}
	if (operands > 0 && (command->flags & COMMAND_STOPS_AT_OPERAND))
		return; /* the container's own command line */
	if (start[0] == '-') {
		complete_option(command->options, start, out);
		return;
	}
	for (const struct command *child = command->children; child && child->name; child++)
		if (!(child->flags & COMMAND_HIDDEN))
			add_matching(out, "", start, child->name);
	if (command->run == command_completion)
		complete_words(out, "", start, "bash zsh fish");
	complete_operand(client, command->operand_kind, operands, start, out);
}

int command_complete(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_buf_ struct buf out = { 0 };

	complete(invocation->client, invocation->operands, invocation->operand_count, &out);
	return text_print(&out, err);
}

int command_manual(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_buf_ struct buf out = { 0 };

	help_format_man(&out);
	return text_print(&out, err);
}
