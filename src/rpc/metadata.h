/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What gRPC says in HTTP/2 header fields: the request's deadline and content
 * type, and the status that ends a call, as text and as struct cay_error.
 *
 * Source: PROTOCOL-HTTP2.md and statuscodes.md of the gRPC core repository. A
 * status of cay's own carries its exact code in one more trailer, "cay-code".
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* "10S", "250m": at most eight digits and a unit. Milliseconds, rounded up; -EINVAL. */
int metadata_parse_timeout(struct str text, int64_t *ret_ms);
enum { METADATA_TIMEOUT_MAX = 24 };
/* The same with a NUL; ms of 0 and less are written as one millisecond. */
void metadata_format_timeout(int64_t ms, char ret_text[METADATA_TIMEOUT_MAX]);

/* Whether a content type means gRPC with protobuf messages. */
bool metadata_is_grpc(struct str content_type);

/*
 * Percent-encoding of grpc-message: what is not printable ASCII, '%', and a space at either end.
 * Ends with a NUL.
 */
enum { METADATA_MESSAGE_MAX = 3 * CAY_ERROR_MESSAGE_MAX + 1 };
size_t metadata_encode_message(const char *message, char ret_text[METADATA_MESSAGE_MAX]);
/*
 * The reverse, cut to fit. Bad escapes stay as they are; what would disturb a terminal or is no
 * UTF-8 becomes '?', for the text may be a guest's.
 */
void metadata_decode_message(struct str text, char ret_message[CAY_ERROR_MESSAGE_MAX]);

/* What a peer's header fields have said about the end of a call. */
struct metadata_status {
	int grpc;           /* grpc-status, -1 while absent */
	enum cay_code code; /* cay-code, CAY_CODE_COUNT while absent or unknown */
	char message[CAY_ERROR_MESSAGE_MAX];
};
void metadata_status_init(struct metadata_status *status);
/* Takes one field in; those that are not about the status are left alone. */
void metadata_status_add(struct metadata_status *status, struct str name, struct str value);
/* cay-code counts where it agrees with grpc-status on success; a call without a status is CORRUPT.
 */
void metadata_status_resolve(const struct metadata_status *status, struct cay_error *ret_status);

/* What the call means that ended with an HTTP status in place of gRPC's. */
enum cay_code metadata_code_of_http(int status);
/* What a reset stream's HTTP/2 error code means for the call. */
enum cay_code metadata_code_of_reset(uint32_t error_code);
