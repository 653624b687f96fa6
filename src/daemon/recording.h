/* SPDX-License-Identifier: Apache-2.0 */
/* Making one file of translations: two VMs of the pool's kind are recorded, and compared. */
#pragma once

#include "daemon/pool-member.h"
#include "image/digest.h"
#include "vmm/translations.h"

#include <pthread.h>

enum { TRANSLATIONS_KEY_SIZE = DIGEST_HEX_LENGTH + 1 };

/* The SHA-256 of all that translations for this machine depend on. Looks at some files. */
void recording_key(const struct sandbox_config *config, char ret_key[TRANSLATIONS_KEY_SIZE]);

/* The VM that is being recorded, for those who want it ended. */
struct recording {
	pthread_mutex_t *lock;       /* guards the rest */
	const struct member *member; /* NULL: none */
	bool is_cancelled;           /* for good */
};

/* With the lock held: ends it; recording_make() fails with CAY_CANCELLED from then on. */
void recording_cancel(struct recording *recording);

/*
 * Makes the translations for the machine `like`, whose key this is, at `directory`/`key`, in place
 * of what is there. CAY_UNSUPPORTED where its QEMU can't be recorded. Blocks for as long as that
 * takes; call without the lock.
 */
int recording_make(struct daemon *daemon, struct recording *recording, const char *directory,
		   const char *key, const struct sandbox_config *like,
		   struct translations_counts *ret_counts, struct cay_error *err);

/* Ends VMs that an earlier daemon had recorded; what they have left is for the caller to remove. */
void recording_clear(const char *directory);
