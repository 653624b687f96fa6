/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of systemd-resolved's D-Bus interface by busctl, which is there
 * wherever systemd is (resolvectl is not), takes no library, and can be told
 * not to start a service that its host has turned off.
 */
#include "net/resolved.h"

#include "base/file.h"
#include "base/process.h"

#include <errno.h>

enum { OUTPUT_MAX = 4096 };

/* Made by systemd-resolved when it starts. */
static const char runtime_directory[] = "/run/systemd/resolve";

static void begin_call(struct strv *argv, const char *service, const char *object,
		       const char *interface)
{
	static const char *const command[] = { "busctl",      "--system", "--auto-start=no",
					       "--timeout=5", "call",     "--" };

	for (size_t i = 0; i < ARRAY_SIZE(command); i++)
		strv_add(argv, command[i]);
	strv_add(argv, service);
	strv_add(argv, object);
	strv_add(argv, interface);
}

/* ---- reverse names ---- */

/* A byte of an IPv4 address, four bits of an IPv6 one: each is a label of the reverse name. */
static unsigned int label_of(const struct net_address *address, unsigned int index)
{
	if (address->family == AF_INET)
		return address->bytes[index];
	return address->bytes[index / 2] >> (index % 2 == 0 ? 4 : 0) & 15;
}

void resolved_add_reverse(const struct net_prefix *subnet, struct strv *domains)
{
	struct net_prefix network = net_prefix_network(subnet);
	bool is_ipv4 = network.address.family == AF_INET;
	unsigned int step = is_ipv4 ? 8 : 4, labels = (network.bits + step - 1) / step;
	unsigned int count = 1U << (labels * step - network.bits);

	if (labels == 0)
		return;
	for (unsigned int i = 0; i < count; i++) {
		_cleanup_buf_ struct buf text = { .length = 0 };

		/* The bits of the last label that the prefix leaves open are zero. */
		buf_printf(&text, is_ipv4 ? "%u." : "%x.",
			   label_of(&network.address, labels - 1) + i);
		for (unsigned int j = labels - 1; j-- > 0;)
			buf_printf(&text, is_ipv4 ? "%u." : "%x.", label_of(&network.address, j));
		buf_puts(&text, is_ipv4 ? "in-addr.arpa" : "ip6.arpa");
		strv_add(domains, buf_text(&text));
	}
}

/* ---- the service ---- */

/* Whether it is on the bus; not if there is no bus, or no busctl. */
static bool is_running(void)
{
	_cleanup_strv_ struct strv argv = { .count = 0 };
	_cleanup_buf_ struct buf output = { .length = 0 };

	if (!file_exists(runtime_directory))
		return false;
	begin_call(&argv, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus");
	strv_add(&argv, "NameHasOwner");
	strv_add(&argv, "s");
	strv_add(&argv, "org.freedesktop.resolve1");
	return process_run(&argv, OUTPUT_MAX, &output, NULL) == 0 &&
		starts_with(buf_text(&output), "b true");
}

/* The arguments of one method behind the interface's name. */
static void begin_method(struct strv *argv, const char *method, const char *signature,
			 unsigned int ifindex)
{
	begin_call(argv, "org.freedesktop.resolve1", "/org/freedesktop/resolve1",
		   "org.freedesktop.resolve1.Manager");
	strv_add(argv, method);
	strv_add(argv, signature);
	strv_addf(argv, "%u", ifindex);
}

static int call(const struct strv *argv, unsigned int ifindex, const char *method,
		struct cay_error *err)
{
	_cleanup_buf_ struct buf output = { .length = 0 };
	int r = process_run(argv, OUTPUT_MAX, &output, err);

	if (r < 0)
		return cay_error_prefix(err, "telling systemd-resolved of interface %u", ifindex);
	if (r > 0) {
		while (output.length > 0 && output.data[output.length - 1] == '\n')
			output.data[--output.length] = '\0';
		return cay_error_set(err, CAY_INTERNAL, EIO,
				     "systemd-resolved refuses %s for interface %u: %s", method,
				     ifindex, buf_text(&output));
	}
	return 0;
}

static int set_domains(unsigned int ifindex, const struct strv *domains, struct cay_error *err)
{
	_cleanup_strv_ struct strv argv = { .count = 0 };

	begin_method(&argv, "SetLinkDomains", "ia(sb)", ifindex);
	strv_addf(&argv, "%zu", domains->count);
	for (size_t i = 0; i < domains->count; i++) {
		strv_add(&argv, domains->items[i]);
		strv_add(&argv, "true"); /* for routing; not a suffix to search */
	}
	return call(&argv, ifindex, "SetLinkDomains", err);
}

/* A method that sets one word or truth value. */
static int set_value(unsigned int ifindex, const char *method, const char *signature,
		     const char *value, struct cay_error *err)
{
	_cleanup_strv_ struct strv argv = { .count = 0 };

	begin_method(&argv, method, signature, ifindex);
	strv_add(&argv, value);
	return call(&argv, ifindex, method, err);
}

static int set_servers(unsigned int ifindex, const struct net_address *servers, size_t count,
		       struct cay_error *err)
{
	_cleanup_strv_ struct strv argv = { .count = 0 };

	begin_method(&argv, "SetLinkDNS", "ia(iay)", ifindex);
	strv_addf(&argv, "%zu", count);
	for (size_t i = 0; i < count; i++) {
		unsigned int length = net_address_bits(&servers[i]) / 8;

		strv_addf(&argv, "%d", servers[i].family);
		strv_addf(&argv, "%u", length);
		for (unsigned int j = 0; j < length; j++)
			strv_addf(&argv, "%u", servers[i].bytes[j]);
	}
	return call(&argv, ifindex, "SetLinkDNS", err);
}

int resolved_set_link(unsigned int ifindex, const struct net_address *servers, size_t server_count,
		      const struct strv *domains, struct cay_error *err)
{
	int r;

	assert(server_count <= RESOLVED_SERVERS_MAX && domains->count <= RESOLVED_DOMAINS_MAX);
	if (!is_running())
		return 0;
	/* Before the servers, which would be asked for everything until their domains are known. */
	r = set_domains(ifindex, domains, err);
	if (r == 0)
		r = set_value(ifindex, "SetLinkDefaultRoute", "ib", "false", err);
	/* Asked by multicast, any container could answer for any name. */
	if (r == 0)
		r = set_value(ifindex, "SetLinkLLMNR", "is", "no", err);
	if (r == 0)
		r = set_value(ifindex, "SetLinkMulticastDNS", "is", "no", err);
	if (r == 0)
		r = set_servers(ifindex, servers, server_count, err);
	return r < 0 ? r : 1;
}
