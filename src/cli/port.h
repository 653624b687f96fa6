/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports as lists show them. */
#pragma once

#include "base/buf.h"
#include "base/json.h"

/*
 * The ports of a container in the API's list of containers, in docker's compact form: ports that
 * follow each other are one range where the host's and the container's numbers are the same, as in
 * "0.0.0.0:80-81->80-81/tcp, 443/tcp, 0.0.0.0:8080->90/tcp".
 */
void ports_format(const json_t *ports, struct buf *out);
