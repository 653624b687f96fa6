/* SPDX-License-Identifier: Apache-2.0 */
/* What a container uses: its cgroup's counters and its network devices'. */
#include "guest/stats.h"

#include "guest/guest.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/sysinfo.h>

/* A container may make devices at will. */
enum { NETWORKS_MAX = 64, MEMORY_STATS_MAX = 128, NETWORK_TEXT_MAX = 64 * 1024 };

static uint64_t single(const struct cgroup *cgroup, const char *file, uint64_t otherwise)
{
	_cleanup_buf_ struct buf text = { 0 };
	uint64_t value = otherwise;

	if (cgroup_read(cgroup, file, &text) == 0)
		(void)cgroup_single(buf_text(&text), &value); /* "max" leaves it */
	return value;
}

static void read_cpu(const struct cgroup *cgroup, Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	_cleanup_buf_ struct buf text = { 0 };
	const struct {
		const char *key;
		uint64_t *value;
	} numbers[] = {
		{ "usage_usec", &stats->cpu_usage_us },
		{ "user_usec", &stats->cpu_user_us },
		{ "system_usec", &stats->cpu_system_us },
		{ "nr_periods", &stats->cpu_periods },
		{ "nr_throttled", &stats->cpu_throttled_periods },
		{ "throttled_usec", &stats->cpu_throttled_us },
	};

	if (cgroup_read(cgroup, "cpu.stat", &text) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		(void)cgroup_number(buf_text(&text), numbers[i].key, numbers[i].value); /* or 0 */
}

static void read_memory(const struct cgroup *cgroup,
			Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct sysinfo info = { 0 };
	struct str rest;

	(void)sysinfo(&info); /* fails for no valid pointer */
	stats->memory_bytes = single(cgroup, "memory.current", 0);
	stats->memory_limit_bytes =
		single(cgroup, "memory.max", (uint64_t)info.totalram * info.mem_unit);
	stats->memory_peak_bytes = single(cgroup, "memory.peak", 0);
	stats->oom_kills = cgroup_oom_kills(cgroup);
	if (cgroup_read(cgroup, "memory.stat", &text) < 0)
		return;
	stats->memory_stat = xcalloc(MEMORY_STATS_MAX, sizeof(void *));
	rest = str_from(buf_text(&text));
	while (rest.length > 0 && stats->n_memory_stat < MEMORY_STATS_MAX) {
		struct str value, name = str_split(str_split(rest, '\n', &rest), ' ', &value);
		Cay__Vminitd__V1__MemoryStat *line;
		uint64_t number;

		if (str_to_u64(value, UINT64_MAX, &number) < 0)
			continue;
		line = xmalloc(sizeof(*line));
		cay__vminitd__v1__memory_stat__init(line);
		line->name = str_dup(name);
		line->value = number;
		stats->memory_stat[stats->n_memory_stat++] = line;
	}
}

static void read_io(const struct cgroup *cgroup, Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	_cleanup_buf_ struct buf text = { 0 };

	/* The controller counts from the first time that someone wants to know. */
	if (cgroup_read(cgroup, "io.stat", &text) < 0 &&
	    (cgroup_enable(cgroup, "io") < 0 || cgroup_read(cgroup, "io.stat", &text) < 0))
		return;
	stats->io_read_bytes = cgroup_io_sum(buf_text(&text), "rbytes");
	stats->io_write_bytes = cgroup_io_sum(buf_text(&text), "wbytes");
	stats->io_reads = cgroup_io_sum(buf_text(&text), "rios");
	stats->io_writes = cgroup_io_sum(buf_text(&text), "wios");
}

bool network_line_parse(struct str line, struct str *ret_name, uint64_t ret_numbers[16])
{
	struct str rest, name = str_split(line, ':', &rest);

	while (name.length > 0 && name.data[0] == ' ')
		(void)str_split(name, ' ', &name);
	if (name.length == 0 || name.length == line.length)
		return false;
	for (size_t i = 0; i < 16; i++) {
		while (rest.length > 0 && rest.data[0] == ' ')
			(void)str_split(rest, ' ', &rest);
		if (str_to_u64(str_split(rest, ' ', &rest), UINT64_MAX, &ret_numbers[i]) < 0)
			return false;
	}
	*ret_name = name;
	return true;
}

/* The devices of the network namespace of the container's first process, loopback left out. */
static void read_networks(const struct container *container,
			  Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = -1;
	struct str rest, name;
	uint64_t n[16];
	char path[64];
	ssize_t got;

	(void)snprintf(path, sizeof(path), "%d/net/dev", container_pid(container));
	fd = openat(container_guest(container)->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while (text.length < NETWORK_TEXT_MAX &&
	       (got = read(fd, buf_reserve(&text, 4096), 4096)) > 0)
		text.length += (size_t)got;
	stats->networks = xcalloc(NETWORKS_MAX, sizeof(void *));
	rest = (struct str){ text.data, text.length };
	while (rest.length > 0 && stats->n_networks < NETWORKS_MAX) {
		Cay__Vminitd__V1__NetworkStats *network;

		if (!network_line_parse(str_split(rest, '\n', &rest), &name, n) ||
		    str_equals(name, "lo"))
			continue;
		network = xmalloc(sizeof(*network));
		cay__vminitd__v1__network_stats__init(network);
		network->interface = str_dup(name);
		/* bytes packets errs drop fifo frame compressed multicast, for each way */
		network->rx_bytes = n[0];
		network->rx_packets = n[1];
		network->rx_errors = n[2];
		network->rx_dropped = n[3];
		network->tx_bytes = n[8];
		network->tx_packets = n[9];
		network->tx_errors = n[10];
		network->tx_dropped = n[11];
		stats->networks[stats->n_networks++] = network;
	}
}

static void release(Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	for (size_t i = 0; i < stats->n_memory_stat; i++) {
		free(stats->memory_stat[i]->name);
		free(stats->memory_stat[i]);
	}
	for (size_t i = 0; i < stats->n_networks; i++) {
		free(stats->networks[i]->interface);
		free(stats->networks[i]);
	}
	free(stats->memory_stat);
	free(stats->networks);
}

void stats_reply(struct container *container, struct rpc_call *call)
{
	Cay__Vminitd__V1__ContainerStatsResponse stats =
		CAY__VMINITD__V1__CONTAINER_STATS_RESPONSE__INIT;
	const struct cgroup *cgroup = container_cgroup(container);
	struct cay_error err = { 0 };
	cpu_set_t cpus;

	if (container_pid(container) < 0) {
		(void)cay_error_set(&err, CAY_CONFLICT, ESRCH, "container %s is not running",
				    container_id(container));
		rpc_call_finish(call, &err);
		return;
	}
	CPU_ZERO(&cpus);
	(void)sched_getaffinity(0, sizeof(cpus), &cpus); /* none counted if it fails */
	stats.time_ns = clock_now_ns();
	stats.cpus_online = (uint32_t)CPU_COUNT(&cpus);
	read_cpu(cgroup, &stats);
	read_memory(cgroup, &stats);
	read_io(cgroup, &stats);
	read_networks(container, &stats);
	stats.pids = single(cgroup, "pids.current", 0);
	stats.pids_limit = single(cgroup, "pids.max", 0);
	rpc_call_reply(call, &stats.base);
	release(&stats);
}
