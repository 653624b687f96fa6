/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of commands: docker's verbs, with Apple's spellings as other names, and their nouns. */
#include "cli/commands.h"

static const struct option root_options[] = {
	{ 'D', OPTION_FLAG, "debug", NULL, NULL, "Say more about failures" },
	{ 'H', OPTION_TEXT, "host", "ADDRESS", NULL,
	  "The daemon's address, unix:///PATH (also CAY_HOST)" },
	{ 0, OPTION_FLAG, "version", NULL, NULL, "Print cay's version" },
	{ 0 },
};

/* Rows that stand at the top and under a noun as well. */
#define ROW_CREATE(section) \
	{ \
		"create", NULL, "IMAGE [COMMAND] [ARG...]", \
			"Create a container without starting it", section, create_options, NULL, \
			1, OPERANDS_ANY, OPERAND_IMAGE, \
			COMMAND_STOPS_AT_OPERAND | COMMAND_STARTS_DAEMON | COMMAND_RUNS_PROCESS, \
			command_create \
	}
#define ROW_RUN(section) \
	{ \
		"run", NULL, "IMAGE [COMMAND] [ARG...]", \
			"Create a container and run a command in it", section, run_options, NULL, \
			1, OPERANDS_ANY, OPERAND_IMAGE, \
			COMMAND_STOPS_AT_OPERAND | COMMAND_STARTS_DAEMON | COMMAND_RUNS_PROCESS, \
			command_run \
	}
#define ROW_START \
	{ \
		"start", NULL, "CONTAINER [CONTAINER...]", "Start containers that do not run", \
			NULL, start_options, NULL, 1, OPERANDS_ANY, OPERAND_CONTAINER, \
			COMMAND_STARTS_DAEMON | COMMAND_RUNS_PROCESS, command_start \
	}
#define ROW_STOP \
	{ \
		"stop", NULL, "CONTAINER [CONTAINER...]", \
			"Ask containers to end, and kill those that do not", NULL, stop_options, \
			NULL, 1, OPERANDS_ANY, OPERAND_RUNNING_CONTAINER, 0, command_stop \
	}
#define ROW_RESTART \
	{ \
		"restart", NULL, "CONTAINER [CONTAINER...]", \
			"Stop containers and start them again", NULL, stop_options, NULL, 1, \
			OPERANDS_ANY, OPERAND_CONTAINER, 0, command_restart \
	}
#define ROW_KILL \
	{ \
		"kill", NULL, "CONTAINER [CONTAINER...]", "Send a signal to running containers", \
			NULL, kill_options, NULL, 1, OPERANDS_ANY, OPERAND_RUNNING_CONTAINER, 0, \
			command_kill \
	}
#define ROW_REMOVE \
	{ \
		"rm", "remove delete", "CONTAINER [CONTAINER...]", "Remove containers", NULL, \
			remove_options, NULL, 1, OPERANDS_ANY, OPERAND_CONTAINER, 0, \
			command_remove \
	}
#define ROW_LIST(name, aliases) \
	{ \
		name, aliases, NULL, "List containers", NULL, list_options, NULL, 0, 0, \
			OPERAND_NONE, 0, command_list \
	}
#define ROW_EXEC \
	{ \
		"exec", NULL, "CONTAINER COMMAND [ARG...]", \
			"Run a command in a running container", NULL, exec_options, NULL, 2, \
			OPERANDS_ANY, OPERAND_RUNNING_CONTAINER, \
			COMMAND_STOPS_AT_OPERAND | COMMAND_RUNS_PROCESS, command_exec \
	}
#define ROW_ATTACH \
	{ \
		"attach", NULL, "CONTAINER", "Join the streams of a running container", NULL, \
			attach_options, NULL, 1, 1, OPERAND_RUNNING_CONTAINER, \
			COMMAND_RUNS_PROCESS, command_attach \
	}
#define ROW_LOGS \
	{ \
		"logs", NULL, "CONTAINER", "Show what a container has written", NULL, \
			logs_options, NULL, 1, 1, OPERAND_CONTAINER, 0, command_logs \
	}
#define ROW_WAIT \
	{ \
		"wait", NULL, "CONTAINER [CONTAINER...]", \
			"Wait for containers to end and print their exit codes", NULL, NULL, NULL, \
			1, OPERANDS_ANY, OPERAND_RUNNING_CONTAINER, 0, command_wait \
	}
