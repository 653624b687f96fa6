/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier daemon has left is looked at once, before anything is made:
 * what no start would choose any more and what is damaged goes.
 */
#include "daemon/templates-internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "vmm/template.h"

/*
 * The key that a machine of this size would have if it were started now. What QEMU is told depends
 * on the size, and so the machine is put together again. The shape is as it was read from a file.
 */
static int find_key_now(const json_t *shape, const struct sandbox_config *usual,
			char ret_key[TEMPLATE_KEY_SIZE], struct cay_error *err)
{
	const json_t *disks_now = json_object_get(shape, "disks");
	const json_t *cards_now = json_object_get(shape, "cards");
	struct sandbox_disk disks[VMM_DISKS_MAX] = { 0 };
	_cleanup_free_ struct sandbox_interface *cards = xcalloc(VMM_NICS_MAX, sizeof(*cards));
	struct sandbox_config config =
		*usual; /* only looked at: what it points to stays the other's */

	config.vcpus = (unsigned int)json_integer_value(json_object_get(shape, "vcpus"));
	config.memory_bytes = (uint64_t)json_integer_value(json_object_get(shape, "memory_bytes"));
	config.disks = disks;
	config.disk_count = MIN(json_array_size(disks_now), ARRAY_SIZE(disks));
	for (size_t i = 0; i < config.disk_count; i++)
		disks[i].read_only =
			json_is_true(json_object_get(json_array_get(disks_now, i), "read_only"));
	config.interfaces = cards;
	config.interface_count = MIN(json_array_size(cards_now), VMM_NICS_MAX);
	for (size_t i = 0; i < config.interface_count; i++) {
		const json_t *card = json_array_get(cards_now, i);
		const char *kind = json_string_value(json_object_get(card, "kind"));

		cards[i].kind = kind && strcmp(kind, "tap") == 0 ? SANDBOX_TAP : SANDBOX_PASST;
		cards[i].queues = (unsigned int)json_integer_value(json_object_get(card, "queues"));
		cards[i].mtu = (unsigned int)json_integer_value(json_object_get(card, "mtu"));
	}
	return templates_key(&config, ret_key, NULL, err);
}

static void remove_one(struct templates *templates, const struct template_info *info)
{
	struct template_entry *entry;
	struct cay_error err = { 0 };

	(void)pthread_mutex_lock(&templates->lock);
	entry = templates_take_out(templates, info->key);
	(void)pthread_mutex_unlock(&templates->lock);
	if (entry && templates_discard(entry, &err) < 0)
		log_error("%s", err.message);
}

static void check_one(struct templates *templates, const struct template_info *info,
		      const struct sandbox_config *usual)
{
	char key[TEMPLATE_KEY_SIZE];
	struct cay_error err = { 0 };

	if (find_key_now(info->shape, usual, key, &err) < 0) {
		log_warning("the template %.12s is not checked: %s", info->key, err.message);
	} else if (strcmp(key, info->key) != 0) {
		log_info("removing the template %.12s: it is of another kernel, initramfs or QEMU, "
			 "or of another boot of this host",
			 info->key);
		remove_one(templates, info);
	} else if (template_verify(info->directory, &err) < 0) {
		log_error("the template %.12s is damaged and removed: %s", info->key, err.message);
		remove_one(templates, info);
	}
}

static bool is_stopping(struct templates *templates)
{
	bool is_stopping;

	(void)pthread_mutex_lock(&templates->lock);
	is_stopping = templates->is_stopping;
	(void)pthread_mutex_unlock(&templates->lock);
	return is_stopping;
}

void templates_check(struct templates *templates)
{
	_cleanup_template_list_ struct template_list list = { 0 };
	_cleanup_(sandbox_config_free_p) struct sandbox_config *usual = NULL;
	const struct launch_size usual_size = { 0 };
	struct cay_error err = { 0 };

	templates_list(templates, &list);
	if (list.count == 0)
		return;
	/* Where no VM can be started, nothing can be said about them either. */
	if (launch_empty_machine(templates->daemon, &usual_size, &usual, &err) < 0) {
		log_warning("templates are not checked: %s", err.message);
		return;
	}
	for (size_t i = 0; i < list.count && !is_stopping(templates); i++)
		if (list.items[i].is_ready)
			check_one(templates, &list.items[i], usual);
}
