/* SPDX-License-Identifier: Apache-2.0 */
/* Templates and the pool as JSON, for their own calls, info and df. */
#pragma once

#include "daemon/daemon.h"
#include "daemon/templates.h"

#include <jansson.h>

/* One template; with `whole` also where it is and all that it depends on. */
json_t *api_template_json(const struct template_info *info, bool whole);
/* All of them, in the order of the list. */
json_t *api_templates_json(struct daemon *daemon);
/* With `members` each one too. */
json_t *api_pool_json(struct daemon *daemon, bool members);
/* What they come to: whether there are any, how many, their size. */
json_t *api_templates_summary(struct daemon *daemon);
