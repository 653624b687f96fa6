/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines, content types and statuses in gRPC's header fields. */
#include "rpc/metadata.h"

#include "base/id.h"

#include <errno.h>
#include <inttypes.h>
#include <nghttp2/nghttp2.h>

enum {
	TIMEOUT_DIGITS = 8,
	TIMEOUT_VALUE_MAX = 99999999,
	GRPC_STATUS_MAX = 9999, /* no status is larger than 16; the rest is kept to be named */
};

/* ---- the deadline ---- */

int metadata_parse_timeout(struct str text, int64_t *ret_ms)
{
	struct str number = { text.data, text.length ? text.length - 1 : 0 };
	uint64_t value;

	if (number.length == 0 || number.length > TIMEOUT_DIGITS ||
	    str_to_u64(number, TIMEOUT_VALUE_MAX, &value) < 0)
		return -EINVAL;
	switch (text.data[text.length - 1]) {
	case 'H':
		*ret_ms = (int64_t)value * 60 * 60 * 1000;
		return 0;
	case 'M':
		*ret_ms = (int64_t)value * 60 * 1000;
		return 0;
	case 'S':
		*ret_ms = (int64_t)value * 1000;
		return 0;
	case 'm':
		*ret_ms = (int64_t)value;
		return 0;
	case 'u':
		*ret_ms = ((int64_t)value + 999) / 1000;
		return 0;
	case 'n':
		*ret_ms = ((int64_t)value + 999999) / 1000000;
		return 0;
	default:
		return -EINVAL;
	}
}

void metadata_format_timeout(int64_t ms, char ret_text[METADATA_TIMEOUT_MAX])
{
	static const struct {
		int64_t ms;
		char unit;
	} units[] = { { 1, 'm' }, { 1000, 'S' }, { 60 * 1000, 'M' }, { 60 * 60 * 1000, 'H' } };
	size_t i = 0;
	int64_t value = MAX(ms, 1);

	while (value > TIMEOUT_VALUE_MAX && i + 1 < ARRAY_SIZE(units)) {
		i++;
		value = ms / units[i].ms;
	}
	value = MIN(value, TIMEOUT_VALUE_MAX);
	(void)snprintf(ret_text, METADATA_TIMEOUT_MAX, "%" PRId64 "%c", value, units[i].unit);
}

/* ---- the content type ---- */

bool metadata_is_grpc(struct str content_type)
{
	struct str rest, type = str_split(content_type, ';', &rest);

	while (type.length > 0 && type.data[type.length - 1] == ' ')
		type.length--;
	return str_equals(type, "application/grpc") || str_equals(type, "application/grpc+proto");
}

/* ---- the message ---- */

size_t metadata_encode_message(const char *message, char ret_text[METADATA_MESSAGE_MAX])
{
	static const char digits[] = "0123456789ABCDEF";
	size_t length = 0;

	for (; *message && length + 3 < METADATA_MESSAGE_MAX; message++) {
		unsigned char c = (unsigned char)*message;
		/* HTTP/2 has no field that begins or ends with one (RFC 9113, section 8.2.1). */
		bool outer_space = c == ' ' && (length == 0 || message[1] == '\0');

		if (c >= ' ' && c <= '~' && c != '%' && !outer_space) {
			ret_text[length++] = (char)c;
			continue;
		}
		ret_text[length++] = '%';
		ret_text[length++] = digits[c >> 4];
		ret_text[length++] = digits[c & 0xf];
	}
	ret_text[length] = '\0';
	return length;
}

/* Length of the UTF-8 character at text, 0 where there is none (RFC 3629, section 4). */
static size_t utf8_length(const unsigned char *text, size_t left)
{
	size_t length;
	unsigned char low = 0x80, high = 0xbf;

	if (text[0] < 0x80)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;
	if (left < length || text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	return length;
}

/* C0 and C1 controls and DEL; a tab is white space and harmless. */
static bool is_control(const unsigned char *character, size_t length)
{
	if (length == 1)
		return (character[0] < ' ' && character[0] != '\t') || character[0] == 0x7f;
	return length == 2 && character[0] == 0xc2 && character[1] < 0xa0;
}

static void make_harmless(char *text, size_t length)
{
	size_t step;

	for (size_t i = 0; i < length; i += step) {
		const unsigned char *at = (const unsigned char *)text + i;

		step = utf8_length(at, length - i);
		if (step == 0 || is_control(at, step)) {
			step = MAX(step, (size_t)1);
			memset(text + i, '?', step);
		}
	}
}

void metadata_decode_message(struct str text, char ret_message[CAY_ERROR_MESSAGE_MAX])
{
	size_t length = 0;

	for (size_t i = 0; i < text.length && length < CAY_ERROR_MESSAGE_MAX - 1; i++) {
		int high = -1, low = -1;

		if (text.data[i] == '%' && text.length - i > 2) {
			high = hex_digit(text.data[i + 1]);
			low = hex_digit(text.data[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			ret_message[length++] = (char)(high << 4 | low);
			i += 2;
		} else {
			ret_message[length++] = text.data[i];
		}
	}
	make_harmless(ret_message, length);
	ret_message[length] = '\0';
}

/* ---- the status ---- */

void metadata_status_init(struct metadata_status *status)
{
	status->grpc = -1;
	status->code = CAY_CODE_COUNT;
	status->message[0] = '\0';
}

void metadata_status_add(struct metadata_status *status, struct str name, struct str value)
{
	if (str_equals(name, "grpc-status")) {
		uint64_t number;

		if (str_to_u64(value, GRPC_STATUS_MAX, &number) == 0)
			status->grpc = (int)number;
	} else if (str_equals(name, "grpc-message")) {
		metadata_decode_message(value, status->message);
	} else if (str_equals(name, "cay-code")) {
		_cleanup_free_ char *token = str_dup(value);

		status->code = cay_code_from_token(token);
	}
}

void metadata_status_resolve(const struct metadata_status *status, struct cay_error *ret_status)
{
	enum cay_code code;

	if (status->grpc < 0) {
		(void)cay_error_set(ret_status, CAY_CORRUPT, EPROTO,
				    "the call ended without a status");
		return;
	}
	code = cay_code_from_grpc_status(status->grpc);
	if (status->code != CAY_CODE_COUNT && (status->code == CAY_OK) == (status->grpc == 0))
		code = status->code;
	if (code == CAY_OK)
		cay_error_clear(ret_status);
	else if (status->message[0])
		(void)cay_error_set(ret_status, code, EREMOTEIO, "%s", status->message);
	else
		(void)cay_error_set(ret_status, code, EREMOTEIO, "%s", cay_code_name(code));
}

/* http-grpc-status-mapping.md */
enum cay_code metadata_code_of_http(int status)
{
	switch (status) {
	case 401:
		return CAY_UNAUTHORIZED;
	case 403:
		return CAY_FORBIDDEN;
	case 404:
		return CAY_UNSUPPORTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return CAY_UNAVAILABLE;
	default:
		return CAY_INTERNAL;
	}
}

enum cay_code metadata_code_of_reset(uint32_t error_code)
{
	switch (error_code) {
	case NGHTTP2_REFUSED_STREAM:
		return CAY_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return CAY_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return CAY_NO_SPACE;
	case NGHTTP2_INADEQUATE_SECURITY:
		return CAY_FORBIDDEN;
	default:
		return CAY_INTERNAL;
	}
}
