/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of requests that create a network or connect a container, and their stored forms. */
#include "base/json.h"
#include "daemon/network-spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken is written as something that reads back as the same. */
static void check_spec(const struct network_spec *spec)
{
	_cleanup_json_ json_t *first = json_object(), *second = json_object();
	_cleanup_network_spec_ struct network_spec again = { 0 };
	struct cay_error err = { 0 };

	network_spec_to_json(spec, first);
	if (network_spec_parse(first, &again, &err) < 0)
		abort();
	network_spec_to_json(&again, second);
	if (!json_equal(first, second))
		abort();
}

static void check_endpoint(const struct endpoint_config *config)
{
	_cleanup_json_ json_t *first = endpoint_config_to_json(config), *second = NULL;
	_cleanup_endpoint_config_ struct endpoint_config again = { 0 };
	struct cay_error err = { 0 };

	if (endpoint_config_parse("n", first, &again, &err) < 0)
		abort();
	second = endpoint_config_to_json(&again);
	if (!json_equal(first, second))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *body = NULL;
	_cleanup_network_spec_ struct network_spec spec = { 0 };
	_cleanup_endpoint_config_ struct endpoint_config config = { 0 };
	struct cay_error err = { 0 };

	if (json_parse((const char *)data, size, "body", &body, &err) < 0 || !json_is_object(body))
		return 0;
	if (network_spec_parse(body, &spec, &err) == 0)
		check_spec(&spec);
	else if (err.code == CAY_OK || err.message[0] == '\0')
		abort();
	cay_error_clear(&err);
	if (endpoint_config_parse("n", body, &config, &err) == 0)
		check_endpoint(&config);
	else if (err.code == CAY_OK || err.message[0] == '\0')
		abort();
	return 0;
}
