/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of capabilities, and what docker's options make of them. */
#include "daemon/capability.h"

#include "base/buf.h"
#include "base/capability.h"

#include <errno.h>
#include <strings.h>

#define BIT(n) (UINT64_C(1) << (n))

const uint64_t capabilities_all = BIT(CAPABILITY_COUNT) - 1;
/* CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT
 * MKNOD AUDIT_WRITE SETFCAP */
const uint64_t capabilities_default = BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) |
	BIT(8) | BIT(10) | BIT(13) | BIT(18) | BIT(27) | BIT(29) | BIT(31);

static int parse_name(const char *name, uint64_t *ret_bits, struct cay_error *err)
{
	const char *bare = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

	if (strcasecmp(bare, "ALL") == 0) {
		*ret_bits = capabilities_all;
		return 0;
	}
	for (unsigned int i = 0; i < CAPABILITY_COUNT; i++) {
		if (strcasecmp(bare, capability_names[i]) == 0) {
			*ret_bits = BIT(i);
			return 0;
		}
	}
	return cay_error_set(err, CAY_INVALID, EINVAL, "invalid capability: \"%.64s\"", name);
}

static int parse_names(const struct strv *list, uint64_t *ret_bits, bool *ret_all,
		       struct cay_error *err)
{
	uint64_t all = 0;

	*ret_all = false;
	for (size_t i = 0; i < list->count; i++) {
		uint64_t bits = 0;
		int r = parse_name(list->items[i], &bits, err);

		if (r < 0)
			return r;
		if (bits == capabilities_all)
			*ret_all = true;
		else
			all |= bits;
	}
	*ret_bits = all;
	return 0;
}

/* Single names outrank ALL of the other list: ALL is where one starts from. */
int capabilities_tweak(const struct strv *add, const struct strv *drop, uint64_t *set,
		       struct cay_error *err)
{
	uint64_t added, dropped;
	bool add_all, drop_all;
	int r = parse_names(add, &added, &add_all, err);

	if (r < 0)
		return r;
	r = parse_names(drop, &dropped, &drop_all, err);
	if (r < 0)
		return r;
	if (add_all)
		*set = capabilities_all & ~dropped;
	else if (drop_all)
		*set = added;
	else
		*set = (*set & ~dropped) | added;
	return 0;
}

json_t *capabilities_to_json(uint64_t set)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < CAPABILITY_COUNT; i++)
		if (set & BIT(i))
			(void)json_array_append_new(array,
						    json_sprintf("CAP_%s", capability_names[i]));
	return array;
}
