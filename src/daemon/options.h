/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cayd is told on its command line. One table gives the parsing, the
 * defaults and the text of --help.
 */
#pragma once

#include "base/error.h"
#include "base/log.h"
#include "base/strv.h"

#include <stdbool.h>

struct daemon_options {
	char *root; /* lasting state */
	char *run;  /* sockets and pids */
	char *host; /* "unix:///path" */
	char *kernel, *initramfs, *shim, *files, *layer_worker;
	char *warm_program; /* what members of the pool warm themselves up with */
	char *qemu;         /* NULL: qemu-system-x86_64 in PATH */
	char *accel;        /* "auto", "kvm" or "tcg" */
	char *log_level;
	char *memory_default; /* a VM's memory where the container has no limit, as a size */
	uint64_t memory_default_bytes;
	char *templates, *translations, *pool, *pool_memory; /* as given, then read */
	bool use_templates;         /* start from frozen VMs, and make them */
	bool use_translations;      /* give QEMU what it has translated before, and keep that */
	unsigned int pool_size;     /* VMs kept ready; 0: none */
	uint64_t pool_memory_bytes; /* that they may take altogether */
	struct strv insecure_registries; /* "host", "host:port", "address/bits" */
	struct strv registry_mirrors;    /* URLs, in front of Docker Hub */
	struct strv certs_folders;       /* of certificates for registries; the first counts */
	char *downloads, *uploads;       /* as given, then as numbers */
	unsigned int max_downloads, max_uploads;
	bool help, version;
};

/*
 * Parses the arguments, fills the rest from the defaults and checks them. Files that do not exist
 * are no error here: the kernel is missed when a container starts.
 */
int daemon_options_parse(struct daemon_options *options, int argc, char **argv,
			 struct cay_error *err);
void daemon_options_done(struct daemon_options *options);
/* The text of --help, to standard output. */
void daemon_options_help(void);
