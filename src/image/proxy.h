/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxies of the environment by the rules that docker follows (those of
 * Go's httpproxy package), which are not quite libcurl's: HTTP_PROXY and
 * HTTPS_PROXY, each also in small letters, and NO_PROXY with hosts, domains,
 * addresses, networks and ports. This host itself is never asked through one.
 */
#pragma once

/* The proxy's URL for a request to `url`, which the caller frees; NULL: none. */
char *proxy_for(const char *url);

/* The value of one of two variables, for people: what may be a user and a password is hidden. */
char *proxy_shown(const char *name, const char *other);
