/* SPDX-License-Identifier: Apache-2.0 */
/* Work on several things at once. */
#include "image/parallel.h"

#include "base/alloc.h"

#include <pthread.h>

struct lane {
	struct parallel *parallel;
	pthread_t thread;
	struct cay_error err;
	int result;
	bool first_to_fail;
};

static void *run_lane(void *data)
{
	struct lane *lane = data;
	struct parallel *parallel = lane->parallel;

	while (lane->result == 0 && !atomic_load(&parallel->failed)) {
		const size_t item = atomic_fetch_add(&parallel->next, 1);

		if (item >= parallel->count)
			break;
		lane->result = parallel->work(item, parallel->user, &lane->err);
		if (lane->result < 0)
			lane->first_to_fail = !atomic_exchange(&parallel->failed, true);
	}
	return NULL;
}

int parallel_run(struct parallel *parallel, struct cay_error *err)
{
	const size_t lanes = MIN(parallel->threads, parallel->count);
	_cleanup_free_ struct lane *list = xcalloc(lanes + 1, sizeof(*list));
	size_t started = 0;
	int r = 0;

	for (size_t i = 0; i < lanes; i++) {
		list[i].parallel = parallel;
		/* The first lane is this thread, so that the work is done even without others. */
		if (i > 0 && pthread_create(&list[i].thread, NULL, run_lane, &list[i]) != 0)
			break;
		started++;
	}
	if (started > 0)
		(void)run_lane(&list[0]);
	for (size_t i = 1; i < started; i++)
		(void)pthread_join(list[i].thread, NULL); /* fails only for a wrong thread */
	for (size_t i = 0; i < started; i++) {
		if (!list[i].first_to_fail)
			continue;
		r = list[i].result;
		if (err)
			*err = list[i].err;
	}
	return r;
}
