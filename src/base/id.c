/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers: random ones for containers and execs, and the check of names a client gives. */
#include "base/id.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void hex_encode(const void *data, size_t size, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++) {
		ret_text[2 * i] = digits[bytes[i] >> 4];
		ret_text[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret_text[2 * size] = '\0';
}

int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void id_make(char ret_id[ID_SIZE])
{
	unsigned char bytes[ID_LENGTH / 2];
	ssize_t n;

	do {
		n = getrandom(bytes, sizeof(bytes), 0);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(bytes))
		abort(); /* up to 256 bytes come whole, and the call exists since Linux 3.17 */
	hex_encode(bytes, sizeof(bytes), ret_id);
}

bool id_is_valid(const char *id)
{
	return strspn(id, "0123456789abcdef") == ID_LENGTH && id[ID_LENGTH] == '\0';
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool name_is_valid(const char *name)
{
	size_t length = strlen(name);

	if (length < 2 || length > NAME_MAX_LENGTH || !is_alphanumeric(name[0]))
		return false;
	for (size_t i = 1; i < length; i++)
		if (!is_alphanumeric(name[i]) && !strchr("_.-", name[i]))
			return false;
	return true;
}
