/* SPDX-License-Identifier: Apache-2.0 */
/* cay-files: serves the shares of one sandbox to its guest (files/server.h has the contract). */
#include "base/file.h"
#include "base/log.h"
#include "files/jail.h"
#include "files/server.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>

/* What the shim hands over. */
enum { SOCKET_FD = 3, STATUS_FD = 4 };

static const char usage[] =
	"usage: cay-files --share FLAGS PATH [--share FLAGS PATH]…\n"
	"Serves directories and files to the guest of one sandbox.\n"
	"cay-shim starts it, with a socket to QEMU; there is no need to do so by hand.\n";

static int parse_arguments(int argc, char **argv, struct share_list *list, struct cay_error *err)
{
	int r = 0;

	for (int i = 1; r == 0 && i < argc; i += 3) {
		if (strcmp(argv[i], "--share") != 0 || i + 2 >= argc)
			return cay_error_set(err, CAY_INVALID, EINVAL, "bad argument \"%s\"",
					     argv[i]);
		r = share_list_add(list, argv[i + 1], argv[i + 2], err);
	}
	if (r == 0 && list->count == 0)
		r = cay_error_set(err, CAY_INVALID, EINVAL, "no share is named");
	return r;
}

static int serve(struct share_list *list, struct cay_error *err)
{
	bool walled;
	int r = jail_enter(list, &walled, err);

	if (r < 0) {
		(void)dprintf(STATUS_FD, "%s\n", err->message);
		return r;
	}
	/* in the jail, with the capabilities that owning files takes, from here on */
	(void)close(STATUS_FD);
	return server_run(SOCKET_FD, list, walled, err);
}

int main(int argc, char **argv)
{
	_cleanup_(share_list_done) struct share_list list = { 0 };
	struct cay_error err = { 0 };
	int r;

	log_init("cay-files", LOG_LEVEL_INFO);
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)fputs(usage, stdout);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("cay-files %s\n", CAY_VERSION);
		return 0;
	}
	(void)mallopt(M_ARENA_MAX, 2); /* the threads allocate little */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	r = parse_arguments(argc, argv, &list, &err);
	if (r < 0)
		(void)dprintf(STATUS_FD, "%s\n", err.message);
	else
		r = serve(&list, &err);
	if (r < 0)
		log_error("%s", err.message);
	return r < 0;
}
