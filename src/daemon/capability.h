/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's capabilities by name, and docker's rule for --cap-add and --cap-drop. */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>

/* A bit for each; bit n is capability n of linux/capability.h. */
extern const uint64_t capabilities_all;
extern const uint64_t capabilities_default; /* docker's */

/* Adds and drops names ("NET_ADMIN", "CAP_NET_ADMIN", "ALL") as docker does. */
int capabilities_tweak(const struct strv *add, const struct strv *drop, uint64_t *set,
		       struct cay_error *err);
/* An array of "CAP_…" names. */
json_t *capabilities_to_json(uint64_t set);
