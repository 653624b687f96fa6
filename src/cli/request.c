/* SPDX-License-Identifier: Apache-2.0 */
/* Options to the body of a create request: all that is not a mount, a name or about networks. */
#include "cli/request.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/human.h"
#include "cli/lines.h"
#include "cli/terminal.h"

#include <errno.h>
#include <strings.h>

enum {
	SECCOMP_PROFILE_MAX = 1024 * 1024,
};

static int invalid(struct cay_error *err, const char *option, const char *value, const char *wanted)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "--%s: \"%s\" is not %s", option, value,
			     wanted);
}

int request_get_streams(const struct options *options, bool detach,
			struct request_streams *ret_streams, struct cay_error *err)
{
	const struct strv *named = option_list(options, "attach");
	struct request_streams streams = { 0 };

	if (detach && named->count > 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--attach and --detach exclude each other");
	for (size_t i = 0; i < named->count; i++) {
		streams.in |= strcasecmp(named->items[i], "stdin") == 0;
		streams.out |= strcasecmp(named->items[i], "stdout") == 0;
		streams.err |= strcasecmp(named->items[i], "stderr") == 0;
	}
	if (!detach && named->count == 0)
		streams = (struct request_streams){ .in = option_flag(options, "interactive"),
						    .out = true,
						    .err = true };
	*ret_streams = streams;
	return 0;
}

static void set_text(const struct options *options, const char *option, json_t *object,
		     const char *key)
{
	if (option_given(options, option))
		json_set_string(object, key, option_text(options, option));
}

static void set_list(const struct options *options, const char *option, json_t *object,
		     const char *key)
{
	const struct strv *list = option_list(options, option);

	if (list->count > 0)
		json_set(object, key, json_from_strv(list));
}

static void set_flag(const struct options *options, const char *option, json_t *object,
		     const char *key)
{
	if (option_given(options, option))
		json_set_bool(object, key, option_flag(options, option));
}

static void set_number(const struct options *options, const char *option, json_t *object,
		       const char *key)
{
	if (option_given(options, option))
		json_set_int(object, key, option_number(options, option, 0));
}

static int set_size(const struct options *options, const char *option, json_t *object,
		    const char *key, struct cay_error *err)
{
	const char *text = option_text(options, option);
	uint64_t bytes;

	if (!text)
		return 0;
	if (parse_size(text, &bytes) < 0 || bytes > INT64_MAX)
		return invalid(err, option, text, "a size such as 512m or 1.5g");
	json_set_int(object, key, (int64_t)bytes);
	return 0;
}

int request_set_map(const struct strv *list, const char *option, bool key_alone, json_t *object,
		    const char *key, struct cay_error *err)
{
	json_t *map;

	if (list->count == 0)
		return 0;
	map = json_object();
	json_set(object, key, map);
	for (size_t i = 0; i < list->count; i++) {
		struct str value, name = str_split(str_from(list->items[i]), '=', &value);
		_cleanup_free_ char *name_text = str_dup(name);

		if (name.length == 0 || (!key_alone && !strchr(list->items[i], '=')))
			return invalid(err, option, list->items[i], "of the form KEY=VALUE");
		if (json_object_set_new(map, name_text, json_stringn(value.data, value.length)) < 0)
			return invalid(err, option, list->items[i], "text in UTF-8");
	}
	return 0;
}

int request_add_environment(const struct options *options, json_t *body, struct cay_error *err)
{
	const struct strv *files = option_list(options, "env-file");
	const struct strv *variables = option_list(options, "env");
	_cleanup_strv_ struct strv all = { 0 };
	int r = 0;

	for (size_t i = 0; i < files->count && r >= 0; i++)
		r = lines_read(files->items[i], false, &all, err);
	for (size_t i = 0; i < variables->count && r >= 0; i++)
		r = lines_add_environment(variables->items[i], &all, err);
	if (r >= 0 && all.count > 0)
		json_set(body, "Env", json_from_strv(&all));
	return r;
}

static int add_labels(const struct options *options, json_t *body, struct cay_error *err)
{
	const struct strv *files = option_list(options, "label-file");
	const struct strv *labels = option_list(options, "label");
	_cleanup_strv_ struct strv all = { 0 };
	int r = 0;

	for (size_t i = 0; i < files->count && r >= 0; i++)
		r = lines_read(files->items[i], true, &all, err);
	for (size_t i = 0; i < labels->count; i++)
		strv_add(&all, labels->items[i]);
	return r < 0 ? r : request_set_map(&all, "label", true, body, "Labels", err);
}

/* "always", "on-failure:3" */
static int add_restart(const struct options *options, json_t *host, struct cay_error *err)
{
	static const char *const policies[] = { "no", "always", "unless-stopped", "on-failure" };
	const char *text = option_text(options, "restart");
	struct str count, name = str_split(str_from(text), ':', &count);
	uint64_t retries = 0;
	bool known = false;
	json_t *policy;

	if (!text)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		known = known || str_equals(name, policies[i]);
	if (!known ||
	    (count.length > 0 &&
	     (!str_equals(name, "on-failure") || str_to_u64(count, INT32_MAX, &retries) < 0)))
		return invalid(err, "restart", text,
			       "no, on-failure[:N], always or unless-stopped");
	if (option_flag(options, "rm") && !str_equals(name, "no"))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--restart and --rm exclude each other");
	policy = json_object();
	json_set(policy, "Name", json_stringn(name.data, name.length));
	json_set_int(policy, "MaximumRetryCount", (int64_t)retries);
	json_set(host, "RestartPolicy", policy);
	return 0;
}

/* A limit's number; -1 and "unlimited" are none. */
static int parse_limit(struct str text, int64_t *ret_limit)
{
	uint64_t number;

	if (str_equals(text, "-1") || str_equals(text, "unlimited")) {
		*ret_limit = -1;
		return 0;
	}
	if (str_to_u64(text, INT64_MAX, &number) < 0)
		return -EINVAL;
	*ret_limit = (int64_t)number;
	return 0;
}

static int add_ulimits(const struct options *options, json_t *host, struct cay_error *err)
{
	const struct strv *list = option_list(options, "ulimit");
	json_t *limits;

	if (list->count == 0)
		return 0;
	limits = json_array();
	json_set(host, "Ulimits", limits);
	for (size_t i = 0; i < list->count; i++) {
		struct str value, name = str_split(str_from(list->items[i]), '=', &value);
		struct str hard, soft = str_split(value, ':', &hard);
		int64_t soft_limit, hard_limit;
		json_t *limit;

		if (soft.length == value.length)
			hard = soft;
		if (name.length == 0 || parse_limit(soft, &soft_limit) < 0 ||
		    parse_limit(hard, &hard_limit) < 0)
			return invalid(err, "ulimit", list->items[i],
				       "of the form NAME=SOFT[:HARD]");
		if (hard_limit >= 0 && (soft_limit < 0 || soft_limit > hard_limit))
			return invalid(err, "ulimit", list->items[i],
				       "a soft limit at most as high as the hard one");
		limit = json_object();
		json_set(limit, "Name", json_stringn(name.data, name.length));
		json_set_int(limit, "Soft", soft_limit);
		json_set_int(limit, "Hard", hard_limit);
		(void)json_array_append_new(limits, limit);
	}
	return 0;
}

/* A seccomp profile is named by file here and sent whole: the daemon can't see our files. */
static int add_security(const struct options *options, json_t *host, struct cay_error *err)
{
	const struct strv *list = option_list(options, "security-opt");
	_cleanup_strv_ struct strv all = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		const char *profile = starts_with(list->items[i], "seccomp=")
			? list->items[i] + strlen("seccomp=")
			: NULL;
		_cleanup_buf_ struct buf text = { 0 };
		int r;

		if (!profile || strcmp(profile, "unconfined") == 0 ||
		    strcmp(profile, "builtin") == 0) {
			strv_add(&all, list->items[i]);
			continue;
		}
		r = file_read(profile, SECCOMP_PROFILE_MAX, &text, err);
		if (r < 0)
			return cay_error_prefix(err, "--security-opt");
		strv_addf(&all, "seccomp=%s", buf_text(&text));
	}
	if (all.count > 0)
		json_set(host, "SecurityOpt", json_from_strv(&all));
	return 0;
}

