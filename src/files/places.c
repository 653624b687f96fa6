/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of places.h. */
#include "files/places.h"

#include <errno.h>
#include <sys/resource.h>

/*
 * Descriptors that have no place: those of the device and the shares' roots, those of locks that
 * are waited for, and what the workers have open for a moment. With a very low limit there may be
 * fewer, and what finds none is refused as well.
 */
enum { SPARE = 512 };

void places_init(struct places *places)
{
	struct rlimit limit = { 0 };
	size_t all;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	all = (size_t)limit.rlim_cur;
	*places = (struct places){ .max = all - MIN((size_t)SPARE, all / 4) };
}

static int take(atomic_size_t *taken, size_t max)
{
	if (atomic_fetch_add(taken, 1) < max)
		return 0;
	(void)atomic_fetch_sub(taken, 1);
	return -ENFILE;
}

static atomic_size_t *counter_of(struct places *places, enum place_kind kind, size_t *ret_max)
{
	switch (kind) {
	case PLACE_NODE:
		*ret_max = NODES_MAX;
		return &places->nodes;
	case PLACE_HANDLE:
		*ret_max = HANDLES_MAX;
		return &places->handles;
	case PLACE_LOCK:
		break;
	}
	return NULL;
}

int places_take(struct places *places, enum place_kind kind)
{
	size_t max;
	atomic_size_t *counter = counter_of(places, kind, &max);
	int r = take(&places->taken, places->max);

	if (r < 0 || !counter)
		return r;
	r = take(counter, max);
	if (r < 0)
		(void)atomic_fetch_sub(&places->taken, 1);
	return r;
}

void places_give(struct places *places, enum place_kind kind)
{
	size_t max;
	atomic_size_t *counter = counter_of(places, kind, &max);

	if (counter)
		(void)atomic_fetch_sub(counter, 1);
	(void)atomic_fetch_sub(&places->taken, 1);
}
