/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table that everything about cay's verbs comes from: dispatch, option
 * parsing, --help, shell completion and the reference part of the man page.
 */
#pragma once

#include "cli/options.h"

struct client;
struct invocation;

/* What an operand names, for completion. */
enum operand_kind {
	OPERAND_NONE,
	OPERAND_CONTAINER,         /* any container, running or not */
	OPERAND_RUNNING_CONTAINER, /* one that runs */
	OPERAND_CONTAINER_PATH,    /* a container and a path in it, or a file */
	OPERAND_CONTAINER_IMAGE,   /* a container, and then an image */
	OPERAND_IMAGE,
	OPERAND_NETWORK,
	OPERAND_NETWORK_CONTAINER, /* a network, and then a container */
	OPERAND_VOLUME,
	OPERAND_TEMPLATE,
	OPERAND_ANY, /* a container, an image, a network or a volume */
	OPERAND_FILE,
	OPERAND_REGISTRY, /* one that credentials are stored for */
};

enum command_flag {
	/* Options end at the first operand: what follows belongs to the container. */
	COMMAND_STOPS_AT_OPERAND = 1 << 0,
	/* A daemon that does not answer at its default place is started. */
	COMMAND_STARTS_DAEMON = 1 << 1,
	/* Needs no daemon; its client is NULL where not even an address can be told. */
	COMMAND_LOCAL = 1 << 2,
	/* Not in help, completion or man page. */
	COMMAND_HIDDEN = 1 << 3,
	/* Every failure ends with docker's 125 (126, 127), not with 1. */
	COMMAND_RUNS_PROCESS = 1 << 4,
};

enum { OPERANDS_ANY = 1 << 20 };

struct command {
	const char *name;
	const char *aliases;  /* other names, separated by blanks; NULL: none */
	const char *operands; /* "CONTAINER [CONTAINER...]"; NULL: none */
	const char *summary;  /* one line, no full stop */
	const char *section;  /* its heading in the list of commands; NULL: the one before */
	const struct option *options;   /* ends with a row without a name; NULL: none */
	const struct command *children; /* ends with a row without a name; a family has no run */
	unsigned int min_operands, max_operands;
	enum operand_kind operand_kind;
	unsigned int flags; /* enum command_flag */
	/*
	 * 0, or a positive exit status that needs no more words, or -errno with err set. The
	 * caller prints err.
	 */
	int (*run)(const struct invocation *invocation, struct cay_error *err);
};

/* One call of cay, as parsed. */
struct invocation {
	const struct command *command;
	const char *path; /* "cay image pull", for messages */
	struct options *options;
	const char *const *operands; /* ends with NULL */
	size_t operand_count;
	struct client *client;
	bool debug;
};

/* The whole tree; its root stands for "cay" itself and carries the options before the verb. */
extern const struct command cay_command;

/* A child by name or alias, or NULL. */
const struct command *command_find(const struct command *family, const char *name);
/* The child whose name is closest to what was typed, or NULL where nothing is near. */
const struct command *command_suggest(const struct command *family, const char *name);

/* main() without the process: the exit status. */
int cay_main(int argc, char **argv);
