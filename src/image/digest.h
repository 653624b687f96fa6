/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests as the OCI image specification writes them, "sha256:" and 64
 * lower-case hexadecimal digits. Nothing else is accepted: a digest becomes
 * part of a path, and another algorithm could not be checked.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DIGEST_BYTES = 32,
	DIGEST_HEX_LENGTH = 2 * DIGEST_BYTES,
	DIGEST_LENGTH = 7 + DIGEST_HEX_LENGTH,
	DIGEST_SIZE = DIGEST_LENGTH + 1,
};

/* NULL and anything but the one form above are not valid. */
bool digest_is_valid(const char *text);
/* 64 lower-case hexadecimal digits. */
bool digest_hex_is_valid(const char *text);
/* The hexadecimal digits of a valid digest, a pointer into it. */
const char *digest_hex(const char *digest);
void digest_format(const uint8_t bytes[DIGEST_BYTES], char ret_digest[DIGEST_SIZE]);
/* Digest of a piece of memory. */
void digest_of(const void *data, size_t size, char ret_digest[DIGEST_SIZE]);

/*
 * Digest of all that a file holds, from its start; the descriptor's position is left alone.
 * *ret_size is the number of its bytes. `is_cancelled`, which may be NULL, is asked often; true
 * ends it with -ECANCELED.
 */
int digest_of_file(int fd, bool (*is_cancelled)(void *user), void *user,
		   char ret_digest[DIGEST_SIZE], uint64_t *ret_size);

/* SHA-256 of a stream. All zeros before hasher_init() and after hasher_done(). */
struct hasher {
	EVP_MD_CTX *context;
};

void hasher_init(struct hasher *hasher);
void hasher_done(struct hasher *hasher);
void hasher_update(struct hasher *hasher, const void *data, size_t size);
/* Ends the hasher: only hasher_done() and hasher_init() may follow. */
void hasher_finish(struct hasher *hasher, uint8_t ret_bytes[DIGEST_BYTES]);
