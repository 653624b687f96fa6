/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request to create a container, from the options of run and create: the
 * body of POST /containers/create ("ContainerCreate" in the Engine API). Only
 * what was asked for is in it; the daemon knows the defaults, and says what it
 * can't do.
 */
#pragma once

#include "base/json.h"
#include "cli/options.h"

/* The options that run and create share, for their tables. */
#define REQUEST_OPTIONS \
	{ \
		0,         "add-host", OPTION_LIST, \
		"HOST:IP", NULL,       "Add a line to the container's hosts file" \
	}, \
		{ 'a', \
		  "attach", \
		  OPTION_LIST, \
		  "STREAM", \
		  "stdin stdout stderr STDIN STDOUT STDERR", \
		  "Attach to this stream only" }, \
		{ 0, "cap-add", OPTION_LIST, "CAPABILITY", NULL, "Add a capability, or ALL" }, \
		{ 0, "cap-drop", OPTION_LIST, "CAPABILITY", NULL, "Drop a capability, or ALL" }, \
		{ 0, "cidfile", OPTION_TEXT, "FILE", NULL, "Write the container's id to this file" }, \
		{ 0, "cpus", OPTION_TEXT, "NUMBER", NULL, "Number of CPUs, with decimals" }, \
		{ 'c',      "cpu-shares", OPTION_NUMBER, \
		  "NUMBER", NULL,         "CPU weight against other containers" }, \
		{ 0, "dns", OPTION_LIST, "IP", NULL, "Ask this name server" }, \
		{ 0, "dns-option", OPTION_LIST, "OPTION", NULL, "Set an option of resolv.conf" }, \
		{ 0, "dns-search", OPTION_LIST, "DOMAIN", NULL, "Search names in this domain" }, \
		{ 0, "entrypoint", OPTION_TEXT, "COMMAND", NULL, "Replace the image's entry point" }, \
		{ 'e', "env", OPTION_LIST, "NAME[=VALUE]", NULL, "Set an environment variable" }, \
		{ 0, "env-file", OPTION_LIST, "FILE", NULL, "Set environment variables from a file" }, \
		{ 0, "expose", OPTION_LIST, "PORT", NULL, "Note a port that the container serves" }, \
		{ 0, "group-add", OPTION_LIST, "GROUP", NULL, "Add a group to the process's own" }, \
		{ 'h', "hostname", OPTION_TEXT, "NAME", NULL, "Set the container's host name" }, \
		{ 0,    "init", OPTION_FLAG, \
		  NULL, NULL,   "Run an init that forwards signals and reaps processes" }, \
		{ 'i', "interactive", OPTION_FLAG, NULL, NULL, "Pass standard input to the process" }, \
		{ 0, "ip", OPTION_TEXT, "ADDRESS", NULL, "Give the container this IPv4 address" }, \
		{ 0, "ip6", OPTION_TEXT, "ADDRESS", NULL, "Give the container this IPv6 address" }, \
		{ 'l', "label", OPTION_LIST, "KEY[=VALUE]", NULL, "Set a label" }, \
		{ 0, "label-file", OPTION_LIST, "FILE", NULL, "Set labels from a file" }, \
		{ 0,        "log-driver", OPTION_TEXT, \
		  "DRIVER", NULL,         "Keep the log in this way: json-file, none" }, \
		{ 0,           "log-opt", OPTION_LIST, \
		  "KEY=VALUE", NULL,      "Set an option of the log, such as max-size" }, \
		{ 0,         "mac-address", OPTION_TEXT, \
		  "ADDRESS", NULL,          "Give the container this MAC address" }, \
		{ 'm', "memory", OPTION_TEXT, "SIZE", NULL, "Memory of the container's VM" }, \
		{ 0,           "mount", \
		  OPTION_LIST, "type=TYPE,...", \
		  NULL,        "Mount a file system in the container" }, \
		{ 0, "name", OPTION_TEXT, "NAME", NULL, "Name the container" }, \
		{ 0,         "network", OPTION_TEXT, \
		  "NETWORK", NULL,      "Connect the container to this network" }, \
		{ 0, "network-alias", OPTION_LIST, "NAME", NULL, "Add a name for it on that network" }, \
		{ 0, \
		  "oom-score-adj", \
		  OPTION_NUMBER, \
		  "NUMBER", \
		  NULL, \
		  "Make the kernel spare or kill the process first (-1000 to 1000)" }, \
		{ 0, "pids-limit", OPTION_NUMBER, "NUMBER", NULL, "Limit the number of processes" }, \
		{ 0, "platform", OPTION_TEXT, "OS/ARCH", NULL, "Choose among an image's platforms" }, \
		{ 0,    "privileged", OPTION_FLAG, \
		  NULL, NULL,         "Give the process all rights inside its VM" }, \
		{ 'p',         "publish", \
		  OPTION_LIST, "[[IP:]PORT:]PORT", \
		  NULL,        "Publish a port of the container on the host" }, \
		{ 'P', "publish-all", OPTION_FLAG, NULL, NULL, "Publish all exposed ports" }, \
		{ 0, \
		  "pull", \
		  OPTION_TEXT, \
		  "WHEN", \
		  "always missing never", \
		  "Pull the image always, if it is missing (the default), or never" }, \
		{ 'q', "quiet", OPTION_FLAG, NULL, NULL, "Don't show the progress of a pull" }, \
		{ 0, "read-only", OPTION_FLAG, NULL, NULL, "Mount the root file system read-only" }, \
		{ 0,        "restart", OPTION_TEXT, \
		  "POLICY", NULL,      "When to restart: no, on-failure[:N], always, unless-stopped" }, \
		{ 0, "rm", OPTION_FLAG, NULL, NULL, "Remove the container when it ends" }, \
		{ 0,        "security-opt", OPTION_LIST, \
		  "OPTION", NULL,           "Set a security option, such as no-new-privileges" }, \
		{ 0, "shm-size", OPTION_TEXT, "SIZE", NULL, "Size of /dev/shm" }, \
		{ 0,        "stop-signal", OPTION_TEXT, \
		  "SIGNAL", NULL,          "Signal that asks the process to end" }, \
		{ 0,         "stop-timeout", OPTION_NUMBER, \
		  "SECONDS", NULL,           "How long it may take to end before it is killed" }, \
		{ 0, "sysctl", OPTION_LIST, "KEY=VALUE", NULL, "Set a kernel parameter in the VM" }, \
		{ 0,           "tmpfs", \
		  OPTION_LIST, "PATH[:OPTIONS]", \
		  NULL,        "Mount an empty file system in memory" }, \
		{ 't', "tty", OPTION_FLAG, NULL, NULL, "Give the process a terminal" }, \
		{ 0, "ulimit", OPTION_LIST, "NAME=SOFT[:HARD]", NULL, "Set a resource limit" }, \
		{ 'u',         "user", \
		  OPTION_TEXT, "USER[:GROUP]", \
		  NULL,        "Run as this user, by name or number" }, \
		{ 'v',         "volume", \
		  OPTION_LIST, "[SOURCE:]PATH[:OPTIONS]", \
		  NULL,        "Mount a directory of the host, or a volume" }, \
	{ \
		'w', "workdir", OPTION_TEXT, "PATH", NULL, "Start in this directory" \
	}

/* Which standard streams the client joins. */
struct request_streams {
	bool in, out, err;
};

/*
 * The streams to attach: those named with -a, else out and err, and in with -i. None when detached,
 * for which `detach` stands.
 */
int request_get_streams(const struct options *options, bool detach,
			struct request_streams *ret_streams, struct cay_error *err);

/*
 * The whole body. `command` ends with NULL. The caller drops *ret_body. Reads the files that
 * options name; errors are CAY_INVALID and name the option.
 */
int request_build(const struct options *options, const char *image, const char *const *command,
		  const struct request_streams *streams, bool detach, json_t **ret_body,
		  struct cay_error *err);

/* ---- parts, for the options that have a grammar of their own; each adds to `host` or `body` ----
 */

int request_add_volumes(const struct options *options, json_t *body, json_t *host,
			struct cay_error *err);
int request_add_ports(const struct options *options, json_t *body, json_t *host,
		      struct cay_error *err);
int request_add_network(const struct options *options, json_t *body, json_t *host,
			struct cay_error *err);
