/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a container's writable layer: docker's HostConfig.StorageOpt. */
#include "base/json.h"
#include "daemon/disk-size.h"
#include "daemon/request-internal.h"

#include <errno.h>
#include <strings.h>

int request_read_storage(struct request *request, struct cay_error *err)
{
	json_t *map = NULL, *value;
	const char *key;
	int r = json_read_object(request->host_config, "StorageOpt", &map, err);

	if (r < 0)
		return r;
	json_object_foreach(map, key, value) {
		if (strcasecmp(key, "size") != 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "storage-opt: Unknown option %.64s", key);
		if (strcmp(json_string_value(value), "0") == 0)
			continue; /* docker's word for no limit */
		r = disk_size_parse("storage-opt", json_string_value(value), &request->storage_size,
				    err);
		if (r < 0)
			return r;
	}
	return 0;
}
