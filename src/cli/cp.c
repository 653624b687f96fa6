/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cp: files between a container and this host, as archives that the daemon's
 * API takes and gives. The host's side of it is here: the source's tree is read
 * and the destination's written by descriptors (tar/pack.h, tar/unpack.h), so
 * that an archive from a container, which is not trusted, makes nothing outside
 * of the directory that the user named.
 */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/cp-internal.h"
#include "cli/lexical.h"
#include "cli/text.h"
#include "tar/pack.h"
#include "tar/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

const struct option copy_options[] = {
	{ 'a', OPTION_FLAG, "archive", NULL, NULL,
	  "Give what is copied into a container to the container's user" },
	{ 'L', OPTION_FLAG, "follow-link", NULL, NULL,
	  "Copy what the source links to, not the symbolic link" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL,
	  "Don't tell what was copied (the default without a terminal)" },
	{ 0 },
};

/* ---- from this host ---- */

/* Symbolic links before the last component are followed, and that one too with `follow`. */
static int find_source(const char *path, bool follow, struct cp_side *side, struct cay_error *err)
{
	_cleanup_free_ char *whole = cp_absolute(path), *directory = NULL, *resolved = NULL;
	const char *last = path_last(whole);
	_cleanup_free_ char *target = NULL;
	struct stat status;

	directory = follow ? xstrdup(whole) : xstrndup(whole, (size_t)(last - whole));
	resolved = realpath(directory, NULL);
	if (resolved)
		target = follow || !*last || strcmp(last, ".") == 0 ? xstrdup(resolved)
								    : lexical_join(resolved, last);
	if (target)
		cp_set_resolved(side, whole, target);
	if (!target || lstat(side->path, &status) < 0)
		return cay_error_set(err, errno == ENOENT ? CAY_NOT_FOUND : CAY_CONFLICT, errno,
				     "lstat %s: %s", whole, errno_text(errno));
	side->exists = true;
	side->directory = S_ISDIR(status.st_mode);
	return 0;
}

/* Seconds are what docker's archives have, and without the rest a plain file needs one block. */
static int whole_seconds(void *user, int directory, const char *name, struct tar_entry *entry,
			 struct cay_error *err)
{
	entry->mtime_ns = 0;
	return 1;
}

static void tell_socket(void *user, const char *path)
{
	_cleanup_free_ char *shown = xstrdup(path);

	text_make_safe(shown, false);
	text_complain("warning: %s is a socket, which is not copied", shown);
}

static int send_tree(const struct cp_side *source, const struct cp_plan *plan, struct call *call,
		     struct cp_progress *progress, struct cay_error *err)
{
	struct cp_sink sink = { .call = call, .progress = progress };
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(cp_sink_put, &sink);
	const struct tar_pack_options options = { .shown = source->path,
						  .edit = whole_seconds,
						  .skipped = tell_socket };
	_cleanup_free_ char *directory = NULL, *name = NULL;
	_cleanup_close_ int fd = -1;
	const char *as;
	int r;

	cp_split_entry(source->path, &directory, &name);
	if (strcmp(name, "/") == 0)
		replace_string(&name, ".");
	as = plan->name ? plan->name : source->name ? source->name : name;
	fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		r = cay_error_errno(err, errno, "opening %s", directory);
	else
		r = tar_pack(writer, fd, name, as, &options, err);
	if (r >= 0)
		r = tar_writer_finish(writer, err);
	if (r >= 0)
		r = cp_sink_flush(&sink, err);
	cp_sink_done(&sink);
	return r;
}

/* The destination in the container, whose own last link is followed once, as docker does. */
static int find_destination(const struct cp_job *job, struct cp_side *side, struct cay_error *err)
{
	struct cp_stat stat;
	int r = cp_stat_path(job, job->path, &stat, err);

	side->path = xstrdup(job->path);
	if (r > 0 && S_ISLNK(stat.mode)) {
		_cleanup_free_ char *target = cp_link_target(job->path, stat.link_target);

		cp_stat_done(&stat);
		replace_string(&side->path, target);
		r = cp_stat_path(job, target, &stat, err);
	}
	if (r <= 0)
		return r;
	side->exists = true;
	side->directory = S_ISDIR(stat.mode);
	if (S_ISCHR(stat.mode) || S_ISBLK(stat.mode))
		r = cay_error_set(err, CAY_CONFLICT, EINVAL,
				  "destination \"%s:%s\" must be a directory or a regular file: "
				  "got a device",
				  job->container, job->path);
	cp_stat_done(&stat);
	return MIN(r, 0);
}