#define ROW_TOP \
	{ \
		"top", NULL, "CONTAINER [PS OPTIONS]", "Show the processes of a container", NULL, \
			NULL, NULL, 1, OPERANDS_ANY, OPERAND_RUNNING_CONTAINER, \
			COMMAND_STOPS_AT_OPERAND, command_top \
	}
#define ROW_STATS \
	{ \
		"stats", NULL, "[CONTAINER...]", "Show what containers use, as it changes", NULL, \
			stats_options, NULL, 0, OPERANDS_ANY, OPERAND_RUNNING_CONTAINER, 0, \
			command_stats \
	}
#define ROW_PAUSE \
	{ \
		"pause", NULL, "CONTAINER [CONTAINER...]", "Halt all processes of containers", \
			NULL, NULL, NULL, 1, OPERANDS_ANY, OPERAND_RUNNING_CONTAINER, 0, \
			command_pause \
	}
#define ROW_UNPAUSE \
	{ \
		"unpause", NULL, "CONTAINER [CONTAINER...]", "Let halted containers go on", NULL, \
			NULL, NULL, 1, OPERANDS_ANY, OPERAND_RUNNING_CONTAINER, 0, command_unpause \
	}
#define ROW_RENAME \
	{ \
		"rename", NULL, "CONTAINER NAME", "Give a container another name", NULL, NULL, \
			NULL, 2, 2, OPERAND_CONTAINER, 0, command_rename \
	}
#define ROW_PORT \
	{ \
		"port", NULL, "CONTAINER [PORT[/PROTOCOL]]", \
			"List the published ports of a container", NULL, NULL, NULL, 1, 2, \
			OPERAND_CONTAINER, 0, command_port \
	}
#define ROW_COPY \
	{ \
		"cp", "copy", "CONTAINER:PATH|PATH|- CONTAINER:PATH|PATH|-", \
			"Copy files between a container and this host, or an archive with -", \
			NULL, copy_options, NULL, 2, 2, OPERAND_CONTAINER_PATH, 0, command_copy \
	}
#define ROW_DIFF \
	{ \
		"diff", NULL, "CONTAINER", \
			"List what a container has added (A), changed (C) and deleted (D)", NULL, \
			NULL, NULL, 1, 1, OPERAND_CONTAINER, 0, command_diff \
	}
#define ROW_EXPORT \
	{ \
		"export", NULL, "CONTAINER", "Write a container's files to an archive", NULL, \
			export_options, NULL, 1, 1, OPERAND_CONTAINER, 0, command_export \
	}
#define ROW_COMMIT \
	{ \
		"commit", NULL, "CONTAINER [NAME[:TAG]]", "Make an image of a container", NULL, \
			commit_options, NULL, 1, 2, OPERAND_CONTAINER_IMAGE, 0, command_commit \
	}
#define ROW_IMPORT \
	{ \
		"import", NULL, "FILE|URL|- [NAME[:TAG]]", "Make an image of an archive of files", \
			NULL, import_options, NULL, 1, 2, OPERAND_FILE, COMMAND_STARTS_DAEMON, \
			command_import \
	}
#define ROW_PULL \
	{ \
		"pull", NULL, "IMAGE", "Fetch an image from its registry", NULL, pull_options, \
			NULL, 1, 1, OPERAND_IMAGE, COMMAND_STARTS_DAEMON, command_pull \
	}
#define ROW_PUSH \
	{ \
		"push", NULL, "NAME[:TAG]", "Send an image to its registry", NULL, push_options, \
			NULL, 1, 1, OPERAND_IMAGE, COMMAND_STARTS_DAEMON, command_push \
	}
#define ROW_SAVE(section) \
	{ \
		"save", NULL, "IMAGE [IMAGE...]", "Write images to an archive", section, \
			save_options, NULL, 1, OPERANDS_ANY, OPERAND_IMAGE, 0, command_save \
	}
#define ROW_LOGIN(section) \
	{ \
		"login", NULL, "[REGISTRY]", "Store the credentials for a registry", section, \
			login_options, NULL, 0, 1, OPERAND_REGISTRY, COMMAND_STARTS_DAEMON, \
			command_login \
	}
#define ROW_LOGOUT \
	{ \
		"logout", NULL, "[REGISTRY]", "Forget the credentials for a registry", NULL, NULL, \
			NULL, 0, 1, OPERAND_REGISTRY, COMMAND_LOCAL, command_logout \
	}
