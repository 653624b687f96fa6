/* SPDX-License-Identifier: Apache-2.0 */
/* Names in messages and as text. */
#include "net/dns-name.h"

#include "base/buf.h"

#include <errno.h>

enum { POINTER_MARK = 0xc0 };

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Appends a label, its length byte in front; -EBADMSG over the limit of a name. */
static int append_label(struct dns_name *name, const uint8_t *label, size_t length)
{
	if (name->length + 1 + length > DNS_NAME_MAX)
		return -EBADMSG;
	name->bytes[name->length++] = (uint8_t)length;
	memcpy(name->bytes + name->length, label, length);
	name->length += length;
	return 0;
}

/* Bytes of a message that a name, or the rest of one behind a pointer, may be read from. */
struct run {
	size_t begin, end;
};

/* Follows the pointer at `at`: what it leads to must be whole before the run that it stands in. */
static int follow(const uint8_t *data, size_t at, struct run *run)
{
	size_t target;

	if (at + 2 > run->end)
		return -EBADMSG;
	target = (size_t)(data[at] & ~POINTER_MARK) << 8 | data[at + 1];
	if (target >= run->begin)
		return -EBADMSG;
	*run = (struct run){ target, run->begin };
	return 0;
}

int dns_name_read(const uint8_t *data, size_t size, size_t *offset, struct dns_name *ret_name)
{
	struct dns_name name = { .length = 0 };
	struct run run = { *offset, size };
	size_t at = *offset, end = 0;

	for (;;) {
		uint8_t length;

		if (at >= run.end)
			return -EBADMSG;
		length = data[at];
		if ((length & POINTER_MARK) == POINTER_MARK) {
			if (end == 0)
				end = at + 2;
			if (follow(data, at, &run) < 0)
				return -EBADMSG;
			at = run.begin;
			continue;
		}
		/* 0x40 and 0x80 were reserved for other kinds of labels, which nobody uses. */
		if (length > DNS_LABEL_MAX || length > run.end - at - 1 ||
		    append_label(&name, data + at + 1, length) < 0)
			return -EBADMSG;
		at += 1 + (size_t)length;
		if (length == 0)
			break;
	}
	*offset = end ? end : at;
	if (ret_name)
		*ret_name = name;
	return 0;
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
	if (a->length != b->length)
		return false;
	/* Length bytes are below 'A', so the whole can be compared as if it were letters. */
	for (size_t i = 0; i < a->length; i++)
		if (lower(a->bytes[i]) != lower(b->bytes[i]))
			return false;
	return true;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool dns_name_text(const struct dns_name *name, char ret_text[DNS_NAME_TEXT_MAX])
{
	size_t at = 0, out = 0;

	if (name->length <= 1)
		return false;
	while (name->bytes[at] != 0) {
		uint8_t length = name->bytes[at++];

		for (size_t end = at + length; at < end; at++) {
			char c = lower(name->bytes[at]);

			if (!is_plain(c))
				return false;
			ret_text[out++] = c;
		}
		ret_text[out++] = '.';
	}
	ret_text[out - 1] = '\0';
	return true;
}

int dns_name_from_text(const char *text, struct dns_name *ret_name)
{
	struct dns_name name = { .length = 0 };
	struct str rest = str_from(text);

	if (rest.length == 0)
		return -EINVAL;
	for (;;) {
		bool more = memchr(rest.data, '.', rest.length) != NULL;
		struct str label = str_split(rest, '.', &rest);

		if (label.length == 0 || label.length > DNS_LABEL_MAX ||
		    append_label(&name, (const uint8_t *)label.data, label.length) < 0)
			return -EINVAL;
		if (!more)
			break;
	}
	if (append_label(&name, (const uint8_t *)"", 0) < 0)
		return -EINVAL;
	*ret_name = name;
	return 0;
}

bool dns_name_is_under(const struct dns_name *name, const char *last_label)
{
	size_t at = 0, last = 0, length = strlen(last_label);

	while (name->length > 0 && name->bytes[at] != 0) {
		last = at;
		at += 1 + (size_t)name->bytes[at];
	}
	if (at == 0 || name->bytes[last] != length)
		return false;
	for (size_t i = 0; i < length; i++)
		if (lower(name->bytes[last + 1 + i]) != last_label[i])
			return false;
	return true;
}

/* ---- reverse names ---- */

/* "4.3.2.1" */
static int ipv4_from_labels(struct str labels, struct net_address *ret_address)
{
	uint8_t bytes[4];

	for (size_t i = ARRAY_SIZE(bytes); i-- > 0;) {
		bool more = memchr(labels.data, '.', labels.length) != NULL;
		struct str label = str_split(labels, '.', &labels);
		uint64_t value;

		if (more != (i > 0) || label.length > 3 || str_to_u64(label, 255, &value) < 0)
			return -EINVAL;
		bytes[i] = (uint8_t)value;
	}
	*ret_address = net_address_from_bytes(AF_INET, bytes);
	return 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1.0.0 … d.f": 32 hexadecimal digits, the last one first */
static int ipv6_from_labels(struct str labels, struct net_address *ret_address)
{
	uint8_t bytes[16] = { 0 };

	if (labels.length != 63)
		return -EINVAL;
	for (size_t i = 0; i < 32; i++) {
		int value = nibble(labels.data[62 - 2 * i]);

		if (value < 0 || (i > 0 && labels.data[63 - 2 * i] != '.'))
			return -EINVAL;
		bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | value);
	}
	*ret_address = net_address_from_bytes(AF_INET6, bytes);
	return 0;
}

int dns_name_to_address(const char *text, struct net_address *ret_address)
{
	static const char ipv4[] = ".in-addr.arpa", ipv6[] = ".ip6.arpa";
	size_t length = strlen(text);

	if (ends_with(text, ipv4))
		return ipv4_from_labels((struct str){ text, length - strlen(ipv4) }, ret_address);
	if (ends_with(text, ipv6))
		return ipv6_from_labels((struct str){ text, length - strlen(ipv6) }, ret_address);
	return -EINVAL;
}
