/* SPDX-License-Identifier: Apache-2.0 */
/* Work that may block, such as flushing a disk, in a forked child of vminitd's. */
#pragma once

#include "base/error.h"

#include <sys/types.h>

struct guest;

/*
 * fork() for a child that executes no other program: no handler of vminitd's runs in it, and no
 * signal is blocked. Everything else is vminitd's, descriptors too.
 */
pid_t task_fork(void);

/*
 * Forks a child that calls run(input, …) with a copy of everything, and has `done` called from the
 * loop with what it returned. The child shares the guest's namespaces; descriptors stay open in it.
 * A child that dies is an error to `done`. On failure to fork, -errno, and `done` is not called.
 */
int task_start(struct guest *guest,
	       int (*run)(const void *input, uint64_t *ret_value, struct cay_error *err),
	       const void *input,
	       void (*done)(int result, uint64_t value, const struct cay_error *err, void *user),
	       void *user, struct cay_error *err);
/* The same where the value is a descriptor, which is passed on: *value is the caller's own then. */
int task_open(struct guest *guest,
	      int (*run)(const void *input, uint64_t *ret_value, struct cay_error *err),
	      const void *input,
	      void (*done)(int result, uint64_t value, const struct cay_error *err, void *user),
	      void *user, struct cay_error *err);
