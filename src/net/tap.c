/* SPDX-License-Identifier: Apache-2.0 */
/* The host's ends of a VM's network cards: taps and macvtaps. */
#include "net/tap.h"

#include "base/alloc.h"
#include "net/netlink.h"
#include "net/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void close_all(int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		(void)close(fds[i]);
}

/* One queue: a descriptor of the file, set to the link `name` by TUNSETIFF. */
static int open_queue(const char *path, const char *name, short flags, struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq request = { .ifr_flags = flags };

	if (fd < 0 && errno == ENOENT)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOENT,
				     "the host has no %s: its kernel needs the module for taps",
				     path);
	if (fd < 0)
		return cay_error_errno(err, errno, "can't open %s", path);
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return cay_error_errno(err, errno, "can't make the queues of %s", name);
	return TAKE_FD(fd);
}

static int open_queues(const char *path, const char *name, unsigned int queues, short flags,
		       int *ret_fds, struct cay_error *err)
{
	int fds[TAP_QUEUES_MAX] = { 0 };

	if (queues > 1)
		flags |= IFF_MULTI_QUEUE;
	for (unsigned int i = 0; i < queues; i++) {
		fds[i] = open_queue(path, name, flags, err);
		if (fds[i] < 0) {
			const int r = fds[i];

			close_all(fds, i);
			return r;
		}
		/* Later queues join the link that the first one made. */
		flags = (short)(flags & ~IFF_TUN_EXCL);
	}
	memcpy(ret_fds, fds, queues * sizeof(*fds));
	return 0;
}

static int check_queues(unsigned int queues, struct cay_error *err)
{
	if (queues == 0 || queues > TAP_QUEUES_MAX)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "a network card has 1 to %d queues, not %u", TAP_QUEUES_MAX,
				     queues);
	return 0;
}

static int check_tap_name(const char *name, struct cay_error *err)
{
	if (name[0] == '\0' || strlen(name) >= IFNAMSIZ || strpbrk(name, "%/: \t\n"))
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%.64s\" can't be a tap's name",
				     name);
	return 0;
}

int tap_open(const char *name, unsigned int queues, int *ret_fds, struct cay_error *err)
{
	int r = check_queues(queues, err);

	if (r == 0)
		r = check_tap_name(name, err);
	if (r < 0)
		return r;
	/* TUN_EXCL: a tap of this name that is there is somebody else's; the kernel says EBUSY. */
	r = open_queues("/dev/net/tun", name, queues,
			(short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL), ret_fds, err);
	if (r == -EBUSY && err)
		err->code = CAY_EXISTS;
	return r;
}

int tap_rename(const char *from, const char *to, struct cay_error *err)
{
	const struct netlink_settings settings = { .rename = to };
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link tap;
	int r;

	if (strcmp(from, to) == 0)
		return 0;
	r = check_tap_name(to, err);
	if (r == 0)
		r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_link_find(netlink, from, &tap, err);
	if (r == 0)
		r = netlink_link_change(netlink, tap.index, from, &settings, err);
	if (r == -EEXIST && err)
		err->code = CAY_EXISTS;
	return r;
}

static int find_pair(struct netlink *netlink, const struct tap_port *port,
		     struct netlink_link *ret_tap, struct netlink_link *ret_bridge,
		     struct cay_error *err)
{
	int r = netlink_link_find(netlink, port->name, ret_tap, err);

	return r < 0 ? r : netlink_link_find(netlink, port->bridge, ret_bridge, err);
}

/*
 * Where the IP hooks see bridged packets (br_netfilter, which Docker loads), a guest's packet to
 * its own published port is translated while it is still in the bridge, which then has to send it
 * back to where it came from. Elsewhere the host routes it, and the guest is spared the echo of
 * its own broadcasts.
 */
static bool needs_hairpin(void)
{
	int v4 = 0, v6 = 0;

	(void)sysctl_read(".", "bridge", "bridge-nf-call-iptables", &v4, NULL);
	(void)sysctl_read(".", "bridge", "bridge-nf-call-ip6tables", &v6, NULL);
	return v4 || v6; /* without br_netfilter there are no such files */
}

/* A kernel without IPv6 has none to turn off. */
static int turn_off_ipv6(const char *name, struct cay_error *err)
{
	struct cay_error failure = { 0 };
	int r = sysctl_write("ipv6/conf", name, "disable_ipv6", 1, &failure);

	if (r == -ENOENT)
		return 0;
	if (r < 0 && err)
		*err = failure;
	return r;
}

int tap_attach(const struct tap_port *port, struct cay_error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	const struct netlink_settings stop = { .no_master = true, .down = true };
	struct netlink_link tap, bridge;
	int r;

	r = netlink_open(&netlink, err);
	if (r == 0)
		r = find_pair(netlink, port, &tap, &bridge, err);
	if (r < 0)
		return r;
	const struct netlink_settings join = {
		.master = bridge.index,
		.mtu = port->mtu ? port->mtu : bridge.mtu,
		.down = true,
		/*
		 * It is a port and no card of the host's. Frames that no bridge forwards come to it
		 * nevertheless: it must not learn from them, nor answer. Its own address would be
		 * announced to the guest.
		 */
		.no_ipv6_addresses = true,
		.no_arp = true,
	};
	const struct netlink_settings start = { .up = true };

	/* Up last: not a frame passes before the port is what it shall be. */
	r = netlink_link_change(netlink, tap.index, port->name, &join, err);
	if (r == 0)
		r = netlink_port_restrict(netlink, tap.index, port->name, port->isolated,
					  needs_hairpin(), err);
	if (r == 0)
		r = turn_off_ipv6(port->name, err);
	if (r == 0)
		r = netlink_port_station(netlink, tap.index, port->name, &port->mac, err);
	if (r == 0)
		r = netlink_link_change(netlink, tap.index, port->name, &start, err);
	if (r < 0) {
		(void)netlink_link_change(netlink, tap.index, port->name, &stop, NULL);
		return cay_error_prefix(err, "can't put %s onto the bridge %s", port->name,
					port->bridge);
	}
	return 0;
}

