/* SPDX-License-Identifier: Apache-2.0 */
/* Networks, endpoints and ports in docker's shapes. The caller drops what is returned. */
#pragma once

#include "daemon/networks.h"

/* NetworkResource: as inspected, with its running containers, or as listed. */
json_t *api_network_json(struct networks *networks, const struct network *network,
			 bool with_containers);

/* Names of networks to EndpointSettings; `up`: the container runs, so addresses are shown. */
json_t *api_container_networks(const struct container *container, bool up);
/* NetworkSettings of inspect. */
json_t *api_container_network_settings(const struct container *container, bool up);
/* The array of ports that lists have. */
json_t *api_container_port_list(const struct container *container, bool up);
