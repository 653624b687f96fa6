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
		0,          OPTION_LIST, \
		"add-host", "HOST:IP", \
		NULL,       "Add a line to the container's hosts file; IP may be host-gateway" \
	}, \
		{ 'a', \
		  OPTION_LIST, \
		  "attach", \
		  "STREAM", \
		  "stdin stdout stderr STDIN STDOUT STDERR", \
		  "Attach to this stream only" }, \
		{ 0, OPTION_LIST, "cap-add", "CAPABILITY", NULL, "Add a capability, or ALL" }, \
		{ 0, OPTION_LIST, "cap-drop", "CAPABILITY", NULL, "Drop a capability, or ALL" }, \
		{ 0, OPTION_TEXT, "cidfile", "FILE", NULL, "Write the container's id to this file" }, \
		{ 0, OPTION_TEXT, "cpus", "NUMBER", NULL, "Number of CPUs, with decimals" }, \
		{ 'c',      OPTION_NUMBER, "cpu-shares", \
		  "NUMBER", NULL,          "CPU weight against other containers" }, \
		{ 0, OPTION_LIST, "dns", "IP", NULL, "Ask this name server" }, \
		{ 0, OPTION_LIST, "dns-option", "OPTION", NULL, "Set an option of resolv.conf" }, \
		{ 0, OPTION_SAME, "dns-opt", "dns-option", NULL, NULL }, \
		{ 0, OPTION_LIST, "dns-search", "DOMAIN", NULL, "Search names in this domain" }, \
		{ 0, OPTION_TEXT, "domainname", "NAME", NULL, "Set the container's domain" }, \
		{ 0, OPTION_TEXT, "entrypoint", "COMMAND", NULL, "Replace the image's entry point" }, \
		{ 'e', OPTION_LIST, "env", "NAME[=VALUE]", NULL, "Set an environment variable" }, \
		{ 0, OPTION_LIST, "env-file", "FILE", NULL, "Set environment variables from a file" }, \
		{ 0, OPTION_LIST, "expose", "PORT", NULL, "Note a port that the container serves" }, \
		{ 0, OPTION_LIST, "group-add", "GROUP", NULL, "Add a group to the process's own" }, \
		{ 'h', OPTION_TEXT, "hostname", "NAME", NULL, "Set the container's host name" }, \
		{ 0,    OPTION_FLAG, "init", \
		  NULL, NULL,        "Run an init that forwards signals and reaps processes" }, \
		{ 'i', OPTION_FLAG, "interactive", NULL, NULL, "Pass standard input to the process" }, \
		{ 0, OPTION_TEXT, "ip", "ADDRESS", NULL, "Give the container this IPv4 address" }, \
		{ 0, OPTION_TEXT, "ip6", "ADDRESS", NULL, "Give the container this IPv6 address" }, \
		{ 'l', OPTION_LIST, "label", "KEY[=VALUE]", NULL, "Set a label" }, \
		{ 0, OPTION_LIST, "label-file", "FILE", NULL, "Set labels from a file" }, \
		{ 0,      OPTION_LIST, \
		  "link", "CONTAINER", \
		  NULL,   "Refused: containers on a network find each other by name" }, \
		{ 0,        OPTION_TEXT, "log-driver", \
		  "DRIVER", NULL,        "Keep the log in this way: json-file, none" }, \
		{ 0,           OPTION_LIST, "log-opt", \
		  "KEY=VALUE", NULL,        "Set an option of the log, such as max-size" }, \
		{ 0,         OPTION_TEXT, "mac-address", \
		  "ADDRESS", NULL,        "Give the container this MAC address" }, \
		{ 'm', OPTION_TEXT, "memory", "SIZE", NULL, "Memory of the container's VM" }, \
		{ 0,       OPTION_LIST, \
		  "mount", "type=TYPE,...", \
		  NULL,    "Mount a file system in the container" }, \
		{ 0, OPTION_TEXT, "name", "NAME", NULL, "Name the container" }, \
		{ 0, \
		  OPTION_LIST, \
		  "network", \
		  "NETWORK", \
		  NULL, \
		  "Connect the container to this network; also name=NETWORK,ip=ADDRESS,alias=NAME and so on" }, \
		{ 0, OPTION_SAME, "net", "network", NULL, NULL }, \
		{ 0, OPTION_LIST, "network-alias", "NAME", NULL, "Add a name for it on that network" }, \
		{ 0, OPTION_SAME, "net-alias", "network-alias", NULL, NULL }, \
		{ 0, \
		  OPTION_NUMBER, \
		  "oom-score-adj", \
		  "NUMBER", \
		  NULL, \
		  "Make the kernel spare or kill the process first (-1000 to 1000)" }, \
		{ 0, OPTION_NUMBER, "pids-limit", "NUMBER", NULL, "Limit the number of processes" }, \
		{ 0, OPTION_TEXT, "platform", "OS/ARCH", NULL, "Choose among an image's platforms" }, \
		{ 0,    OPTION_FLAG, "privileged", \
		  NULL, NULL,        "Give the process all rights inside its VM" }, \
		{ 'p',       OPTION_LIST, \
		  "publish", "[[IP:]PORT:]PORT[/PROTOCOL]", \
		  NULL,      "Publish a port of the container on the host, or a range FIRST-LAST" }, \
		{ 'P',  OPTION_FLAG, "publish-all", \
		  NULL, NULL,        "Publish all exposed ports, on free ports of the host" }, \
		{ 0, \
		  OPTION_LIST, \
		  "publish-socket", \
		  "HOST:CONTAINER", \
		  NULL, \
		  "Make a unix socket of the container reachable at a path of the host" }, \
		{ 0, \
		  OPTION_TEXT, \
		  "pull", \
		  "WHEN", \
		  "always missing never", \
		  "Pull the image always, if it is missing (the default), or never" }, \
		{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Don't show the progress of a pull" }, \
		{ 0, OPTION_FLAG, "read-only", NULL, NULL, "Mount the root file system read-only" }, \
		{ 0,         OPTION_TEXT, \
		  "restart", "POLICY", \
		  NULL,      "When to restart: no, on-failure[:N], always, unless-stopped" }, \
		{ 0, OPTION_FLAG, "rm", NULL, NULL, "Remove the container when it ends" }, \
		{ 0,        OPTION_LIST, "security-opt", \
		  "OPTION", NULL,        "Set a security option, such as no-new-privileges" }, \
		{ 0, OPTION_TEXT, "shm-size", "SIZE", NULL, "Size of /dev/shm" }, \
		{ 0,    OPTION_FLAG, "ssh", \
		  NULL, NULL,        "Let the container use the SSH agent of SSH_AUTH_SOCK" }, \
		{ 0,        OPTION_TEXT, "stop-signal", \
		  "SIGNAL", NULL,        "Signal that asks the process to end" }, \
		{ 0,         OPTION_NUMBER, "stop-timeout", \
		  "SECONDS", NULL,          "How long it may take to end before it is killed" }, \
		{ 0,           OPTION_LIST, "storage-opt", \
		  "KEY=VALUE", NULL,        "Set an option of the writable layer, such as size=20g" }, \
		{ 0, OPTION_LIST, "sysctl", "KEY=VALUE", NULL, "Set a kernel parameter in the VM" }, \
		{ 0,       OPTION_LIST, \
		  "tmpfs", "PATH[:OPTIONS]", \
		  NULL,    "Mount an empty file system in memory" }, \
		{ 't', OPTION_FLAG, "tty", NULL, NULL, "Give the process a terminal" }, \
		{ 0, OPTION_LIST, "ulimit", "NAME=SOFT[:HARD]", NULL, "Set a resource limit" }, \
		{ 'u',    OPTION_TEXT, \
		  "user", "USER[:GROUP]", \
		  NULL,   "Run as this user, by name or number" }, \
		{ 'v',      OPTION_LIST, \
		  "volume", "[SOURCE:]PATH[:OPTIONS]", \
		  NULL,     "Mount a directory of the host, or a volume" }, \
		{ 0, OPTION_TEXT, "volume-driver", "DRIVER", NULL, "Make volumes by this driver" }, \
		{ 0, \
		  OPTION_LIST, \
		  "volumes-from", \
		  "CONTAINER[:ro|rw]", \
		  NULL, \
		  "Mount the volumes and directories of another container" }, \
	{ \
		'w', OPTION_TEXT, "workdir", "PATH", NULL, "Start in this directory" \
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
int request_add_mounts(const struct options *options, json_t *host, struct cay_error *err);
int request_add_ports(const struct options *options, json_t *body, json_t *host,
		      struct cay_error *err);
int request_add_names(const struct options *options, json_t *body, json_t *host,
		      struct cay_error *err);
int request_add_network(const struct options *options, json_t *body, json_t *host,
			struct cay_error *err);
/* --env and --env-file as "Env" of `body`, which run, create and exec share; nothing without them.
 */
int request_add_environment(const struct options *options, json_t *body, struct cay_error *err);
/*
 * A path of the host that the request names: absolute where it begins with a dot, for the daemon
 * stands in another directory; what else is relative is the daemon's to judge. The caller frees.
 */
char *request_host_path(const char *path);
/* The array `key` of the object, borrowed; made where it is not there yet. */
json_t *request_member_array(json_t *object, const char *key);
/*
 * KEY=VALUE words as the map `key` of `object`; nothing for no words. A KEY alone is an error, or
 * stands for an empty value with `key_alone`.
 */
int request_set_map(const struct strv *list, const char *option, bool key_alone, json_t *object,
		    const char *key, struct cay_error *err);
