/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's state, for its tests. */
#pragma once

#include "daemon/recorder.h"
#include "daemon/recording.h"

struct recorder {
	struct daemon *daemon;
	char *directory;
	int wake_fd; /* an eventfd: something below has changed */
	pthread_t thread;
	bool is_threaded;

	pthread_mutex_t lock;
	/* Under the lock. */
	struct recording recording; /* cancelled when the daemon ends */
	/* Since when they are wanted, and not before when they are made, by clock_monotonic_ms().
	 */
	int64_t wanted_ms, not_before_ms;        /* 0: they are not */
	unsigned int failures;                   /* in a row */
	char *fault;                             /* the last one; NULL: none */
	char unsupported[TRANSLATIONS_KEY_SIZE]; /* for which there are none; "": no such key */
};

/*
 * Takes in how making them went, with the result and the error of recording_make(). Without the
 * lock.
 */
void recorder_conclude(struct recorder *recorder, const char *key, int r,
		       const struct cay_error *err);
