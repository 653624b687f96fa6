/* SPDX-License-Identifier: Apache-2.0 */
/* cp's way to the daemon: what is known of a path there, the archive's bytes, and progress. */
#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/cp-internal.h"
#include "cli/human.h"
#include "cli/text.h"

#include <errno.h>

enum {
	SEND_SIZE = 64 * 1024,
	DRAW_MS = 75, /* between two changes of the progress on a terminal */
};

/* ---- a path in a container ---- */

/* Bits of Go's io/fs.FileMode, in which the API tells modes. */
static const struct {
	uint32_t bit;
	mode_t kind;
} go_kinds[] = {
	{ UINT32_C(1) << 31, S_IFDIR }, { UINT32_C(1) << 27, S_IFLNK },
	{ UINT32_C(1) << 25, S_IFIFO }, { UINT32_C(1) << 24, S_IFSOCK },
	{ UINT32_C(1) << 21, S_IFCHR }, { UINT32_C(1) << 26, S_IFBLK },
};

void cp_stat_done(struct cp_stat *stat)
{
	free(stat->link_target);
}

int cp_stat_decode(const char *header, struct cp_stat *ret_stat, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_json_ json_t *value = NULL;
	mode_t kind = S_IFREG;
	uint32_t mode;

	if (!header || base64_decode(str_from(header), &text) < 0 ||
	    json_parse(buf_text(&text), text.length, "stat", &value, NULL) < 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the daemon's answer does not tell what the path is");
	mode = (uint32_t)json_int_at(value, "mode", NULL);
	for (size_t i = ARRAY_SIZE(go_kinds); i-- > 0;)
		if (mode & go_kinds[i].bit)
			kind = go_kinds[i].kind;
	*ret_stat = (struct cp_stat){
		.mode = kind | (mode & 0777),
		.link_target = xstrdup(json_text_at(value, "linkTarget", NULL)),
	};
	return 0;
}

int cp_stat_path(const struct cp_job *job, const char *path, struct cp_stat *ret_stat,
		 struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	const struct call_spec spec = { .method = "HEAD", .target = &target, .body_fd = -1 };
	int r;

	target_set(&target, "/containers/%s/archive", job->container, NULL);
	target_add(&target, "path", path);
	r = call_open(job->client, &spec, &call, err);
	if (r < 0)
		return r;
	r = call_wait_head(call, err);
	if (r < 0) {
		if (err->err != EREMOTEIO)
			return r;
		cay_error_clear(err);
		return 0;
	}
	r = cp_stat_decode(call_path_stat(call), ret_stat, err);
	return r < 0 ? r : 1;
}

/* ---- progress ---- */

static void draw(struct cp_progress *progress, bool show)
{
	char size[HUMAN_MAX];

	human_size((double)progress->bytes, false, size);
	(void)fprintf(stderr, "\r\033[2K%s%s", show ? progress->what : "", show ? size : "");
}

void cp_progress_start(struct cp_progress *progress, bool quiet)
{
	progress->quiet = quiet;
	progress->drawn = !quiet && isatty(STDERR_FILENO);
	if (progress->drawn)
		draw(progress, true);
	progress->drawn_ms = clock_monotonic_ms();
}

void cp_progress_add(struct cp_progress *progress, size_t bytes)
{
	int64_t now;

	progress->bytes += bytes;
	if (!progress->drawn)
		return;
	now = clock_monotonic_ms();
	if (now - progress->drawn_ms < DRAW_MS)
		return;
	progress->drawn_ms = now;
	draw(progress, true);
}

void cp_progress_end(struct cp_progress *progress, const char *where)
{
	char size[HUMAN_MAX];

	if (progress->drawn)
		draw(progress, false);
	if (progress->quiet || !where)
		return;
	human_size((double)progress->bytes, false, size);
	(void)fprintf(stderr, "Successfully copied %s to %s\n", size, where);
}

/* ---- the archive ---- */

static int send_pending(struct cp_sink *sink, struct cay_error *err)
{
	int r;

	if (sink->pending.length == 0)
		return 0;
	cp_progress_add(sink->progress, sink->pending.length);
	r = call_send(sink->call, sink->pending.data, sink->pending.length, err);
	buf_clear(&sink->pending);
	return r <= 0 ? r : cay_error_set(err, CAY_CANCELLED, EPIPE, "the daemon takes no more");
}

int cp_sink_put(void *user, const void *data, size_t size, struct cay_error *err)
{
	struct cp_sink *sink = user;

	buf_append(&sink->pending, data, size);
	return sink->pending.length < SEND_SIZE ? 0 : send_pending(sink, err);
}

int cp_sink_flush(struct cp_sink *sink, struct cay_error *err)
{
	int r = send_pending(sink, err);

	if (r >= 0)
		r = call_send(sink->call, NULL, 0, err);
	return MIN(r, 0);
}

void cp_sink_done(struct cp_sink *sink)
{
	buf_done(&sink->pending);
}

ssize_t cp_source_take(void *user, void *data, size_t size, struct cay_error *err)
{
	struct cp_source *source = user;
	size_t taken = 0;

	while (taken < size) {
		size_t n;

		if (source->at == source->pending.length) {
			int r = call_read(source->call, &source->pending, err);

			source->at = 0;
			if (r < 0)
				return r;
			if (r == 0)
				break;
		}
		n = MIN(size - taken, source->pending.length - source->at);
		memcpy((char *)data + taken, source->pending.data + source->at, n);
		source->at += n;
		taken += n;
	}
	cp_progress_add(source->progress, taken);
	return (ssize_t)taken;
}

int cp_source_finish(struct cp_source *source, struct cay_error *err)
{
	int r;

	do /* what pads the archive */
		r = call_read(source->call, &source->pending, err);
	while (r > 0);
	return r;
}

void cp_source_done(struct cp_source *source)
{
	buf_done(&source->pending);
}