static int add_cpus(const struct options *options, json_t *host, struct cay_error *err)
{
	const char *text = option_text(options, "cpus");
	uint64_t billionths;

	if (!text)
		return 0;
	if (parse_decimal(text, &billionths) < 0)
		return invalid(err, "cpus", text, "a number such as 2 or 1.5");
	json_set_int(host, "NanoCpus", (int64_t)billionths);
	return 0;
}

static int add_log(const struct options *options, json_t *host, struct cay_error *err)
{
	const struct strv *settings = option_list(options, "log-opt");
	json_t *config;

	if (!option_given(options, "log-driver") && settings->count == 0)
		return 0;
	config = json_object();
	json_set(host, "LogConfig", config);
	set_text(options, "log-driver", config, "Type");
	return request_set_map(settings, "log-opt", false, config, "Config", err);
}

/* What runs, and as whom. */
static int add_process(const struct options *options, const char *image, const char *const *command,
		       json_t *body, struct cay_error *err)
{
	json_t *words;

	json_set_string(body, "Image", image);
	if (*command) {
		words = json_array();
		json_set(body, "Cmd", words);
		for (; *command; command++)
			if (json_array_append_new(words, json_string(*command)) < 0)
				return cay_error_set(err, CAY_INVALID, EILSEQ,
						     "the command is not UTF-8");
	}
	if (option_given(options, "entrypoint")) {
		words = json_array();
		(void)json_array_append_new(words, json_string(option_text(options, "entrypoint")));
		json_set(body, "Entrypoint", words);
	}
	set_text(options, "user", body, "User");
	set_text(options, "workdir", body, "WorkingDir");
	set_text(options, "stop-signal", body, "StopSignal");
	set_number(options, "stop-timeout", body, "StopTimeout");
	return request_add_environment(options, body, err);
}

