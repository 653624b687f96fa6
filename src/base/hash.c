/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4. */
#include "base/hash.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

struct state {
	uint64_t v[4];
};

struct hash_key hash_key_make(void)
{
	struct hash_key key = { 0 };

	/* Up to 256 bytes come whole or not at all, and signals can't interrupt them. */
	if (getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key))
		abort();
	return key;
}

static uint64_t rotate(uint64_t value, unsigned int bits)
{
	return value << bits | value >> (64 - bits);
}

static void round_once(struct state *s)
{
	uint64_t *v = s->v;

	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static void take_word(struct state *s, uint64_t word)
{
	s->v[3] ^= word;
	round_once(s);
	round_once(s);
	s->v[0] ^= word;
}

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t size)
{
	struct state s = { {
		key->parts[0] ^ UINT64_C(0x736f6d6570736575),
		key->parts[1] ^ UINT64_C(0x646f72616e646f6d),
		key->parts[0] ^ UINT64_C(0x6c7967656e657261),
		key->parts[1] ^ UINT64_C(0x7465646279746573),
	} };
	const uint8_t *at = data;
	uint64_t word = 0;
	size_t left;

	for (left = size; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		take_word(&s, le64toh(word));
	}
	word = 0;
	if (left > 0)
		memcpy(&word, at, left);
	take_word(&s, le64toh(word) | (uint64_t)size << 56);
	s.v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		round_once(&s);
	return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
