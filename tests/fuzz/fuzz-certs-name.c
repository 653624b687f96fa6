/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that become the names of folders, and hosts that are looked for in networks. */
#include "base/alloc.h"
#include "base/buf.h"
#include "image/address.h"
#include "image/certs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, size), *host = NULL;
	char *network = strchr(text, ' ');

	if (certs_name_is_valid(text) && (strpbrk(text, "/\\ \n") || text[0] == '.' || !text[0]))
		abort();
	if (!network)
		return 0;
	/* "HOST NETWORK" */
	host = xstrndup(text, (size_t)(network - text));
	if (address_in_network(host, network + 1) && !address_in_network(host, host))
		abort();
	(void)network_is_valid(network + 1);
	return 0;
}
