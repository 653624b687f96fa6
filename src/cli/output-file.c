/* SPDX-License-Identifier: Apache-2.0 */
/* Output under a temporary name beside the wanted one, which a signal removes too. */
#include "cli/output-file.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

static const int endings[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE };

/* What the handler removes; a signal handler can reach nothing else. "" while there is nothing. */
static char to_remove[PATH_MAX];

/* SA_RESETHAND is on: the signal's return raises it again with its default action. */
static void remove_and_end(int number)
{
	if (to_remove[0])
		(void)unlink(to_remove);
	(void)raise(number);
}

static void set_handlers(void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = (int)SA_RESETHAND }, before;

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (sigaction(endings[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			(void)sigaction(endings[i], &action, NULL);
}

static int make_temporary(struct output_file *file, struct cay_error *err)
{
	sigset_t all, before;
	int fd, error;

	file->temporary = xasprintf("%s.XXXXXX.tmp", file->path);
	if (strlen(file->temporary) >= sizeof(to_remove))
		return cay_error_errno(err, ENAMETOOLONG, "%s", file->path);
	/* No signal between the file's making and the handler's knowing of it. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	fd = mkostemps(file->temporary, (int)strlen(".tmp"), O_CLOEXEC);
	error = errno;
	if (fd >= 0) {
		memcpy(to_remove, file->temporary, strlen(file->temporary) + 1);
		set_handlers(remove_and_end);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (fd < 0) {
		cay_free_p(&file->temporary);
		file->temporary = NULL;
		return cay_error_errno(err, error, "creating a file beside %s", file->path);
	}
	file->fd = fd;
	return 0;
}

int output_file_open(const char *path, struct output_file *ret_file, struct cay_error *err)
{
	_cleanup_output_file_ struct output_file file = { .fd = -1 };
	struct stat status;
	int r = 0;

	if (stat(path, &status) < 0) {
		file.path = xstrdup(path);
		r = make_temporary(&file, err);
	} else if (S_ISDIR(status.st_mode)) {
		return cay_error_errno(err, EISDIR, "%s", path);
	} else if (S_ISREG(status.st_mode)) {
		file.path = realpath(path, NULL);
		if (!file.path)
			return cay_error_errno(err, errno, "%s", path);
		r = make_temporary(&file, err);
	} else {
		file.path = xstrdup(path);
		file.fd = open(path, O_WRONLY | O_CLOEXEC);
		if (file.fd < 0)
			return cay_error_errno(err, errno, "opening %s", path);
	}
	if (r < 0)
		return r;
	*ret_file = file;
	file = (struct output_file){ .fd = -1 };
	return 0;
}

int output_file_finish(struct output_file *file, struct cay_error *err)
{
	if (!file->temporary)
		return 0;
	if (rename(file->temporary, file->path) < 0)
		return cay_error_errno(err, errno, "renaming %s to %s", file->temporary,
				       file->path);
	to_remove[0] = '\0';
	set_handlers(SIG_DFL);
	free(file->temporary);
	file->temporary = NULL;
	return 0;
}

void output_file_done(struct output_file *file)
{
	if (file->fd >= 0)
		(void)close(file->fd);
	if (file->temporary) {
		(void)unlink(file->temporary);
		to_remove[0] = '\0';
		set_handlers(SIG_DFL);
	}
	free(file->temporary);
	free(file->path);
	*file = (struct output_file){ .fd = -1 };
}
