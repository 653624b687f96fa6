/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that a person or an API client will read: a code that says what kind
 * of failure it is, the errno behind it, and one line of text that names the
 * object, the operation and the cause.
 *
 * A function that can fail in such a way takes a struct cay_error * as its
 * last argument and fills it exactly when it returns a negative number. A
 * caller that knows more puts its own words in front with cay_error_prefix().
 * Whoever handles the error logs it, once.
 */
#pragma once

#include "base/macros.h"

#include <stdarg.h>

/* What kind of failure. One table maps each to HTTP, gRPC and exit statuses. */
enum cay_code {
	CAY_OK = 0,
	CAY_INVALID,      /* the request is malformed or contradicts itself */
	CAY_UNAUTHORIZED, /* credentials are missing or refused */
	CAY_FORBIDDEN,    /* understood, and refused */
	CAY_NOT_FOUND,    /* the named object does not exist */
	CAY_EXISTS,       /* the name is taken, or the port */
	CAY_CONFLICT,     /* the object is in a state that does not allow it */
	CAY_NOT_MODIFIED, /* already as asked: started, stopped */
	CAY_TOO_LARGE,    /* foreign data is over a named limit */
	CAY_NO_SPACE,     /* disk, memory, descriptors, addresses: a resource ran out */
	CAY_CANCELLED,    /* the caller gave up */
	CAY_TIMEOUT,      /* the other side did not answer in time */
	CAY_UNAVAILABLE,  /* the other side is not there (daemon, shim, guest, registry) */
	CAY_NOT_EXEC,     /* the container's command can't be executed (exit code 126) */
	CAY_NO_COMMAND,   /* the container's command does not exist (exit code 127) */
	CAY_UNSUPPORTED,  /* a feature or format that cay, or this host, does not have */
	CAY_CORRUPT,      /* stored or received data fails its check */
	CAY_INTERNAL,     /* everything else */
	CAY_CODE_COUNT,
};

enum { CAY_ERROR_MESSAGE_MAX = 1024 };

struct cay_error {
	enum cay_code code;
	int err;                             /* a positive errno */
	char message[CAY_ERROR_MESSAGE_MAX]; /* one line, no newline at its end */
};

/*
 * Sets the error and returns -err (err is a positive errno; 0 stands for EIO, so that the result is
 * always negative). The text of errno is not added: say "%m"-style causes with cay_error_errno().
 * error may be NULL: nothing is recorded then. Text beyond the buffer is cut at a character.
 */
int cay_error_set(struct cay_error *error, enum cay_code code, int err, const char *format, ...)
	cay_printf(4, 5);
int cay_error_setv(struct cay_error *error, enum cay_code code, int err, const char *format,
		   va_list args) cay_printf(4, 0);

/* The same for what a client has asked for: CAY_INVALID, EINVAL. */
int cay_error_invalid(struct cay_error *error, const char *format, ...) cay_printf(2, 3);

/*
 * cay_error_set() with ": <text of err>" added and the code chosen by the errno: ENOENT is
 * NOT_FOUND, EEXIST is EXISTS, ENOSPC, EDQUOT, EMFILE, ENFILE and ENOMEM are NO_SPACE, ETIMEDOUT is
 * TIMEOUT, ECANCELED is CANCELLED, ECONNREFUSED is UNAVAILABLE, all else INTERNAL. Takes err
 * negative or positive.
 */
int cay_error_errno(struct cay_error *error, int err, const char *format, ...) cay_printf(3, 4);

/* Puts "<text>: " in front of the message. Returns -error->err, to be returned at once. */
int cay_error_prefix(struct cay_error *error, const char *format, ...) cay_printf(2, 3);

/* Forgets the error, for an object that is used again. */
void cay_error_clear(struct cay_error *error);

/* The table's columns. */
const char *cay_code_name(enum cay_code code);  /* "not found" */
const char *cay_code_token(enum cay_code code); /* "not-found", for the "cay-code" trailer */
int cay_code_http_status(enum cay_code code);
int cay_code_grpc_status(enum cay_code code);
int cay_code_exit_status(enum cay_code code);
enum cay_code cay_code_from_grpc_status(int status);
enum cay_code cay_code_from_http_status(int status);
/* CAY_CODE_COUNT for a word that is none of the tokens. */
enum cay_code cay_code_from_token(const char *token);

/*
 * Text of an errno (positive or negative), in the C locale; never NULL. The result is a static
 * string or one of a few per-thread buffers, good until the thread's next call.
 */
const char *errno_text(int err);
