/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer of an entry's extended attributes. */
#include "tar/entry.h"

void tar_xattr_add(struct buf *xattrs, struct str name, struct str value)
{
	const uint32_t size = (uint32_t)value.length;

	buf_append(xattrs, name.data, name.length);
	buf_putc(xattrs, '\0');
	buf_append(xattrs, &size, sizeof(size));
	buf_append(xattrs, value.data, value.length);
}

bool tar_xattr_next(const struct buf *xattrs, size_t *at, struct str *ret_name,
		    struct str *ret_value)
{
	const char *name = xattrs->data + *at;
	uint32_t size;

	if (*at >= xattrs->length)
		return false;
	*ret_name = str_from(name);
	memcpy(&size, name + ret_name->length + 1, sizeof(size));
	*ret_value = (struct str){ name + ret_name->length + 1 + sizeof(size), size };
	*at += ret_name->length + 1 + sizeof(size) + size;
	return true;
}
