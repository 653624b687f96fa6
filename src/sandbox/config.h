/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description of one sandbox, made whole by the daemon before anything is
 * started and handed to the shim as one JSON document. Paths are host paths
 * that cay made; nothing in it comes from the guest.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SANDBOX_CONFIG_MAX = 4 * 1024 * 1024,
	SANDBOX_MAC_SIZE = 6,
	SANDBOX_QUEUES_MAX = 8, /* of one interface */
	SANDBOX_PORTS_MAX = 4096,
	SANDBOX_SOCKETS_MAX = 64,
	SANDBOX_SHARES_MAX = 128,
};

/* One piece of a disk; a disk is its extents one after the other. */
struct sandbox_extent {
	char *path;
	uint64_t size; /* bytes, a multiple of 4096 */
};

struct sandbox_disk {
	struct sandbox_extent *extents;
	size_t extent_count; /* 0: a placeholder, for a machine that waits for its disks */
	bool read_only;      /* a disk with several extents is always read-only */
};

/* A host directory or file that guests see, served by cay-files. Its number is its index. */
struct sandbox_share {
	char *source;   /* the absolute host path of a directory or file, which exists */
	bool read_only; /* enforced on the host, whatever the guest does */
	bool recursive; /* the host's mounts below it are part of it */
	bool slave;     /* so are those made later */
	bool cached;    /* the guest may keep attributes and entries for a second */
};

/*
 * Something vminitd mounts in the guest before the container exists. The type "share" stands for a
 * share, its number is the source; the option "file" says that it is no directory.
 */
struct sandbox_mount {
	char *type, *source, *target;
	struct strv options;
};

/* A small file vminitd writes in the guest: hosts, hostname, resolv.conf. */
struct sandbox_file {
	char *path, *data;
	unsigned int mode;
};

/* What a network card of the VM is on the host. */
enum sandbox_interface_kind {
	SANDBOX_TAP,     /* a tap that the shim makes */
	SANDBOX_MACVTAP, /* a macvtap that the shim makes on the host's interface `parent` */
	SANDBOX_PASST,   /* a passt of its own, which needs no privileges */
};

struct sandbox_interface {
	enum sandbox_interface_kind kind;
	char *device; /* the name the tap or macvtap gets on the host; NULL for passt */
	/* A tap's bridge, a macvtap's lower device. A tap without one is a spare, which waits for a
	   network to be connected to the running container: it has no addresses. */
	char *parent;
	uint8_t mac[SANDBOX_MAC_SIZE];
	unsigned int mtu;      /* 0: the device's own, 1500 */
	unsigned int queues;   /* pairs of queues the card has; more than 1 for several CPUs */
	struct strv addresses; /* "10.1.2.3/16", "fd00::3/64" */
	struct strv gateways;  /* next hops of the default routes, at most one a family */
	bool dhcp;         /* vminitd's client gets the IPv4 address and all that comes with it */
	bool accept_ra;    /* IPv6 addresses and routes by router advertisements */
	char *hostname;    /* told to the DHCP server; NULL: none */
	char *resolv_conf; /* the guest's file that the lease's DNS servers go to; NULL: none */
};

/* A host port that the shim holds and relays; with passt, passt does. */
struct sandbox_port {
	bool udp;
	char *host_address; /* "0.0.0.0", "::", or one of the host's */
	uint16_t host_port;
	/* An address of one of `interfaces`; NULL: passt's, where a port is passt's alone. */
	char *container_address;
	uint16_t container_port;
};

/*
 * An empty volume's content: what the image has there. While it is copied, the volume's root holds
 * entries whose names begin so.
 */
#define VOLUME_FILL_PREFIX ".cay-fill"
struct sandbox_fill {
	char *path;   /* in the container's root */
	char *target; /* the guest's path of the volume's root, filled only if it is empty */
};

/* A unix socket that connections cross the wall by; vminitd and the shim relay them. */
struct sandbox_socket {
	bool publish; /* the host connects and the container serves; else the other way round */
	char *host_path;
	/* publish: a path in the root of container_id; else where vminitd listens, a path of the
	   guest's own, which the OCI configuration then binds. */
	char *guest_path;
	char *container_id; /* of a published socket */
	/* Of the listening socket. A published one belongs to the owner of its directory. */
	unsigned int mode;
	uid_t uid;
	gid_t gid;
};

