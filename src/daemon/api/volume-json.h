/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as docker's API shows them. */
#pragma once

#include "daemon/volumes.h"

/* As list and inspect have it. */
json_t *api_volume_json(const struct volume *volume);
/* The same with UsageData, which reads the whole tree. */
json_t *api_volume_usage_json(struct volumes *volumes, const struct volume *volume);
