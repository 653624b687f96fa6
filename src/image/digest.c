/* SPDX-License-Identifier: Apache-2.0 */
/* Digests: their one accepted form, and SHA-256 by OpenSSL. */
#include "image/digest.h"

#include "base/id.h"
#include "base/log.h"

#include <string.h>

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
