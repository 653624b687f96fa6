/* SPDX-License-Identifier: Apache-2.0 */
/* Progress as it is reported. */
#include "image/progress.h"

#include "base/alloc.h"
#include "base/clock.h"

enum { INTERVAL_MS = 100 };

void progress_init(struct progress *progress, const struct image_progress_sink *sink)
{
	progress->sink = sink;
	(void)pthread_mutex_init(&progress->lock, NULL); /* can't fail on Linux */
}

void progress_done(struct progress *progress)
{
	(void)pthread_mutex_destroy(&progress->lock);
}

static void report(struct progress *progress, const char *id, const char *status, uint64_t current,
		   uint64_t total)
{
	char short_id[PROGRESS_ID_LENGTH + 1];

	if (!progress->sink || !progress->sink->report)
		return;
	if (digest_is_valid(id)) {
		(void)snprintf(short_id, sizeof(short_id), "%s", digest_hex(id));
		id = short_id;
	}
	const struct image_progress event = {
		.id = id, .status = status, .current = current, .total = total
	};

	(void)pthread_mutex_lock(&progress->lock);
	progress->sink->report(&event, progress->sink->user);
	(void)pthread_mutex_unlock(&progress->lock);
}

void progress_say(struct progress *progress, const char *id, const char *status)
{
	report(progress, id, status, 0, 0);
}

void progress_sayf(struct progress *progress, const char *id, const char *format, ...)
{
	_cleanup_free_ char *status = NULL;
	va_list args;

	va_start(args, format);
	status = xvasprintf(format, args);
	va_end(args);
	report(progress, id, status, 0, 0);
}

void progress_count(struct progress *progress, const char *id, const char *status, uint64_t current,
		    uint64_t total, int64_t *last_ms)
{
	const int64_t now = clock_monotonic_ms();

	if (now - *last_ms < INTERVAL_MS)
		return;
	*last_ms = now;
	report(progress, id, status, current, total);
}

bool progress_sink_is_cancelled(const struct image_progress_sink *sink)
{
	return sink && sink->cancelled && sink->cancelled(sink->user);
}

bool progress_is_cancelled(const struct progress *progress)
{
	return progress_sink_is_cancelled(progress->sink);
}