#define ROW_LOAD \
	{ \
		"load", NULL, NULL, "Read images from an archive", NULL, load_options, NULL, 0, 0, \
			OPERAND_NONE, COMMAND_STARTS_DAEMON, command_load \
	}
#define ROW_IMAGES(name, aliases, section) \
	{ \
		name, aliases, "[NAME[:TAG]]", "List images", section, images_options, NULL, 0, 1, \
			OPERAND_IMAGE, 0, command_images \
	}
#define ROW_REMOVE_IMAGE(name, aliases) \
	{ \
		name, aliases, "IMAGE [IMAGE...]", "Remove images", NULL, image_remove_options, \
			NULL, 1, OPERANDS_ANY, OPERAND_IMAGE, 0, command_remove_image \
	}
#define ROW_TAG \
	{ \
		"tag", NULL, "IMAGE NAME[:TAG]", "Give an image another name", NULL, NULL, NULL, \
			2, 2, OPERAND_IMAGE, 0, command_tag \
	}
#define ROW_HISTORY \
	{ \
		"history", NULL, "IMAGE", "Show how an image was made", NULL, history_options, \
			NULL, 1, 1, OPERAND_IMAGE, 0, command_history \
	}
#define ROW_VERSION(section) \
	{ \
		"version", NULL, NULL, "Show the versions of cay and its daemon", section, \
			version_options, NULL, 0, 0, OPERAND_NONE, 0, command_version \
	}
#define ROW_INFO \
	{ \
		"info", NULL, NULL, "Show what the daemon is and has", NULL, info_options, NULL, \
			0, 0, OPERAND_NONE, 0, command_info \
	}
#define ROW_EVENTS \
	{ \
		"events", NULL, NULL, "Show what happens in the daemon, as it happens", NULL, \
			events_options, NULL, 0, 0, OPERAND_NONE, 0, command_events \
	}

static const struct command container_commands[] = {
	ROW_RUN(NULL),
	ROW_CREATE(NULL),
	ROW_START,
	ROW_STOP,
	ROW_RESTART,
	ROW_KILL,
	ROW_REMOVE,
	ROW_LIST("ls", "ps list"),
	ROW_EXEC,
	ROW_ATTACH,
	ROW_LOGS,
	ROW_WAIT,
	ROW_TOP,
	ROW_STATS,
	ROW_PAUSE,
	ROW_UNPAUSE,
	ROW_RENAME,
	ROW_PORT,
	ROW_COPY,
	ROW_DIFF,
	ROW_EXPORT,
	ROW_COMMIT,
	{ "inspect", NULL, "CONTAINER [CONTAINER...]", "Show all about containers", NULL,
	  inspect_options, NULL, 1, OPERANDS_ANY, OPERAND_CONTAINER, 0, command_inspect_container },
	{ "prune", NULL, NULL, "Remove all containers that do not run", NULL, prune_options, NULL,
	  0, 0, OPERAND_NONE, 0, command_prune },
	{ 0 },
};

static const struct command image_commands[] = {
	ROW_PULL,
	ROW_PUSH,
	ROW_SAVE(NULL),
	ROW_LOAD,
	ROW_IMPORT,
	ROW_IMAGES("ls", "list", NULL),
	ROW_REMOVE_IMAGE("rm", "remove delete"),
	ROW_TAG,
	ROW_HISTORY,
	{ "inspect", NULL, "IMAGE [IMAGE...]", "Show all about images", NULL, image_inspect_options,
	  NULL, 1, OPERANDS_ANY, OPERAND_IMAGE, 0, command_inspect_image },
	{ "verify", NULL, "IMAGE [IMAGE...]", "Check what is stored of images for damage", NULL,
	  verify_options, NULL, 1, OPERANDS_ANY, OPERAND_IMAGE, 0, command_verify },
	{ "prune", NULL, NULL, "Remove images that nothing uses", NULL, image_prune_options, NULL,
	  0, 0, OPERAND_NONE, 0, command_prune_images },
	{ 0 },
};

