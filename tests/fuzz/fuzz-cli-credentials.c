/* SPDX-License-Identifier: Apache-2.0 */
/* A config.json, which is read and changed; and the same bytes as the answers of a helper. */
#include "cli/credential-helper.h"
#include "cli/docker-config.h"
#include "cli/json-edit.h"

#include "base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A change leaves a document that has the change, and can be undone. */
static void change(struct docker_config *config)
{
	const struct credentials credentials = { .username = (char *)"u", .password = (char *)"p" };
	_cleanup_docker_config_ struct docker_config changed = { 0 };
	_cleanup_credentials_ struct credentials found = { 0 };
	struct cay_error err;

	if (config->text.length == 0)
		buf_puts(&config->text, "{}");
	if (docker_config_put(config, "k", &credentials, &err) < 0 ||
	    docker_config_parse("x", config->text.data, config->text.length, &changed, &err) < 0 ||
	    docker_config_find(&changed, "k", &found, &err) != 1 ||
	    strcmp(found.username, "u") != 0 || strcmp(found.password, "p") != 0)
		abort();
	if (json_edit_remove(&config->text, "auths", "k") != 1 ||
	    json_edit_remove(&config->text, "auths", "k") != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_docker_config_ struct docker_config config = { 0 };
	_cleanup_credentials_ struct credentials found = { 0 }, answered = { 0 };
	_cleanup_json_ json_t *users = NULL;
	_cleanup_buf_ struct buf answer = { 0 };
	struct cay_error err;

	if (docker_config_parse("x", data, size, &config, &err) >= 0) {
		(void)docker_config_find(&config, "h", &found, &err);
		change(&config);
	}
	buf_append(&answer, data, size);
	(void)helper_parse_credentials("x", &answer, &answered, &err);
	(void)helper_parse_list("x", &answer, &users, &err);
	return 0;
}
