/* SPDX-License-Identifier: Apache-2.0 */
/* Digests: their one accepted form, and SHA-256 by OpenSSL. */
#include "image/digest.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

enum { READ_SIZE = 256 * 1024 };

bool digest_hex_is_valid(const char *text)
{
	return text && strspn(text, "0123456789abcdef") == DIGEST_HEX_LENGTH &&
		text[DIGEST_HEX_LENGTH] == '\0';
}

bool digest_is_valid(const char *text)
{
	return text && strncmp(text, "sha256:", 7) == 0 && digest_hex_is_valid(text + 7);
}

const char *digest_hex(const char *digest)
{
	return digest + 7;
}

void digest_format(const uint8_t bytes[DIGEST_BYTES], char ret_digest[DIGEST_SIZE])
{
	(void)snprintf(ret_digest, DIGEST_SIZE, "sha256:");
	hex_encode(bytes, DIGEST_BYTES, ret_digest + 7);
}

void digest_of(const void *data, size_t size, char ret_digest[DIGEST_SIZE])
{
	struct hasher hasher;
	uint8_t bytes[DIGEST_BYTES];

	hasher_init(&hasher);
	hasher_update(&hasher, data, size);
	hasher_finish(&hasher, bytes);
	hasher_done(&hasher);
	digest_format(bytes, ret_digest);
}

/* SHA-256 from OpenSSL's default provider fails only for lack of memory, as xmalloc() does. */
static void must(int result)
{
	if (result != 1)
		die("SHA-256 is not available");
}

void hasher_init(struct hasher *hasher)
{
	hasher->context = EVP_MD_CTX_new();
	must(hasher->context != NULL);
	must(EVP_DigestInit_ex(hasher->context, EVP_sha256(), NULL));
}

void hasher_done(struct hasher *hasher)
{
	EVP_MD_CTX_free(hasher->context);
	hasher->context = NULL;
}

void hasher_update(struct hasher *hasher, const void *data, size_t size)
{
	must(EVP_DigestUpdate(hasher->context, data, size));
}

void hasher_finish(struct hasher *hasher, uint8_t ret_bytes[DIGEST_BYTES])
{
	must(EVP_DigestFinal_ex(hasher->context, ret_bytes, NULL));
}

int digest_of_file(int fd, bool (*is_cancelled)(void *user), void *user,
		   char ret_digest[DIGEST_SIZE], uint64_t *ret_size)
{
	_cleanup_free_ char *chunk = xmalloc(READ_SIZE);
	_cleanup_(hasher_done) struct hasher hasher = { 0 };
	uint8_t bytes[DIGEST_BYTES];
	uint64_t size = 0;
	ssize_t n;

	hasher_init(&hasher);
	while ((n = pread_full(fd, chunk, READ_SIZE, (off_t)size)) > 0) {
		hasher_update(&hasher, chunk, (size_t)n);
		size += (uint64_t)n;
		if (is_cancelled && is_cancelled(user))
			return -ECANCELED;
	}
	if (n < 0)
		return (int)n;
	hasher_finish(&hasher, bytes);
	digest_format(bytes, ret_digest);
	*ret_size = size;
	return 0;
}