int tap_detach(const char *name, struct cay_error *err)
{
	const struct netlink_settings stop = { .no_master = true, .down = true };
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link tap;
	int r;

	r = netlink_open(&netlink, err);
	if (r < 0)
		return r;
	r = netlink_link_find(netlink, name, &tap, err);
	if (r == 0)
		r = netlink_link_change(netlink, tap.index, name, &stop, err);
	return netlink_allow_absent(r, err);
}

int macvtap_create(const char *name, const char *parent, const struct net_mac *mac, uint32_t mtu,
		   struct cay_error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link lower;
	int r;

	r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_link_find(netlink, parent, &lower, err);
	if (r < 0)
		return r;
	const struct netlink_settings settings = { .mac = mac, .mtu = mtu };

	r = netlink_link_create(netlink, "macvtap", name, lower.index, &settings, err);
	return r < 0 ? cay_error_prefix(err, "on the link %s", parent) : 0;
}

/* A new file system of this type, mounted nowhere: it goes away with its descriptor. */
static int detached_mount(const char *type, struct cay_error *err)
{
	_cleanup_close_ int context = fsopen(type, FSOPEN_CLOEXEC);
	int fd = -1;

	if (context >= 0 && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (fd < 0)
		return cay_error_errno(err, errno, "can't make a %s (since Linux 5.2)", type);
	return fd;
}

/* A sysfs of our own, as /sys may show the links of another network namespace. */
static int device_number(unsigned int index, const char *name, dev_t *ret, struct cay_error *err)
{
	_cleanup_free_ char *path = xasprintf("class/net/%s/tap%u/dev", name, index);
	_cleanup_close_ int sysfs = -1, fd = -1;
	unsigned int number_major, number_minor;
	char text[32] = "";

	sysfs = detached_mount("sysfs", err);
	if (sysfs < 0)
		return sysfs;
	fd = openat(sysfs, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return cay_error_errno(err, errno, "can't read the device number of %s", name);
	if (sscanf(text, "%u:%u", &number_major, &number_minor) != 2)
		return cay_error_set(err, CAY_INTERNAL, EBADMSG,
				     "the device number of %s is \"%.16s\"", name, text);
	*ret = makedev(number_major, number_minor);
	return 0;
}

/* The queues' device has a node in no directory that others could open it by. */
static int open_macvtap_queues(unsigned int index, const char *name, unsigned int queues,
			       int *ret_fds, struct cay_error *err)
{
	const short flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	_cleanup_close_ int directory = -1;
	char path[64];
	dev_t device = 0;
	int r;

	r = device_number(index, name, &device, err);
	if (r < 0)
		return r;
	directory = detached_mount("tmpfs", err);
	if (directory < 0)
		return directory;
	if (mknodat(directory, "tap", S_IFCHR | 0600, device) < 0)
		return cay_error_errno(err, errno, "can't make a device node for %s", name);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/tap", directory);
	return open_queues(path, name, queues, flags, ret_fds, err);
}

static int find_macvtap(struct netlink *netlink, const char *name, struct netlink_link *ret,
			struct cay_error *err)
{
	int r = netlink_link_find(netlink, name, ret, err);

	if (r == 0 && strcmp(ret->kind, "macvtap") != 0)
		return cay_error_set(err, CAY_CONFLICT, EBUSY, "the link %s is no macvtap", name);
	return r;
}

int macvtap_open(const char *name, unsigned int queues, int *ret_fds, struct cay_error *err)
{
	/*
	 * It is the guest's card, not another one of the host with addresses of the host's. Which
	 * groups the guest joins, IPv6's neighbour discovery first of all, the host does not hear.
	 */
	const struct netlink_settings bare = { .no_ipv6_addresses = true, .all_multicast = true };
	const struct netlink_settings start = { .up = true };
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link link;
	int fds[TAP_QUEUES_MAX], r;

	r = check_queues(queues, err);
	if (r == 0)
		r = netlink_open(&netlink, err);
	if (r == 0)
		r = find_macvtap(netlink, name, &link, err);
	if (r == 0)
		r = open_macvtap_queues(link.index, name, queues, fds, err);
	if (r < 0)
		return r;
	r = netlink_link_change(netlink, link.index, name, &bare, err);
	if (r == 0)
		r = netlink_link_change(netlink, link.index, name, &start, err);
	if (r < 0) {
		close_all(fds, queues);
		return r;
	}
	memcpy(ret_fds, fds, queues * sizeof(*fds));
	return 0;
}

int macvtap_remove(const char *name, struct cay_error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link link;
	int r;

	r = netlink_open(&netlink, err);
	if (r < 0)
		return r;
	r = find_macvtap(netlink, name, &link, err);
	if (r == 0)
		r = netlink_link_delete(netlink, link.index, name, err);
	return netlink_allow_absent(r, err);
}