struct sandbox_container {
	char *id;
	char *oci_config; /* OCI runtime configuration, JSON text */
	char *user;       /* docker's form, resolved in the guest; "" for root */
	struct strv additional_groups;
	struct sandbox_mount *mounts;
	size_t mount_count;
	struct sandbox_file *files;
	size_t file_count;
	struct sandbox_fill *fills; /* after the mounts */
	size_t fill_count;
	bool files_only; /* no process: only its files are prepared, for the calls that copy them */
	bool terminal;
	bool open_stdin; /* the process has a stdin; false: /dev/null */
	bool stdin_once; /* stdin ends when the first client that attached with it leaves */
	bool use_init;
	char *log_path;        /* docker's json-file; NULL: no log is kept */
	uint64_t log_max_size; /* bytes a log file may have before it is rotated; 0: no limit */
	unsigned int log_max_files;
	char *state_path; /* where the shim writes struct sandbox_state of this container */
};

/* What a sandbox is started for. */
enum sandbox_purpose {
	SANDBOX_FOR_CONTAINERS,
	SANDBOX_FOR_TEMPLATE, /* booted and frozen: there is nothing in it, and no socket */
	SANDBOX_FOR_POOL,     /* made ready for containers that are not known yet */
};

struct sandbox_config {
	char *id;
	enum sandbox_purpose purpose;
	char *template_directory; /* of a finished template, which is cloned; NULL: boots cold */
	char *template_output;    /* for a template: the empty directory that it is written into */
	char *translations;       /* a finished file of what QEMU has translated; NULL: none */
	char *recording; /* a file to be made of what QEMU translates, for a cold VM of the pool;
			    NULL: none */
	unsigned int warm_rounds; /* for the pool: how often the warm-up container runs; printed: 0:
				     as often as is usual */
	char *member;        /* of the pool, whose VM this is, so its name; NULL: a VM of its own */
	char *run_directory; /* made by the daemon, 0700: the shim puts shim.sock and the jail there
			      */
	char *boot_log_path; /* the guest's kernel messages and console */
	char *kernel, *initramfs;
	char *qemu;         /* the program; NULL: qemu-system-x86_64 in PATH */
	char *acceleration; /* "kvm" or "tcg", as the daemon found out */
	uint32_t tsc_khz;   /* the host's TSC rate for TCG guests; 0: let the kernel calibrate */
	bool stock_kernel;  /* a kernel without cay's patches; see vmm/kernel.h */
	bool disposable;    /* nothing on its disks is wanted when it has ended: no last sync */
	unsigned int vcpus;
	uint64_t memory_bytes;
	uid_t vm_uid; /* QEMU's user and group; 0: the shim's own (a daemon without root) */
	struct sandbox_disk *disks; /* in slot order: /dev/vda, /dev/vdb, … */
	size_t disk_count;
	struct sandbox_interface *interfaces; /* eth0, eth1, … in the guest */
	size_t interface_count;
	struct sandbox_port *ports;
	size_t port_count;
	char *files_program; /* cay-files; NULL only without shares */
	struct sandbox_share *shares;
	size_t share_count;
	struct sandbox_socket *sockets;
	size_t socket_count;
	struct sandbox_container *containers;
	size_t container_count;
};

/* Parses and checks the document whole; *ret_config is freed with sandbox_config_free(). */
int sandbox_config_parse(const char *json, size_t size, struct sandbox_config **ret_config,
			 struct cay_error *err);
int sandbox_config_load(const char *path, struct sandbox_config **ret_config,
			struct cay_error *err);
/* The document; the caller frees. */
char *sandbox_config_print(const struct sandbox_config *config);
void sandbox_config_free(struct sandbox_config *config);
DEFINE_CLEANUP(struct sandbox_config *, sandbox_config_free);

/* A tap with nothing to configure: the place for a network that is connected later. */
bool sandbox_interface_is_spare(const struct sandbox_interface *interface);
