/* SPDX-License-Identifier: Apache-2.0 */
/* passt: its arguments, its start. */
#include "sandbox/passt.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { PASST_FD = 3, OUTPUT_MAX = 64 * 1024 };

static bool is_ipv6(const char *address)
{
	return strchr(address, ':') != NULL;
}

static void add(struct strv *argv, const char *option, const char *value)
{
	strv_add(argv, option);
	strv_add(argv, value);
}

/* -a and -n: the address that the guest is set up with; passt knows a mask for IPv4 only. */
static void add_addresses(const struct sandbox_interface *interface, struct strv *argv)
{
	bool seen[2] = { false, false }; /* passt takes one of each family */

	for (size_t i = 0; i < interface->addresses.count; i++) {
		struct str prefix;
		struct str address =
			str_split(str_from(interface->addresses.items[i]), '/', &prefix);
		_cleanup_free_ char *text = str_dup(address);
		const bool ipv6 = is_ipv6(text);

		if (seen[ipv6])
			continue;
		seen[ipv6] = true;
		add(argv, "-a", text);
		if (!ipv6) {
			strv_add(argv, "-n");
			strv_addf(argv, "%.*s", (int)prefix.length, prefix.data);
		}
	}
}

static void add_gateway(const char *gateway, struct strv *argv)
{
	add(argv, "-g", gateway);
	add(argv, "--dns-forward", gateway);
}

/* Whether the same port of all addresses of the other family is published too. */
static bool has_twin(const struct sandbox_config *config, const struct sandbox_port *port,
		     const char *address)
{
	for (size_t i = 0; i < config->port_count; i++) {
		const struct sandbox_port *other = &config->ports[i];

		if (other->udp == port->udp && other->host_port == port->host_port &&
		    other->container_port == port->container_port &&
		    strcmp(other->host_address, address) == 0)
			return true;
	}
	return false;
}

/*
 * ADDRESS/PORT:PORT, IPv6 addresses too without brackets. passt has one mapping for a port's
 * number: all addresses of both families go by the number alone.
 */
static void add_ports(const struct sandbox_config *config, struct strv *argv)
{
	for (size_t i = 0; i < config->port_count; i++) {
		const struct sandbox_port *port = &config->ports[i];
		const bool all4 = strcmp(port->host_address, "0.0.0.0") == 0;

		if (strcmp(port->host_address, "::") == 0 && has_twin(config, port, "0.0.0.0"))
			continue;
		strv_add(argv, port->udp ? "-u" : "-t");
		if (all4 && has_twin(config, port, "::"))
			strv_addf(argv, "%u:%u", port->host_port, port->container_port);
		else
			strv_addf(argv, "%s/%u:%u", port->host_address, port->host_port,
				  port->container_port);
	}
}

/* passt's last words: before them it complains of a missing syslog. */
static struct str last_line(struct str text)
{
	const char *start;

	while (text.length > 0 && text.data[text.length - 1] == '\n')
		text.length--;
	start = text.length > 0 ? memrchr(text.data, '\n', text.length) : NULL;
	if (start) {
		text.length -= (size_t)(start + 1 - text.data);
		text.data = start + 1;
	}
	return text;
}

void passt_arguments(const struct sandbox_config *config, const struct sandbox_interface *interface,
		     int fd, struct strv *argv)
{
	strv_add(argv, "passt");
	strv_add(argv, "-q");
	strv_add(argv, "-e"); /* what goes wrong is said where we read it */
	strv_add(argv, "-F");
	strv_addf(argv, "%d", fd);
	/* The gateway would else be the host's loopback, with all that listens there. */
	strv_add(argv, "--no-map-gw");
	if (interface->mtu > 0) {
		strv_add(argv, "-m");
		strv_addf(argv, "%u", interface->mtu);
	}
	add_addresses(interface, argv);
	for (size_t i = 0; i < interface->gateways.count; i++)
		add_gateway(interface->gateways.items[i], argv);
	if (interface->addresses.count == 0) {
		add(argv, "-a", PASST_ADDRESS);
		add(argv, "-n", PASST_PREFIX);
		add_gateway(PASST_GATEWAY, argv);
	}
	add_ports(config, argv);
}

int passt_spawn(const struct sandbox_config *config, const struct sandbox_interface *interface,
		int fd, pid_t *ret_pid, int *ret_output, struct cay_error *err)
{
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_close_ int reader = -1, writer = -1;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "making a pipe for passt");
	reader = fds[0];
	writer = fds[1];
	const struct process_fd inherited[] = {
		{ fd, PASST_FD },
		{ writer, STDOUT_FILENO },
		{ writer, STDERR_FILENO },
	};
	const struct process_spec spec = {
		.argv = &argv,
		.fds = inherited,
		.fd_count = ARRAY_SIZE(inherited),
	};

	passt_arguments(config, interface, PASST_FD, &argv);
	r = process_spawn(&spec, ret_pid, err);
	if (r < 0)
		return cay_error_prefix(err, "a network without privileges needs passt");
	*ret_output = TAKE_FD(reader);
	return 0;
}

int passt_wait(pid_t *pid, int *output, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = TAKE_FD(*output);
	int status = 0, r = process_wait(*pid, &status);
	struct str line;
	ssize_t n;

	*pid = 0;
	if (r < 0)
		return cay_error_errno(err, r, "waiting for passt");
	if (process_exit_code(status) == 0)
		return 0;
	/* The process is gone: what it has written is there, and no more comes. */
	(void)fd_set_nonblocking(fd, true);
	n = read(fd, buf_reserve(&text, OUTPUT_MAX), OUTPUT_MAX);
	text.length = n > 0 ? (size_t)n : 0;
	buf_puts(&text, "");
	line = last_line((struct str){ buf_text(&text), text.length });
	if (line.length == 0)
		line = STR("it says nothing");
	return cay_error_set(err, CAY_INTERNAL, EIO, "passt failed: %.*s", (int)line.length,
			     line.data);
}
