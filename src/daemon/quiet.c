/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the starts that are under way and remembers when the last one ended. */
#include "daemon/quiet.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <assert.h>
#include <pthread.h>

enum {
	PAUSE_MS = 150,     /* without a start, before anything is begun */
	PATIENCE_MS = 5000, /* for which work is put off altogether */
	AGAIN_MS = 50,      /* while a start is under way */
};

struct quiet {
	pthread_mutex_t lock;
	unsigned int starts; /* under way */
	int64_t ended_ms;    /* when the last one was over */
};

struct quiet *quiet_new(void)
{
	struct quiet *quiet = xcalloc(1, sizeof(*quiet));

	(void)pthread_mutex_init(&quiet->lock, NULL);
	quiet->ended_ms = clock_monotonic_ms();
	return quiet;
}

void quiet_free(struct quiet *quiet)
{
	if (!quiet)
		return;
	(void)pthread_mutex_destroy(&quiet->lock);
	free(quiet);
}

void quiet_interrupt(struct quiet *quiet)
{
	(void)pthread_mutex_lock(&quiet->lock);
	quiet->starts++;
	(void)pthread_mutex_unlock(&quiet->lock);
}

void quiet_resume(struct quiet *quiet)
{
	(void)pthread_mutex_lock(&quiet->lock);
	assert(quiet->starts > 0);
	quiet->starts--;
	quiet->ended_ms = clock_monotonic_ms();
	(void)pthread_mutex_unlock(&quiet->lock);
}

int64_t quiet_left_ms(struct quiet *quiet, int64_t waiting_since_ms)
{
	const int64_t now = clock_monotonic_ms();
	int64_t left;

	(void)pthread_mutex_lock(&quiet->lock);
	if (now - waiting_since_ms > PATIENCE_MS)
		left = 0;
	else if (quiet->starts > 0)
		left = AGAIN_MS;
	else
		left = MAX(quiet->ended_ms + PAUSE_MS - now, 0);
	(void)pthread_mutex_unlock(&quiet->lock);
	return left;
}
