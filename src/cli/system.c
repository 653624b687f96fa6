/* SPDX-License-Identifier: Apache-2.0 */
/* version, info, and starting and stopping the daemon. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/daemon.h"
#include "cli/template.h"
#include "cli/text.h"

#include <errno.h>
#include <sys/utsname.h>

const struct option version_options[] = {
	{ 'f', OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as json, or by a template such as {{.Server.Version}}" },
	{ 0 },
};

const struct option info_options[] = {
	{ 'f', OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as json, or by a template such as {{.Containers}}" },
	{ 0 },
};

const struct option system_start_options[] = {
	{ 0, OPTION_TEXT, "host", "ADDRESS", NULL, "Where it is to listen, unix:///PATH" },
	{ 0, OPTION_TEXT, "root", "DIRECTORY", NULL, "Where it keeps images and containers" },
	{ 0, OPTION_TEXT, "run", "DIRECTORY", NULL,
	  "Where it keeps sockets (default: beside its own)" },
	{ 0 },
};

const struct option system_stop_options[] = {
	{ 't', OPTION_NUMBER, "time", "SECONDS", NULL, "Wait so long for its end (default 30)" },
	{ 0 },
};

const struct option system_status_options[] = {
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as json, or by a template such as {{.Pid}}" },
	{ 0 },
};

enum { STOP_SECONDS = 30 };

/* A line of a listing: what it is called, and where in the document it is. */
struct line {
	const char *label;
	const char *key;
};

static void append_lines(struct buf *out, const json_t *value, const struct line *lines)
{
	for (; lines->label; lines++) {
		const json_t *item = json_object_get(value, lines->key);
		_cleanup_buf_ struct buf text = { 0 };

		if (!item || json_is_null(item) || json_is_object(item))
			continue;
		template_print(item, &text);
		buf_reserve(&text, 0);
		text_make_safe(text.data, false);
		buf_printf(out, " %-18s %s\n", lines->label, text.data);
	}
}

static json_t *client_version(void)
{
	json_t *client = json_object();
	struct utsname host;

	json_set_string(client, "Version", CAY_VERSION);
	json_set_string(client, "Os", "linux");
	if (uname(&host) == 0)
		json_set_string(client, "Arch",
				strcmp(host.machine, "x86_64") == 0 ? "amd64" : host.machine);
	return client;
}

/* Prints the client's part also where no daemon answers, which is then the failure. */
int command_version(const struct invocation *invocation, struct cay_error *err)
{
	static const struct line client_lines[] = { { "Version:", "Version" },
						    { "Arch:", "Arch" },
						    { 0 } };
	static const struct line server_lines[] = { { "Version:", "Version" },
						    { "API version:", "ApiVersion" },
						    { "Minimum API:", "MinAPIVersion" },
						    { "Git commit:", "GitCommit" },
						    { "Built:", "BuildTime" },
						    { "OS:", "Os" },
						    { "Arch:", "Arch" },
						    { "Kernel:", "KernelVersion" },
						    { 0 } };
	_cleanup_json_ json_t *both = json_object(), *server = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	json_t *client = client_version();
	struct cay_error server_error = { 0 };
	int r,
		found = client_call_named(invocation->client, "GET", "/version", "", &server,
					  &server_error);

	json_set(both, "Client", client);
	json_set(both, "Server", server ? json_incref(server) : json_null());
	if (!print_formatted(invocation->options, both, &r, err)) {
		buf_puts(&out, "Client:\n");
		append_lines(&out, client, client_lines);
		if (found >= 0) {
			buf_puts(&out, "\nServer:\n");
			append_lines(&out, server, server_lines);
		}
		r = text_print(&out, err);
	}
	if (r >= 0 && found < 0) {
		*err = server_error;
		return found;
	}
	return r;
}

/* What the daemon misses on this host, and what follows from it. */
static void tell_warnings(const json_t *info)
{
	const json_t *warning;
	size_t index;

	json_array_foreach(json_object_get(info, "Warnings"), index, warning) {
		if (json_is_string(warning))
			text_complain("warning: %s", json_string_value(warning));
	}
}