static const struct command network_commands[] = {
	{ "create", NULL, "NETWORK", "Create a network", NULL, network_create_options, NULL, 1, 1,
	  OPERAND_NONE, COMMAND_STARTS_DAEMON, command_create_network },
	{ "ls", "list", NULL, "List networks", NULL, network_list_options, NULL, 0, 0, OPERAND_NONE,
	  0, command_list_networks },
	{ "inspect", NULL, "NETWORK [NETWORK...]", "Show all about networks", NULL,
	  network_inspect_options, NULL, 1, OPERANDS_ANY, OPERAND_NETWORK, 0,
	  command_inspect_network },
	{ "connect", NULL, "NETWORK CONTAINER", "Connect a container to a network", NULL,
	  network_connect_options, NULL, 2, 2, OPERAND_NETWORK_CONTAINER, 0,
	  command_connect_network },
	{ "disconnect", NULL, "NETWORK CONTAINER", "Disconnect a container from a network", NULL,
	  network_disconnect_options, NULL, 2, 2, OPERAND_NETWORK_CONTAINER, 0,
	  command_disconnect_network },
	{ "rm", "remove delete", "NETWORK [NETWORK...]", "Remove networks", NULL,
	  network_remove_options, NULL, 1, OPERANDS_ANY, OPERAND_NETWORK, 0,
	  command_remove_network },
	{ "prune", NULL, NULL, "Remove all networks that no container is on", NULL, prune_options,
	  NULL, 0, 0, OPERAND_NONE, 0, command_prune_networks },
	{ 0 },
};

static const struct command volume_commands[] = {
	{ "create", NULL, "[VOLUME]", "Create a volume", NULL, volume_create_options, NULL, 0, 1,
	  OPERAND_NONE, COMMAND_STARTS_DAEMON, command_create_volume },
	{ "ls", "list", NULL, "List volumes", NULL, volume_list_options, NULL, 0, 0, OPERAND_NONE,
	  0, command_list_volumes },
	{ "inspect", NULL, "VOLUME [VOLUME...]", "Show all about volumes", NULL,
	  volume_inspect_options, NULL, 1, OPERANDS_ANY, OPERAND_VOLUME, 0,
	  command_inspect_volume },
	{ "rm", "remove delete", "VOLUME [VOLUME...]", "Remove volumes that no container uses",
	  NULL, volume_remove_options, NULL, 1, OPERANDS_ANY, OPERAND_VOLUME, 0,
	  command_remove_volume },
	{ "prune", NULL, NULL, "Remove all volumes that no container uses", NULL,
	  volume_prune_options, NULL, 0, 0, OPERAND_NONE, 0, command_prune_volumes },
	{ 0 },
};

static const struct command registry_commands[] = {
	ROW_LOGIN(NULL),
	ROW_LOGOUT,
	{ "ls", "list", NULL, "List the registries that credentials are stored for", NULL,
	  registry_list_options, NULL, 0, 0, OPERAND_NONE, COMMAND_LOCAL, command_list_registries },
	{ 0 },
};

static const struct command template_commands[] = {
	{ "create", NULL, NULL, "Make a template now, instead of after a first start", NULL,
	  template_create_options, NULL, 0, 0, OPERAND_NONE, COMMAND_STARTS_DAEMON,
	  command_create_template },
	{ "ls", "list", NULL, "List templates", NULL, template_list_options, NULL, 0, 0,
	  OPERAND_NONE, 0, command_list_templates },
	{ "inspect", NULL, "TEMPLATE [TEMPLATE...]", "Show all about templates", NULL,
	  template_inspect_options, NULL, 1, OPERANDS_ANY, OPERAND_TEMPLATE, 0,
	  command_inspect_template },
	{ "rm", "remove delete", "TEMPLATE [TEMPLATE...]",
	  "Remove templates; containers that came from them run on", NULL, template_remove_options,
	  NULL, 1, OPERANDS_ANY, OPERAND_TEMPLATE, 0, command_remove_template },
	{ 0 },
};

static const struct command system_commands[] = {
	{ "start", NULL, "[-- CAYD-OPTION...]", "Start the daemon", NULL, system_start_options,
	  NULL, 0, OPERANDS_ANY, OPERAND_NONE, COMMAND_LOCAL, command_system_start },
	{ "stop", NULL, NULL, "Stop the daemon; containers run on", NULL, system_stop_options, NULL,
	  0, 0, OPERAND_NONE, COMMAND_LOCAL, command_system_stop },
	{ "status", NULL, NULL, "Show whether the daemon runs", NULL, system_status_options, NULL,
	  0, 0, OPERAND_NONE, COMMAND_LOCAL, command_system_status },
	ROW_VERSION(NULL),
	ROW_INFO,
	{ "df", NULL, NULL, "Show what takes disk space", NULL, disk_options, NULL, 0, 0,
	  OPERAND_NONE, 0, command_disk },
	{ "prune", NULL, NULL, "Remove all that nothing uses", NULL, system_prune_options, NULL, 0,
	  0, OPERAND_NONE, 0, command_system_prune },
	ROW_EVENTS,
	{ 0 },
};

