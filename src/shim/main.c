/* SPDX-License-Identifier: Apache-2.0 */
/* cay-shim: owns one sandbox, of which it is told in a file. */
#include "shim/shim.h"

#include "base/clock.h"
#include "base/log.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>

static const char usage[] =
	"usage: cay-shim --config PATH [--debug]\n"
	"Boots the sandbox that PATH describes and serves it on shim.sock in its run directory,\n"
	"or makes a template of it.\n"
	"The daemon starts it; there is no need to do so by hand.\n";

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "debug", no_argument, NULL, 'd' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

int main(int argc, char **argv)
{
	const int64_t begun_us = clock_monotonic_us();
	char *path = NULL;
	enum log_level level = LOG_LEVEL_INFO;
	struct sandbox_config *config = NULL;
	struct cay_error err = { 0 };
	int option, r;

	/* One thread needs one arena, and what output buffers took is to be given back. */
	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
	/* One thing at most is done beside the loop (sandbox/claim.c). */
	(void)setenv("UV_THREADPOOL_SIZE", "1", 1);
	(void)signal(SIGPIPE, SIG_IGN);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'd':
			level = LOG_LEVEL_DEBUG;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			return 0;
		case 'V':
			(void)printf("cay-shim %s\n", CAY_VERSION);
			return 0;
		default:
			(void)fputs(usage, stderr);
			return 125;
		}
	}
	log_init("cay-shim", level);
	if (!path || optind != argc) {
		(void)fputs(usage, stderr);
		return 125;
	}
	if (sandbox_config_load(path, &config, &err) < 0)
		die("%s", err.message);
	r = config->purpose == SANDBOX_FOR_TEMPLATE ? shim_make_template(config, &err)
						    : shim_run(config, path, begun_us, &err);
	if (r < 0)
		die("%s", err.message);
	return 0;
}