int command_info(const struct invocation *invocation, struct cay_error *err)
{
	static const struct line lines[] = { { "Server version:", "ServerVersion" },
					     { "Containers:", "Containers" },
					     { "  running:", "ContainersRunning" },
					     { "  paused:", "ContainersPaused" },
					     { "  stopped:", "ContainersStopped" },
					     { "Images:", "Images" },
					     { "Storage driver:", "Driver" },
					     { "Logging driver:", "LoggingDriver" },
					     { "Root directory:", "DockerRootDir" },
					     { "Kernel:", "KernelVersion" },
					     { "Operating system:", "OperatingSystem" },
					     { "Architecture:", "Architecture" },
					     { "CPUs:", "NCPU" },
					     { "Memory:", "MemTotal" },
					     { "Name:", "Name" },
					     { "ID:", "ID" },
					     { 0 } };
	_cleanup_json_ json_t *info = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	const json_t *status, *pair;
	size_t index;
	int r = client_call_named(invocation->client, "GET", "/info", "", &info, err);

	if (r < 0 || print_formatted(invocation->options, info, &r, err))
		return r;
	append_lines(&out, info, lines);
	/* What the daemon says about its driver is for people: pairs of a name and a text. */
	status = json_object_get(info, "DriverStatus");
	json_array_foreach(status, index, pair) {
		const char *name = json_string_value(json_array_get(pair, 0));
		const char *text = json_string_value(json_array_get(pair, 1));

		if (name && text)
			buf_printf(&out, " %s: %s\n", name, text);
	}
	r = text_print(&out, err);
	if (r >= 0)
		tell_warnings(info);
	return r;
}

/* ---- the daemon as a process ---- */

/* The client, or what was wrong with its address. */
static int need_client(const struct invocation *invocation, const char *host,
		       struct client **ret_client, struct cay_error *err)
{
	_cleanup_free_ char *same = NULL;

	if (!host && invocation->client) {
		same = xasprintf("unix://%s", invocation->client->path);
		host = same;
	}
	return client_new(host, ret_client, err);
}

int command_system_start(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_(client_free_p) struct client *client = NULL;
	_cleanup_free_ char *root = NULL, *run = NULL, *line = NULL;
	struct daemon_place place = { 0 };
	int r = need_client(invocation, option_text(options, "host"), &client, err);

	if (r < 0)
		return r;
	/* The daemon stands elsewhere, so it must be told whole paths. */
	root = absolute_path(option_text(options, "root"));
	run = absolute_path(option_text(options, "run"));
	place = (struct daemon_place){
		.root = root, .run = run, .socket = client->path, .options = invocation->operands
	};
	r = daemon_start(&place, err);
	if (r < 0)
		return r;
	line = xasprintf("the daemon answers at unix://%s", client->path);
	return text_print_line(line, err);
}

int command_system_stop(const struct invocation *invocation, struct cay_error *err)
{
	int64_t seconds = option_number(invocation->options, "time", STOP_SECONDS);
	_cleanup_(client_free_p) struct client *client = NULL;
	_cleanup_close_ int pidfd = -1;
	pid_t pid;
	int r = need_client(invocation, NULL, &client, err);

	if (r < 0)
		return r;
	if (seconds < 0 || seconds > INT32_MAX / 1000)
		return cay_error_set(err, CAY_INVALID, EINVAL, "--time: %lld is not a time",
				     (long long)seconds);
	pidfd = daemon_find(client, &pid, err);
	if (pidfd < 0 && err->code == CAY_UNAVAILABLE)
		return text_print_line("no daemon runs", err);
	if (pidfd < 0)
		return pidfd;
	r = daemon_stop(pidfd, (int)seconds * 1000, err);
	return r < 0 ? r : text_print_line("the daemon has ended; containers run on", err);
}

int command_system_status(const struct invocation *invocation, struct cay_error *err)
{
	static const struct line lines[] = { { "Status:", "Status" }, { "Address:", "Address" },
					     { "Pid:", "Pid" },       { "Version:", "Version" },
					     { "Why:", "Why" },       { 0 } };
	_cleanup_json_ json_t *status = json_object(), *version = NULL;
	_cleanup_(client_free_p) struct client *client = NULL;
	_cleanup_free_ char *address = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	_cleanup_close_ int pidfd = -1;
	struct cay_error why = { 0 };
	pid_t pid;
	int r = need_client(invocation, NULL, &client, err);
	bool running;

	if (r < 0)
		return r;
	running = client_call_named(client, "GET", "/version", "", &version, &why) >= 0;
	address = xasprintf("unix://%s", client->path);
	json_set_string(status, "Status", running ? "running" : "not running");
	json_set_string(status, "Address", address);
	pidfd = daemon_find(client, &pid, NULL);
	if (pidfd >= 0)
		json_set_int(status, "Pid", pid);
	if (running)
		json_set_string(status, "Version", json_text_at(version, "Version", NULL));
	else
		json_set_string(status, "Why", why.message);
	if (!print_formatted(invocation->options, status, &r, err)) {
		append_lines(&out, status, lines);
		r = text_print(&out, err);
	}
	return r < 0 ? r : !running;
}