static void add_streams(const struct options *options, const struct request_streams *streams,
			bool detach, json_t *body, json_t *host)
{
	bool tty = option_flag(options, "tty"), open_stdin = option_flag(options, "interactive");
	struct terminal_size size;

	json_set_bool(body, "AttachStdin", streams->in);
	json_set_bool(body, "AttachStdout", streams->out);
	json_set_bool(body, "AttachStderr", streams->err);
	json_set_bool(body, "Tty", tty);
	json_set_bool(body, "OpenStdin", open_stdin);
	json_set_bool(body, "StdinOnce", open_stdin && streams->in && !detach);
	if (tty && terminal_get_size(STDOUT_FILENO, &size))
		json_set(host, "ConsoleSize", json_pack("[ii]", (int)size.rows, (int)size.columns));
}

static int add_resources(const struct options *options, json_t *host, struct cay_error *err)
{
	int r = set_size(options, "memory", host, "Memory", err);

	if (r >= 0)
		r = set_size(options, "shm-size", host, "ShmSize", err);
	if (r >= 0)
		r = add_cpus(options, host, err);
	if (r >= 0)
		r = add_ulimits(options, host, err);
	if (r >= 0)
		r = request_set_map(option_list(options, "sysctl"), "sysctl", false, host,
				    "Sysctls", err);
	set_number(options, "cpu-shares", host, "CpuShares");
	set_number(options, "pids-limit", host, "PidsLimit");
	set_number(options, "oom-score-adj", host, "OomScoreAdj");
	return r;
}

static int add_host(const struct options *options, json_t *host, struct cay_error *err)
{
	int r = add_resources(options, host, err);

	set_flag(options, "rm", host, "AutoRemove");
	set_flag(options, "init", host, "Init");
	set_flag(options, "privileged", host, "Privileged");
	set_flag(options, "read-only", host, "ReadonlyRootfs");
	set_list(options, "cap-add", host, "CapAdd");
	set_list(options, "cap-drop", host, "CapDrop");
	set_list(options, "group-add", host, "GroupAdd");
	if (r >= 0)
		r = add_restart(options, host, err);
	if (r >= 0)
		r = add_security(options, host, err);
	if (r >= 0)
		r = add_log(options, host, err);
	return r;
}

int request_build(const struct options *options, const char *image, const char *const *command,
		  const struct request_streams *streams, bool detach, json_t **ret_body,
		  struct cay_error *err)
{
	_cleanup_json_ json_t *body = json_object();
	json_t *host = json_object();
	int r;

	json_set(body, "HostConfig", host);
	add_streams(options, streams, detach, body, host);
	r = add_process(options, image, command, body, err);
	if (r >= 0)
		r = add_labels(options, body, err);
	if (r >= 0)
		r = add_host(options, host, err);
	if (r >= 0)
		r = request_add_volumes(options, body, host, err);
	if (r >= 0)
		r = request_add_names(options, body, host, err);
	if (r >= 0)
		r = request_add_ports(options, body, host, err);
	if (r >= 0)
		r = request_add_network(options, body, host, err);
	if (r < 0)
		return r;
	*ret_body = TAKE_PTR(body);
	return 0;
}
