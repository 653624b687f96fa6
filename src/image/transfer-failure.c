/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about a request that got no answer. */
#include "image/transfer-failure.h"

#include "base/alloc.h"
#include "image/address.h"

#include <ctype.h>

/*
 * What curl says about a failure. Its fixed text for the codes that are not listed, and where there
 * is a URL in it: some show the proxy's, which may have a password. Pieces of a certificate may be
 * in there, so it is made fit to be shown.
 */
static const char *reason(CURLcode code, char *detail)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_PEER_FAILED_VERIFICATION:
		break;
	default:
		return curl_easy_strerror(code);
	}
	for (char *at = detail; *at; at++)
		if (!isprint((unsigned char)*at))
			*at = '?';
	return detail[0] && !strstr(detail, "://") ? detail : curl_easy_strerror(code);
}

/* What a person can do about it; the caller frees. Begins with "; " where it is not empty. */
static char *remedy(CURLcode code, const char *server, const char *detail)
{
	const bool hub = strcmp(server, HUB_SERVER) == 0;

	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return xasprintf("; put the certificate of its authority into "
				 "/etc/cay/certs.d/%s/ca.crt, or start cayd with "
				 "--insecure-registry %s",
				 hub ? HUB_NAME : server, server);
	case CURLE_SSL_CONNECT_ERROR:
		/* OpenSSL's word for what begins like anything but TLS. */
		return strstr(detail, "wrong version number")
			? xasprintf("; it seems to speak plain HTTP: if it is to be trusted, start "
				    "cayd with --insecure-registry %s",
				    server)
			: xstrdup("");
	case CURLE_COULDNT_RESOLVE_HOST:
		return xstrdup("; check the name, and the name servers or the proxy of this host");
	case CURLE_COULDNT_RESOLVE_PROXY:
		return xstrdup("; check HTTP_PROXY and HTTPS_PROXY in cayd's environment");
	case CURLE_COULDNT_CONNECT:
		return xstrdup("; check that it is running and can be reached from this "
			       "host, by the proxy if there is one");
	default:
		return xstrdup("");
	}
}

char *transfer_failure_text(CURLcode code, const char *url, char *detail)
{
	_cleanup_free_ char *server = NULL, *what_to_do = NULL;
	_cleanup_url_ struct url parts = { 0 };

	if (url_parse(url, &parts, NULL) < 0)
		return xstrdup(curl_easy_strerror(code));
	server = url_server(&parts);
	what_to_do = remedy(code, server, detail);
	return xasprintf("%s: %s%s", server, reason(code, detail), what_to_do);
}