/* The request whose body is the archive: standard input, or what `source` says. */
static int put_archive(const struct cp_job *job, const struct cp_side *source,
		       const struct cp_plan *plan, struct cp_progress *progress,
		       struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	struct call_spec spec = {
		.method = "PUT",
		.target = &target,
		.body_fd = source ? -1 : STDIN_FILENO,
		.stream = source != NULL,
	};
	struct cay_error send_error = { 0 };
	_cleanup_json_ json_t *answer = NULL;
	int r, sent = 0;

	target_set(&target, "/containers/%s/archive", job->container, NULL);
	target_add(&target, "noOverwriteDirNonDir", "true");
	target_add(&target, "path", plan->directory);
	if (job->owner)
		target_add(&target, "copyUIDGID", "true");
	r = call_open(job->client, &spec, &call, err);
	if (r < 0)
		return r;
	if (source)
		sent = send_tree(source, plan, call, progress, &send_error);
	if (sent < 0 && send_error.code != CAY_CANCELLED) {
		*err = send_error;
		return sent; /* the connection ends before the archive: the daemon fails it */
	}
	r = call_json(call, &answer, err);
	if (r >= 0 && sent < 0)
		return cay_error_set(err, CAY_UNAVAILABLE, EPIPE,
				     "the daemon ended the copy before it had all");
	return r;
}

static int copy_in(const struct cp_job *job, const char *source_path, struct cay_error *err)
{
	_cleanup_cp_side_ struct cp_side source = { 0 }, destination = { 0 };
	_cleanup_cp_plan_ struct cp_plan plan = { 0 };
	struct cp_progress progress = { .what = "Copying to container - " };
	_cleanup_free_ char *where = NULL;
	int r;

	if (strcmp(source_path, "-") == 0 && isatty(STDIN_FILENO))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "standard input is a terminal; redirect it from an archive");
	r = find_destination(job, &destination, err);
	if (r < 0)
		return r;
	if (strcmp(source_path, "-") == 0) {
		if (!destination.directory)
			return cay_error_set(err, CAY_CONFLICT, ENOTDIR,
					     "destination \"%s:%s\" must be a directory",
					     job->container, job->path);
		plan.directory = xstrdup(destination.path);
		return put_archive(job, NULL, &plan, NULL, err);
	}
	r = find_source(source_path, job->follow, &source, err);
	if (r >= 0)
		r = cp_make_plan(&source, &destination, &plan, err);
	if (r < 0)
		return r;
	cp_progress_start(&progress, job->quiet);
	r = put_archive(job, &source, &plan, &progress, err);
	where = xasprintf("%s:%s", job->container, destination.path);
	cp_progress_end(&progress, r >= 0 ? where : NULL);
	return r;
}

/* ---- to this host ---- */

/* The directory that is to hold it must be there; what is no file can't be written to. */
static int check_output(const char *path, struct cay_error *err)
{
	_cleanup_free_ char *clean = lexical_clean(path), *above = lexical_directory(clean);
	struct stat status;

	if (stat(above, &status) < 0 && errno == ENOENT)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "invalid output path: directory \"%s\" does not exist", above);
	if (stat(path, &status) < 0)
		return errno == ENOENT ? 0 : cay_error_errno(err, errno, "stat %s", path);
	if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
		return cay_error_set(err, CAY_CONFLICT, EINVAL,
				     "invalid output path: \"%s\" must be a directory or a regular "
				     "file: got a device",
				     path);
	return 0;
}

/* All symbolic links are followed, up to one whose target is missing: that will be made. */
static int find_output(const char *path, struct cp_side *side, struct cay_error *err)
{
	enum { LINKS_MAX = 10 };
	_cleanup_free_ char *above = NULL, *name = NULL;
	struct stat status;

	side->path = xstrdup(path);
	for (unsigned int links = 0;; links++) {
		char target[PATH_MAX];
		ssize_t length;

		if (lstat(side->path, &status) < 0)
			break;
		side->exists = !S_ISLNK(status.st_mode);
		side->directory = S_ISDIR(status.st_mode);
		if (side->exists)
			return 0;
		if (links == LINKS_MAX)
			return cay_error_set(err, CAY_CONFLICT, ELOOP, "too many symlinks in %s",
					     path);
		length = readlink(side->path, target, sizeof(target) - 1);
		if (length < 0)
			return cay_error_errno(err, errno, "reading the link %s", side->path);
		target[length] = '\0';
		_cleanup_free_ char *next = cp_link_target(side->path, target);
		replace_string(&side->path, next);
	}
	if (errno != ENOENT)
		return cay_error_errno(err, errno, "lstat %s", side->path);
	cp_split_entry(side->path, &above, &name);
	if (stat(above, &status) < 0)
		return cay_error_errno(err, errno, "stat %s", above);
	return S_ISDIR(status.st_mode)
		? 0
		: cay_error_set(err, CAY_CONFLICT, ENOTDIR, "%s: not a directory", above);
}

/* With -L the source is what its last link leads to, which is then called as the link is. */
static int follow_source(const struct cp_job *job, struct cp_side *source, struct cay_error *err)
{
	struct cp_stat stat;
	int r = cp_stat_path(job, job->path, &stat, err);

	if (r <= 0)
		return r;
	if (S_ISLNK(stat.mode)) {
		_cleanup_free_ char *target = cp_link_target(job->path, stat.link_target);

		cp_set_resolved(source, job->path, target);
	}
	cp_stat_done(&stat);
	return 0;
}

