/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder: where guests are emulated (TCG), most of a start is QEMU
 * translating the guest's code, which is the same each time. So one thread has
 * that recorded once, in the background after the first start, and all VMs
 * that are started from then on are given the translations (vmm/translations.h).
 * Nothing waits for that but what is made ahead itself, templates and the pool.
 *
 * They are one file, <root>/translations/<key>, of this user alone. Its key is
 * that of all that they depend on: with another kernel or QEMU it is not found
 * any more, and removed once there is another. The file is the truth: that it
 * is missing, or damaged, is seen by the next start, which has it made again.
 */
#pragma once

#include "daemon/daemon.h"
#include "sandbox/config.h"

struct recorder;

/*
 * Ends and clears away what an earlier daemon left half-made, and what is damaged. With
 * --translations off none are made or used, and what is there stays.
 */
int recorder_open(struct daemon *daemon, struct recorder **ret_recorder, struct cay_error *err);
/* Begins to make what is wanted. */
void recorder_start(struct recorder *recorder);
/* Ends what is being made; nothing is made from then on. NULL is allowed. */
void recorder_stop(struct recorder *recorder);
/* After no VM is started any more. NULL is allowed. */
void recorder_free(struct recorder *recorder);

/*
 * Puts the translations for its machine into the configuration, to be used by a VM that is started
 * at once. Where there are none, they are wanted. Never blocks for long.
 */
void recorder_choose(struct recorder *recorder, struct sandbox_config *config);

/*
 * For work in the background that is better done with translations: in how many milliseconds to ask
 * again, while they are made for the first time; 0: it may begin. Wants them as well.
 */
int64_t recorder_left_ms(struct recorder *recorder, const struct sandbox_config *config);
