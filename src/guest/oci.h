/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI runtime configuration as typed structs: what this runtime acts on,
 * checked whole while it is read, before anything is done. Members it does not
 * know are ignored, as the specification asks; ones it knows and can't honour
 * (hooks, user and time namespaces) are refused with CAY_UNSUPPORTED.
 *
 * Source: the OCI runtime specification 1.0.2 (config.md, config-linux.md).
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/* A number that the document does not give. */
#define OCI_UNSET INT64_MIN

struct oci_mount {
	char *destination; /* absolute */
	char *type;        /* "" where absent */
	char *source;      /* "" where absent */
	struct strv options;
};

struct oci_device {
	char *path;  /* absolute */
	mode_t mode; /* with the type's bits */
	unsigned int major, minor;
	uid_t uid;
	gid_t gid;
};

struct oci_namespace {
	int flag;   /* CLONE_NEW… */
	char *path; /* one to join, or NULL for a new one */
};

struct oci_rlimit {
	int resource;
	uint64_t soft, hard; /* UINT64_MAX: no limit; the document may say so by -1 too */
};

enum oci_capability_set {
	OCI_CAP_BOUNDING,
	OCI_CAP_EFFECTIVE,
	OCI_CAP_PERMITTED,
	OCI_CAP_INHERITABLE,
	OCI_CAP_AMBIENT,
	OCI_CAP_SETS,
};

struct oci_process {
	bool terminal;
	unsigned int columns, rows; /* 0: not given */
	uid_t uid;
	gid_t gid;
	int64_t umask; /* or OCI_UNSET */
	gid_t *groups;
	size_t group_count;
	struct strv args; /* at least one */
	struct strv env;
	char *cwd; /* absolute */
	bool has_capabilities;
	uint64_t capabilities[OCI_CAP_SETS]; /* bits */
	struct oci_rlimit *rlimits;
	size_t rlimit_count;
	bool no_new_privileges;
	int64_t oom_score_adj; /* or OCI_UNSET */
};

struct oci_device_rule {
	int64_t major, minor; /* -1: any */
	unsigned int access;  /* BPF_DEVCG_ACC_… bits */
	char type;            /* 'a', 'b', 'c' */
	bool allow;
};

struct oci_block_rate {
	unsigned int major, minor;
	int64_t weight; /* these five: OCI_UNSET where not given */
	int64_t read_bps, write_bps, read_iops, write_iops;
};

struct oci_setting {
	char *name, *value;
};

/* Numbers are OCI_UNSET where the document does not give them. */
struct oci_resources {
	struct oci_device_rule *device_rules;
	size_t device_rule_count;
	int64_t memory_limit, memory_reservation, memory_swap;
	int64_t cpu_shares, cpu_quota, cpu_period, cpu_burst, cpu_idle;
	char *cpus, *mems;
	int64_t pids_limit;
	int64_t block_weight;
	struct oci_block_rate *block_rates;
	size_t block_rate_count;
	struct oci_setting *unified; /* files of cgroup v2 and what to write to them */
	size_t unified_count;
};

struct oci_seccomp_argument {
	unsigned int index;
	uint64_t value, value_two;
	int operation; /* enum scmp_compare */
};

struct oci_seccomp_rule {
	struct strv names;
	uint32_t action; /* SCMP_ACT_… */
	struct oci_seccomp_argument *arguments;
	size_t argument_count;
};

struct oci_seccomp {
	uint32_t default_action;
	uint32_t *architectures; /* SCMP_ARCH_… */
	size_t architecture_count;
	bool log, spec_allow;
	struct oci_seccomp_rule *rules;
	size_t rule_count;
};

struct oci_config {
	char *root_path; /* absolute */
	bool root_readonly;
	char *hostname, *domainname; /* or NULL */
	struct oci_process process;
	bool has_process;
	struct oci_mount *mounts;
	size_t mount_count;
	struct oci_device *devices;
	size_t device_count;
	struct oci_namespace *namespaces;
	size_t namespace_count;
	struct oci_setting *sysctls;
	size_t sysctl_count;
	struct strv masked_paths, readonly_paths;
	unsigned long propagation; /* MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE */
	char *cgroups_path;        /* absolute, or NULL */
	struct oci_resources resources;
	struct oci_seccomp *seccomp; /* or NULL */
};

int oci_config_parse(const void *data, size_t size, struct oci_config *ret_config,
		     struct cay_error *err);
void oci_config_done(struct oci_config *config);
#define _cleanup_oci_config_ _cleanup_(oci_config_done)

int oci_process_parse(const void *data, size_t size, struct oci_process *ret_process,
		      struct cay_error *err);
void oci_process_done(struct oci_process *process);
#define _cleanup_oci_process_ _cleanup_(oci_process_done)

int oci_resources_parse(const void *data, size_t size, struct oci_resources *ret_resources,
			struct cay_error *err);
void oci_resources_done(struct oci_resources *resources);
#define _cleanup_oci_resources_ _cleanup_(oci_resources_done)

void oci_seccomp_free(struct oci_seccomp *seccomp); /* NULL is allowed */

/* The CLONE_NEW… flags of the namespaces that are to be made new. */
int oci_new_namespaces(const struct oci_config *config);
