/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about a request that got no answer. */
#pragma once

#include <curl/curl.h>

/*
 * Server, reason and what to do about it, of a request to `url` that ended with `code`; the caller
 * frees. `detail` is what libcurl wrote into CURLOPT_ERRORBUFFER; it is changed. No more of the URL
 * than the server is told, and no proxy's: both may have secrets in them.
 */
char *transfer_failure_text(CURLcode code, const char *url, char *detail);
