/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses and hosts a registry may send us to. */
#include "image/address.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <strings.h>

static bool is_local_v4(uint32_t address)
{
	return address >> 24 == 127 || address >> 24 == 0 || address >> 16 == 0xa9fe;
}

bool address_is_local(const struct sockaddr *address)
{
	/* Amazon's metadata service, which is unique-local and not link-local. */
	static const uint8_t metadata[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };

	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;

		return is_local_v4(ntohl(v4->sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
		const uint8_t *bytes = v6->sin6_addr.s6_addr;
		uint32_t inner;

		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
			memcpy(&inner, bytes + 12, sizeof(inner));
			return is_local_v4(ntohl(inner));
		}
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
			IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr) ||
			IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) ||
			memcmp(bytes, metadata, sizeof(metadata)) == 0;
	}
	return true; /* registries are reached by IP alone */
}

void url_done(struct url *url)
{
	free(url->host);
	free(url->port);
	*url = (struct url){ 0 };
}

static char *url_part(CURLU *handle, CURLUPart part, unsigned int flags)
{
	char *text = NULL, *copy;

	if (curl_url_get(handle, part, &text, flags) != CURLUE_OK)
		return NULL;
	copy = xstrdup(text);
	curl_free(text);
	return copy;
}

static int read_parts(CURLU *handle, const char *text, struct url *url, struct cay_error *err)
{
	_cleanup_free_ char *scheme = NULL, *user = NULL, *password = NULL;

	if (!handle || curl_url_set(handle, CURLUPART_URL, text, 0) != CURLUE_OK)
		return cay_error_set(err, CAY_INVALID, EINVAL, "it is not a URL");
	scheme = url_part(handle, CURLUPART_SCHEME, 0);
	user = url_part(handle, CURLUPART_USER, 0);
	password = url_part(handle, CURLUPART_PASSWORD, 0);
	url->host = url_part(handle, CURLUPART_HOST, 0);
	url->port = url_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	if (!scheme || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return cay_error_set(err, CAY_INVALID, EINVAL, "it is neither http nor https");
	if (user || password)
		return cay_error_set(err, CAY_INVALID, EINVAL, "it has a user in it");
	if (!url->host || !url->port)
		return cay_error_set(err, CAY_INVALID, EINVAL, "it has no host");
	url->https = strcmp(scheme, "https") == 0;
	/* Brackets and a zone ("%eth0") are not part of the address. */
	if (url->host[0] == '[') {
		const size_t length = strcspn(url->host + 1, "]%");

		memmove(url->host, url->host + 1, length);
		url->host[length] = '\0';
	}
	return 0;
}

int url_parse(const char *text, struct url *ret_url, struct cay_error *err)
{
	_cleanup_url_ struct url url = { 0 };
	CURLU *handle = curl_url();
	int r = read_parts(handle, text, &url, err);

	curl_url_cleanup(handle);
	if (r < 0)
		return r;
	*ret_url = url;
	url = (struct url){ 0 };
	return 0;
}

static bool is_localhost(const struct url *url)
{
	return strcasecmp(url->host, "localhost") == 0 || ends_with(url->host, ".localhost");
}

bool url_is_loopback(const struct url *url)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (is_localhost(url))
		return true;
	if (inet_aton(url->host, &v4))
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, url->host, &v6) == 1 &&
		(IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
}

bool url_is_local(const struct url *url)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (is_localhost(url))
		return true;
	/* inet_aton() knows the forms that resolvers do: "127.1", "2130706433", "0x7f000001". */
	if (inet_aton(url->host, &v4.sin_addr))
		return address_is_local((const struct sockaddr *)&v4);
	if (inet_pton(AF_INET6, url->host, &v6.sin6_addr) == 1)
		return address_is_local((const struct sockaddr *)&v6);
	return false;
}

char *url_server(const struct url *url)
{
	const bool usual = strcmp(url->port, url->https ? "443" : "80") == 0;
	const char *open = strchr(url->host, ':') ? "[" : "", *close = *open ? "]" : "";

	return usual ? xasprintf("%s%s%s", open, url->host, close)
		     : xasprintf("%s%s%s:%s", open, url->host, close, url->port);
}

bool url_same_server(const struct url *a, const struct url *b)
{
	return a->https == b->https && strcasecmp(a->host, b->host) == 0 &&
		strcmp(a->port, b->port) == 0;
}

int url_resolve(const char *base, const char *reference, char **ret_url, struct cay_error *err)
{
	_cleanup_free_ char *joined = NULL;
	_cleanup_url_ struct url parts = { 0 };
	CURLU *handle = curl_url();
	int r = 0;

	if (!handle || curl_url_set(handle, CURLUPART_URL, base, 0) != CURLUE_OK ||
	    curl_url_set(handle, CURLUPART_URL, reference, 0) != CURLUE_OK)
		r = cay_error_set(err, CAY_INVALID, EINVAL, "it is not a URL");
	if (r == 0)
		joined = url_part(handle, CURLUPART_URL, 0);
	curl_url_cleanup(handle);
	if (r == 0 && !joined)
		r = cay_error_set(err, CAY_INVALID, EINVAL, "it is not a URL");
	if (r == 0)
		r = url_parse(joined, &parts, err);
	if (r < 0)
		return r;
	*ret_url = TAKE_PTR(joined);
	return 0;
}

/* An address of either family in 16 bytes; IPv4 as "::ffff:a.b.c.d", whose first bits are 96. */
static bool parse_address(const char *text, uint8_t ret_bytes[16], unsigned int *ret_base)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	*ret_base = 0;
	if (inet_pton(AF_INET6, text, ret_bytes) == 1)
		return true;
	memcpy(ret_bytes, mapped, sizeof(mapped));
	*ret_base = 96;
	return inet_pton(AF_INET, text, ret_bytes + sizeof(mapped)) == 1;
}

static bool parse_network(const char *text, uint8_t ret_bytes[16], unsigned int *ret_bits)
{
	const char *slash = strchr(text, '/');
	_cleanup_free_ char *address =
		xstrndup(text, slash ? (size_t)(slash - text) : strlen(text));
	unsigned int base;
	uint64_t bits;

	if (!parse_address(address, ret_bytes, &base))
		return false;
	bits = 128 - base;
	if (slash && parse_u64(slash + 1, 128 - base, &bits) < 0)
		return false;
	*ret_bits = base + (unsigned int)bits;
	return true;
}

bool network_is_valid(const char *text)
{
	uint8_t bytes[16];
	unsigned int bits;

	return strchr(text, '/') && parse_network(text, bytes, &bits);
}

bool address_in_network(const char *host, const char *network)
{
	uint8_t address[16], start[16];
	unsigned int bits, base;

	if (!parse_network(network, start, &bits) || !parse_address(host, address, &base))
		return false;
	if (memcmp(address, start, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || (address[bits / 8] ^ start[bits / 8]) >> (8 - bits % 8) == 0;
}

bool host_in_network(const char *host, const char *network)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	bool found = false;

	if (getaddrinfo(host, NULL, &hints, &list) != 0)
		return false;
	for (const struct addrinfo *at = list; at && !found; at = at->ai_next) {
		char text[INET6_ADDRSTRLEN + 32];

		found = getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof(text), NULL, 0,
				    NI_NUMERICHOST) == 0 &&
			address_in_network(text, network);
	}
	freeaddrinfo(list);
	return found;
}
