/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash of foreign bytes: SipHash-2-4 (Aumasson and Bernstein, "SipHash: a
 * fast short-input PRF", 2012). Who does not know the key can't choose two
 * inputs that have the same one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_key {
	uint64_t parts[2];
};

/* A random key. */
struct hash_key hash_key_make(void);
uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t size);
