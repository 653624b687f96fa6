/* SPDX-License-Identifier: Apache-2.0 */
/* The networks of a daemon as a whole: what they need, opened and closed. */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/placement.h"
#include "net/dns-server.h"
#include "net/subnet.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>

static bool may_administrate(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return geteuid() == 0 && syscall(SYS_capget, &header, data) == 0 &&
		(data[0].effective & (1u << CAP_NET_ADMIN)) != 0;
}

const char *networks_lack(struct networks *networks)
{
	const struct network *standard;
	bool ready;

	if (!networks->privileged)
		return "without root and CAP_NET_ADMIN containers reach out and have published "
		       "ports by passt, but no addresses, names or networks of their own, and "
		       "nothing keeps them from the cloud's metadata service";
	(void)pthread_mutex_lock(&networks->lock);
	standard = networks_by_name(networks, NETWORK_DEFAULT_NAME);
	ready = standard && standard->ready;
	(void)pthread_mutex_unlock(&networks->lock);
	return ready ? NULL
		     : "the default network can't be made, as the daemon's log says: containers "
		       "start on other networks only";
}

/* Kept by the root, so that its networks stay recognisable. */
static int load_ula(struct networks *networks, struct cay_error *err)
{
	char text[NET_PREFIX_TEXT_MAX];
	int r = database_get_meta(networks->daemon->database, "ula", text, sizeof(text), err);

	if (r < 0)
		return r;
	if (r > 0 && net_prefix_parse(text, &networks->ula, err) == 0)
		return 0;
	cay_error_clear(err);
	networks->ula = subnet_random_ula();
	net_prefix_format(&networks->ula, text);
	return database_set_meta(networks->daemon->database, "ula", text, err);
}

static int open_parts(struct networks *networks, struct cay_error *err)
{
	const struct dns_options options = { .names = &network_names, .user = networks };
	int r;

	if (!networks->privileged)
		return 0;
	r = load_ula(networks, err);
	if (r == 0)
		r = firewall_new(networks->tag, &networks->firewall, err);
	if (r == 0)
		r = dns_server_new(&options, &networks->dns, err);
	return r;
}

int networks_open(struct daemon *daemon, struct networks **ret_networks, struct cay_error *err)
{
	struct networks *networks = xcalloc(1, sizeof(*networks));
	int r;

	networks->daemon = daemon;
	networks->privileged = may_administrate();
	(void)pthread_mutex_init(&networks->work, NULL);
	(void)pthread_mutex_init(&networks->lock, NULL);
	(void)snprintf(networks->tag, sizeof(networks->tag), "%.*s", FIREWALL_TAG_LENGTH,
		       daemon->id);
	(void)snprintf(networks->owner, sizeof(networks->owner), "cay_%s", networks->tag);
	r = open_parts(networks, err);
	if (r == 0)
		r = networks_load(networks, err);
	if (r < 0) {
		networks_free(networks);
		return cay_error_prefix(err, "setting up the networks");
	}
	*ret_networks = networks;
	return 0;
}

int networks_start(struct networks *networks, struct cay_error *err)
{
	struct cay_error fault = { 0 }; /* told again by the starts that need it */
	int r;

	networks->started = true;
	if (!networks->privileged)
		return 0;
	(void)pthread_mutex_lock(&networks->work);
	if (networks_ensure_default(networks, &fault) < 0)
		log_warning("%s", fault.message);
	(void)pthread_mutex_unlock(&networks->work);
	networks_clear_rests(networks);
	r = firewall_start(networks->firewall, err);
	if (r == 0)
		networks_mend_taps(networks);
	return r;
}

/* Nobody uses them: what is on the host goes, and comes again with the next daemon. */
static void lower_all(struct networks *networks)
{
	struct cay_error fault = { 0 };

	for (size_t i = 0; i < networks->count; i++)
		network_lower(networks, networks->items[i]);
	if (firewall_destroy(networks->firewall, &fault) < 0)
		log_warning("%s", fault.message);
}

void networks_free(struct networks *networks)
{
	bool in_use = false;

	if (!networks)
		return;
	for (size_t i = 0; i < networks->endpoint_count; i++)
		in_use = in_use || networks->endpoints[i]->active;
	/* A daemon that could not start has not looked at what runs. */
	if (networks->firewall && networks->dns && networks->started && !in_use)
		lower_all(networks);
	if (networks->dns)
		dns_server_free(networks->dns);
	if (networks->firewall)
		firewall_free(networks->firewall);
	for (size_t i = 0; i < networks->placement_count; i++)
		placement_free(networks->placements[i]);
	for (size_t i = 0; i < networks->endpoint_count; i++)
		endpoint_free(networks->endpoints[i]);
	for (size_t i = 0; i < networks->count; i++)
		network_unref(networks->items[i]);
	free(networks->placements);
	free(networks->endpoints);
	free(networks->items);
	(void)pthread_mutex_destroy(&networks->work);
	(void)pthread_mutex_destroy(&networks->lock);
	free(networks);
}
