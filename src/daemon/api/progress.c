/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's progress messages. */
#include "daemon/api/progress.h"

#include "base/json.h"

enum { BAR_WIDTH = 50 };

void api_progress_init(struct api_progress *progress, struct http_request *request, bool quiet)
{
	*progress = (struct api_progress){ .request = request, .quiet = quiet };
	pthread_mutex_init(&progress->lock, NULL);
	/* Makes what the sink's threads ask with, which only the handler may do. */
	(void)http_request_gone_fd(request);
}

/* A client that is gone shows by http_request_gone(). */
static void write_held(struct api_progress *progress)
{
	if (!progress->begun)
		(void)http_stream_begin(progress->request, 200, "application/json");
	progress->begun = true;
	(void)http_stream_write(progress->request, buf_text(&progress->held),
				progress->held.length);
	buf_clear(&progress->held);
}

/* Takes `message` over. */
static void write_message(struct api_progress *progress, json_t *message)
{
	_cleanup_json_ json_t *owned = message;
	bool is_first;

	pthread_mutex_lock(&progress->lock);
	is_first = !progress->begun && progress->held.length == 0;
	json_print_to(owned, &progress->held);
	buf_puts(&progress->held, "\r\n");
	if (!is_first)
		write_held(progress);
	pthread_mutex_unlock(&progress->lock);
}

static void print_size(uint64_t bytes, struct buf *out)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double size = (double)bytes;
	size_t unit = 0;
	char text[32];

	for (; size >= 1000 && unit < ARRAY_SIZE(units) - 1; unit++)
		size /= 1000;
	(void)snprintf(text, sizeof(text), "%.4g%s", size, units[unit]);
	buf_printf(out, "%8s", text);
}

static void print_repeated(char c, unsigned int count, struct buf *out)
{
	while (count-- > 0)
		buf_putc(out, c);
}

void api_progress_bar(uint64_t current, uint64_t total, struct buf *out)
{
	_cleanup_buf_ struct buf size = {};
	unsigned int full;

	if (total == 0) {
		print_size(current, out);
		return;
	}
	full = (unsigned int)MIN((double)current / (double)total * BAR_WIDTH, (double)BAR_WIDTH);
	buf_putc(out, '[');
	print_repeated('=', full, out);
	buf_putc(out, '>');
	print_repeated(' ', BAR_WIDTH - full, out);
	buf_puts(out, "] ");
	print_size(current, out);
	print_size(total, &size);
	buf_printf(out, "/%s", buf_text(&size) + strspn(buf_text(&size), " "));
}

static void report(const struct image_progress *now, void *user)
{
	struct api_progress *progress = user;
	json_t *message, *detail;

	if (progress->quiet)
		return;
	message = json_object();
	detail = json_object();
	json_set_string(message, "status", now->status);
	if (now->current > 0 || now->total > 0) {
		_cleanup_buf_ struct buf bar = {};

		json_set_int(detail, "current", (int64_t)MIN(now->current, (uint64_t)INT64_MAX));
		if (now->total > 0)
			json_set_int(detail, "total",
				     (int64_t)MIN(now->total, (uint64_t)INT64_MAX));
		api_progress_bar(now->current, now->total, &bar);
		json_set_string(message, "progress", buf_text(&bar));
	}
	json_set(message, "progressDetail", detail);
	if (now->id && *now->id)
		json_set_string(message, "id", now->id);
	write_message(progress, message);
}

static bool cancelled(void *user)
{
	struct api_progress *progress = user;

	return http_request_gone(progress->request);
}

struct image_progress_sink api_progress_sink(struct api_progress *progress)
{
	return (struct image_progress_sink){ report, cancelled, progress };
}

void api_progress_status(struct api_progress *progress, const char *text)
{
	json_t *message = json_object();

	json_set_string(message, "status", text);
	write_message(progress, message);
}

void api_progress_stream(struct api_progress *progress, const char *text)
{
	json_t *message = json_object();

	json_set_string(message, "stream", text);
	write_message(progress, message);
}

void api_progress_aux(struct api_progress *progress, json_t *aux)
{
	json_t *message = json_object();

	json_set(message, "progressDetail", json_object());
	json_set(message, "aux", aux);
	write_message(progress, message);
}

static void write_error(struct api_progress *progress, const struct cay_error *error)
{
	json_t *message = json_object(), *detail = json_object();

	json_set_string(detail, "message", error->message);
	json_set(message, "errorDetail", detail);
	json_set_string(message, "error", error->message);
	write_message(progress, message);
}

int api_progress_end(struct api_progress *progress, int r, const struct cay_error *error)
{
	if (r < 0 && progress->begun) {
		write_error(progress, error);
		r = 0;
	}
	if (r == 0)
		write_held(progress);
	buf_done(&progress->held);
	pthread_mutex_destroy(&progress->lock);
	return r;
}
