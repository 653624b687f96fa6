/* SPDX-License-Identifier: Apache-2.0 */
/* Errors with a code, an errno and one line of text, and the table of what each code maps to. */
#include "base/error.h"

#include <errno.h>
#include <string.h>

struct code_row {
	const char *name;
	const char *token; /* goes over the wire: rows may be added, never renamed */
	int http;
	int grpc; /* the status codes of the gRPC core documentation, "statuscodes.md" */
	int exit; /* Docker's: 125 for the tool's own errors, 126 and 127 for the command's */
};

static const struct code_row codes[] = {
	[CAY_OK] = { "ok", "ok", 200, 0, 0 },
	[CAY_INVALID] = { "invalid request", "invalid", 400, 3, 125 },
	[CAY_UNAUTHORIZED] = { "unauthorized", "unauthorized", 401, 16, 125 },
	[CAY_FORBIDDEN] = { "forbidden", "forbidden", 403, 7, 125 },
	[CAY_NOT_FOUND] = { "not found", "not-found", 404, 5, 125 },
	[CAY_EXISTS] = { "already exists", "exists", 409, 6, 125 },
	[CAY_CONFLICT] = { "conflict", "conflict", 409, 9, 125 },
	[CAY_NOT_MODIFIED] = { "not modified", "not-modified", 304, 9, 0 },
	[CAY_TOO_LARGE] = { "too large", "too-large", 413, 11, 125 },
	[CAY_NO_SPACE] = { "out of resources", "no-space", 507, 8, 125 },
	[CAY_CANCELLED] = { "cancelled", "cancelled", 499, 1, 130 },
	[CAY_TIMEOUT] = { "timed out", "timeout", 504, 4, 125 },
	[CAY_UNAVAILABLE] = { "unavailable", "unavailable", 503, 14, 125 },
	/* Docker answers both with 400 and its clients read the text; see api/containers. */
	[CAY_NOT_EXEC] = { "not executable", "not-exec", 400, 9, 126 },
	[CAY_NO_COMMAND] = { "command not found", "no-command", 400, 5, 127 },
	[CAY_UNSUPPORTED] = { "not supported", "unsupported", 501, 12, 125 },
	[CAY_CORRUPT] = { "corrupt", "corrupt", 500, 15, 125 },
	[CAY_INTERNAL] = { "internal error", "internal", 500, 13, 125 },
};
static_assert(ARRAY_SIZE(codes) == CAY_CODE_COUNT, "every code has a row");

static const struct code_row *code_row(enum cay_code code)
{
	return &codes[(unsigned int)code < CAY_CODE_COUNT ? code : CAY_INTERNAL];
}

const char *cay_code_name(enum cay_code code)
{
	return code_row(code)->name;
}

const char *cay_code_token(enum cay_code code)
{
	return code_row(code)->token;
}

int cay_code_http_status(enum cay_code code)
{
	return code_row(code)->http;
}

int cay_code_grpc_status(enum cay_code code)
{
	return code_row(code)->grpc;
}

int cay_code_exit_status(enum cay_code code)
{
	return code_row(code)->exit;
}

/* Several codes share a status: the first row wins, so the rows stand from plain to special. */
enum cay_code cay_code_from_grpc_status(int status)
{
	for (unsigned int code = 0; code < CAY_CODE_COUNT; code++)
		if (codes[code].grpc == status)
			return code;
	return CAY_INTERNAL;
}

enum cay_code cay_code_from_http_status(int status)
{
	if (status >= 200 && status < 300)
		return CAY_OK;
	for (unsigned int code = 0; code < CAY_CODE_COUNT; code++)
		if (codes[code].http == status)
			return code;
	return status >= 400 && status < 500 ? CAY_INVALID : CAY_INTERNAL;
}

enum cay_code cay_code_from_token(const char *token)
{
	unsigned int code = 0;

	while (code < CAY_CODE_COUNT && strcmp(codes[code].token, token) != 0)
		code++;
	return code;
}

/* Cuts a message at its first line end or, where it filled its buffer, at a UTF-8 character. */
static void tidy_message(struct cay_error *error)
{
	size_t length = strcspn(error->message, "\r\n");

	error->message[length] = '\0';
	if (length < sizeof(error->message) - 1)
		return;
	while (length > 0 && ((unsigned char)error->message[length - 1] & 0xc0) == 0x80)
		length--;
	if (length > 0 && (unsigned char)error->message[length - 1] >= 0xc0)
		length--;
	error->message[length] = '\0';
}

int cay_error_setv(struct cay_error *error, enum cay_code code, int err, const char *format,
		   va_list args)
{
	if (err == 0)
		err = EIO;
	if (err < 0)
		err = -err;
	if (!error)
		return -err;
	error->code = code;
	error->err = err;
	(void)vsnprintf(error->message, sizeof(error->message), format, args);
	tidy_message(error);
	return -err;
}

int cay_error_set(struct cay_error *error, enum cay_code code, int err, const char *format, ...)
{
	va_list args;
	int result;

	va_start(args, format);
	result = cay_error_setv(error, code, err, format, args);
	va_end(args);
	return result;
}

int cay_error_invalid(struct cay_error *error, const char *format, ...)
{
	va_list args;
	int result;

	va_start(args, format);
	result = cay_error_setv(error, CAY_INVALID, EINVAL, format, args);
	va_end(args);
	return result;
}

static enum cay_code code_of_errno(int err)
{
	switch (err) {
	case ENOENT:
		return CAY_NOT_FOUND;
	case EEXIST:
		return CAY_EXISTS;
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return CAY_NO_SPACE;
	case ETIMEDOUT:
		return CAY_TIMEOUT;
	case ECANCELED:
		return CAY_CANCELLED;
	case ECONNREFUSED:
		return CAY_UNAVAILABLE;
	default:
		return CAY_INTERNAL;
	}
}

int cay_error_errno(struct cay_error *error, int err, const char *format, ...)
{
	char text[CAY_ERROR_MESSAGE_MAX];
	va_list args;

	if (err < 0)
		err = -err;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return cay_error_set(error, code_of_errno(err), err, "%s: %s", text,
			     errno_text(err ? err : EIO));
}

int cay_error_prefix(struct cay_error *error, const char *format, ...)
{
	char old[CAY_ERROR_MESSAGE_MAX], text[CAY_ERROR_MESSAGE_MAX];
	va_list args;

	if (!error)
		return -EIO;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(old, error->message, sizeof(old));
	/* The prefix must leave room for the cause, which is what helps most. */
	return cay_error_set(error, error->code, error->err, "%.400s: %s", text, old);
}

void cay_error_clear(struct cay_error *error)
{
	*error = (struct cay_error){ .code = CAY_OK };
}

const char *errno_text(int err)
{
	static _Thread_local char unknown[32];
	const char *text = strerrordesc_np(err < 0 ? -err : err);

	if (text)
		return text;
	(void)snprintf(unknown, sizeof(unknown), "error %d", err);
	return unknown;
}