static void tell_device(void *user, const struct tar_entry *entry)
{
	_cleanup_free_ char *path = str_dup(entry->path);

	text_make_safe(path, false);
	text_complain("warning: %s is a device, which is not copied", path);
}

/*
 * The archive from the daemon, which has nothing but `first` in it: a guest that says otherwise is
 * not believed. It becomes `name`; NULL: its own name, or where it has none, what is in it goes
 * into the directory.
 */
static int receive(struct cp_source *source, const char *directory, const char *first,
		   const char *name, struct cay_error *err)
{
	_cleanup_(tar_reader_free_p) struct tar_reader *reader =
		tar_reader_new(cp_source_take, source);
	const bool named = name || (strcmp(first, ".") != 0 && strcmp(first, "/") != 0);
	const struct tar_unpack_options options = {
		.shown = directory,
		.below = "",
		.keep_kinds = true,
		.from = named ? first : NULL,
		.to = name ? name : first,
		.skipped = tell_device,
	};
	_cleanup_close_ int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return cay_error_errno(err, errno, "opening %s", directory);
	r = tar_unpack(reader, fd, &options, err);
	return r < 0 ? r : cp_source_finish(source, err);
}

/* What becomes of the archive on this host. */
static int store(const struct cp_job *job, struct call *call, struct cp_side *source,
		 const char *path, struct cay_error *err)
{
	struct cp_progress progress = { .what = "Copying from container - " };
	struct cp_source stream = { .call = call, .progress = &progress };
	_cleanup_cp_side_ struct cp_side destination = { 0 };
	_cleanup_free_ char *whole = NULL, *above = NULL, *first = NULL;
	_cleanup_cp_plan_ struct cp_plan plan = { 0 };
	struct cp_stat stat;
	int r = cp_stat_decode(call_path_stat(call), &stat, err);

	if (r < 0)
		return r;
	source->exists = true;
	source->directory = S_ISDIR(stat.mode);
	cp_stat_done(&stat);
	r = find_output(path, &destination, err);
	if (r >= 0)
		r = cp_make_plan(source, &destination, &plan, err);
	if (r < 0)
		return r;
	whole = xasprintf("/%s", source->path); /* as the container reads it: ".." is "/" */
	cp_split_entry(whole, &above, &first);
	cp_progress_start(&progress, job->quiet);
	r = receive(&stream, plan.directory, first, plan.name ? plan.name : source->name, err);
	cp_source_done(&stream);
	cp_progress_end(&progress, r >= 0 ? path : NULL);
	return r;
}

static int copy_out(const struct cp_job *job, const char *destination, struct cay_error *err)
{
	bool to_stdout = strcmp(destination, "-") == 0;
	_cleanup_free_ char *path = to_stdout ? NULL : cp_absolute(destination);
	_cleanup_cp_side_ struct cp_side source = { .path = xstrdup(job->path) };
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	const struct call_spec spec = { .method = "GET", .target = &target, .body_fd = -1 };
	int r = 0;

	if (to_stdout && isatty(STDOUT_FILENO))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "standard output is a terminal; redirect it");
	if (!to_stdout)
		r = check_output(path, err);
	if (r >= 0 && job->follow)
		r = follow_source(job, &source, err);
	if (r < 0)
		return r;
	target_set(&target, "/containers/%s/archive", job->container, NULL);
	target_add(&target, "path", source.path);
	r = call_open(job->client, &spec, &call, err);
	if (r >= 0)
		r = call_wait_head(call, err);
	if (r < 0)
		return r;
	return to_stdout ? call_copy_body(call, STDOUT_FILENO, "standard output", err)
			 : store(job, call, &source, path, err);
}

int command_copy(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_free_ char *from = NULL, *from_path = NULL, *to = NULL, *to_path = NULL;
	struct cp_job job = {
		.client = invocation->client,
		.follow = option_flag(options, "follow-link"),
		.owner = option_flag(options, "archive"),
		.quiet = option_given(options, "quiet") ? option_flag(options, "quiet")
							: !isatty(STDOUT_FILENO),
	};

	for (size_t i = 0; i < 2; i++)
		if (!*invocation->operands[i])
			return cay_error_set(err, CAY_CONFLICT, EINVAL, "%s can not be empty",
					     i == 0 ? "source" : "destination");
	cp_split(invocation->operands[0], &from, &from_path);
	cp_split(invocation->operands[1], &to, &to_path);
	if (from && to)
		return cay_error_set(err, CAY_UNSUPPORTED, EINVAL,
				     "copying between containers is not supported");
	if (!from && !to)
		return cay_error_set(err, CAY_CONFLICT, EINVAL,
				     "must specify at least one container source");
	job.container = from ? from : to;
	job.path = from ? from_path : to_path;
	return from ? copy_out(&job, to_path, err) : copy_in(&job, from_path, err);
}
