/* SPDX-License-Identifier: Apache-2.0 */
/* The response parser: any bytes, in pieces whose sizes are bytes of the input too. */
#include "cli/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(http_parser_done) struct http_parser parser = { 0 };
	size_t at = 0, body = 0;

	while (at < size) {
		size_t step = MIN((size_t)data[at] + 1, size - at);
		struct str input = { (const char *)data + at, step };

		at += step;
		while (input.length > 0 && parser.state != HTTP_DONE && parser.state != HTTP_RAW) {
			struct cay_error err;
			struct str piece;

			if (http_parser_feed(&parser, &input, &piece, &err) < 0)
				return 0;
			body += piece.length;
		}
	}
	if (body > size)
		abort();
	(void)http_parser_end(&parser, NULL);
	return 0;
}