static const struct command root_commands[] = {
	ROW_RUN("Common commands"),
	ROW_EXEC,
	ROW_LIST("ps", "ls list"),
	ROW_LOGS,
	ROW_PULL,
	ROW_PUSH,
	ROW_IMAGES("images", NULL, NULL),
	ROW_CREATE("More about containers"),
	ROW_START,
	ROW_STOP,
	ROW_RESTART,
	ROW_KILL,
	ROW_REMOVE,
	ROW_ATTACH,
	ROW_WAIT,
	{ "inspect", NULL, "NAME [NAME...]",
	  "Show all about containers, images, networks or volumes", NULL, inspect_options, NULL, 1,
	  OPERANDS_ANY, OPERAND_ANY, 0, command_inspect },
	ROW_TOP,
	ROW_STATS,
	ROW_PAUSE,
	ROW_UNPAUSE,
	ROW_RENAME,
	ROW_PORT,
	ROW_COPY,
	ROW_DIFF,
	ROW_EXPORT,
	ROW_COMMIT,
	ROW_SAVE("More about images"),
	ROW_LOAD,
	ROW_IMPORT,
	ROW_REMOVE_IMAGE("rmi", NULL),
	ROW_TAG,
	ROW_HISTORY,
	{ "search", NULL, "TERM", "Look for images in a registry", NULL, search_options, NULL, 1, 1,
	  OPERAND_NONE, 0, command_search },
	ROW_LOGIN(NULL),
	ROW_LOGOUT,
	ROW_VERSION("About cay itself"),
	ROW_INFO,
	ROW_EVENTS,
	{ "completion", NULL, "bash|zsh|fish", "Print a script that completes commands in a shell",
	  NULL, NULL, NULL, 1, 1, OPERAND_NONE, COMMAND_LOCAL, command_completion },
	{ "container", NULL, NULL, "Manage containers", "Groups of commands", NULL,
	  container_commands, 0, 0, OPERAND_NONE, COMMAND_LOCAL, NULL },
	{ "image", "i", NULL, "Manage images", NULL, NULL, image_commands, 0, 0, OPERAND_NONE,
	  COMMAND_LOCAL, NULL },
	{ "network", "n", NULL, "Manage networks", NULL, NULL, network_commands, 0, 0, OPERAND_NONE,
	  COMMAND_LOCAL, NULL },
	{ "volume", "v", NULL, "Manage volumes", NULL, NULL, volume_commands, 0, 0, OPERAND_NONE,
	  COMMAND_LOCAL, NULL },
	{ "template", NULL, NULL, "Manage the frozen VMs that containers start from", NULL, NULL,
	  template_commands, 0, 0, OPERAND_NONE, COMMAND_LOCAL, NULL },
	{ "registry", "r", NULL, "Manage credentials for registries", NULL, NULL, registry_commands,
	  0, 0, OPERAND_NONE, COMMAND_LOCAL, NULL },
	{ "system", NULL, NULL, "Manage the daemon", NULL, NULL, system_commands, 0, 0,
	  OPERAND_NONE, COMMAND_LOCAL, NULL },
	{ "__complete", NULL, NULL, "Complete a command line", NULL, NULL, NULL, 0, OPERANDS_ANY,
	  OPERAND_NONE, COMMAND_LOCAL | COMMAND_HIDDEN | COMMAND_STOPS_AT_OPERAND,
	  command_complete },
	{ "__manual", NULL, NULL, "Print the man page's reference", NULL, NULL, NULL, 0, 0,
	  OPERAND_NONE, COMMAND_LOCAL | COMMAND_HIDDEN, command_manual },
	{ 0 },
};

const struct command cay_command = {
	.name = "cay",
	.summary = "Run containers, each in a virtual machine of its own",
	.options = root_options,
	.children = root_commands,
};
