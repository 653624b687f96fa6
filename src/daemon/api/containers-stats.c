/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /containers/{id}/stats and /top: numbers and processes, asked from the guest; and what the
 * container costs the host, in a member of its own that docker's clients pass over.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/containers.h"
#include "daemon/lifecycle.h"
#include "daemon/shim.h"
#include "daemon/usage.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <time.h>

enum { PERIOD_MS = 1000, PROCESSES_MAX = 10000 };

/* ---- stats ---- */

static int64_t time_of(const Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	return stats ? stats->time_ns : 0;
}

static void set_u64(json_t *object, const char *key, uint64_t number)
{
	json_set_int(object, key, (int64_t)MIN(number, (uint64_t)INT64_MAX));
}

/* An absent measurement has docker's zeros. */
static json_t *make_cpu(const Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	json_t *cpu = json_object(), *usage = json_object(), *throttling = json_object();

	set_u64(usage, "total_usage", stats ? stats->cpu_usage_us * 1000 : 0);
	set_u64(usage, "usage_in_kernelmode", stats ? stats->cpu_system_us * 1000 : 0);
	set_u64(usage, "usage_in_usermode", stats ? stats->cpu_user_us * 1000 : 0);
	set_u64(throttling, "periods", stats ? stats->cpu_periods : 0);
	set_u64(throttling, "throttled_periods", stats ? stats->cpu_throttled_periods : 0);
	set_u64(throttling, "throttled_time", stats ? stats->cpu_throttled_us * 1000 : 0);
	json_set(cpu, "cpu_usage", usage);
	/*
	 * Clients divide by what the system's processors could have done meanwhile: the VM's. Only
	 * differences of it count.
	 */
	set_u64(cpu, "system_cpu_usage",
		stats ? (uint64_t)stats->time_ns / 1000 * stats->cpus_online * 1000 : 0);
	json_set_int(cpu, "online_cpus", stats ? stats->cpus_online : 0);
	json_set(cpu, "throttling_data", throttling);
	return cpu;
}

static json_t *make_memory(const Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	json_t *memory = json_object(), *details = json_object();

	for (size_t i = 0; i < stats->n_memory_stat; i++)
		/* a name from the guest may be anything */
		if (json_object_set_new(details, stats->memory_stat[i]->name,
					json_integer((json_int_t)stats->memory_stat[i]->value)) < 0)
			continue;
	set_u64(memory, "usage", stats->memory_bytes);
	set_u64(memory, "max_usage", stats->memory_peak_bytes);
	set_u64(memory, "limit", stats->memory_limit_bytes);
	set_u64(memory, "failcnt", stats->oom_kills);
	json_set(memory, "stats", details);
	return memory;
}

static json_t *make_block_io(const Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	json_t *io = json_object(), *bytes = json_array(), *counts = json_array();
	const struct {
		const char *op;
		uint64_t bytes, count;
	} rows[] = {
		{ "read", stats->io_read_bytes, stats->io_reads },
		{ "write", stats->io_write_bytes, stats->io_writes },
	};
	static const char *const nulls[] = { "io_queue_recursive",     "io_service_time_recursive",
					     "io_wait_time_recursive", "io_merged_recursive",
					     "io_time_recursive",      "sectors_recursive" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		(void)json_array_append_new(bytes,
					    json_pack("{s:i, s:i, s:s, s:I}", "major", 254, "minor",
						      0, "op", rows[i].op, "value",
						      (json_int_t)rows[i].bytes));
		(void)json_array_append_new(counts,
					    json_pack("{s:i, s:i, s:s, s:I}", "major", 254, "minor",
						      0, "op", rows[i].op, "value",
						      (json_int_t)rows[i].count));
	}
	json_set(io, "io_service_bytes_recursive", bytes);
	json_set(io, "io_serviced_recursive", counts);
	for (size_t i = 0; i < ARRAY_SIZE(nulls); i++)
		json_set(io, nulls[i], json_null());
	return io;
}

static json_t *make_networks(const Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	json_t *networks = json_object();

	for (size_t i = 0; i < stats->n_networks; i++) {
		const Cay__Vminitd__V1__NetworkStats *one = stats->networks[i];
		json_t *row = json_object();

		set_u64(row, "rx_bytes", one->rx_bytes);
		set_u64(row, "rx_packets", one->rx_packets);
		set_u64(row, "rx_errors", one->rx_errors);
		set_u64(row, "rx_dropped", one->rx_dropped);
		set_u64(row, "tx_bytes", one->tx_bytes);
		set_u64(row, "tx_packets", one->tx_packets);
		set_u64(row, "tx_errors", one->tx_errors);
		set_u64(row, "tx_dropped", one->tx_dropped);
		if (json_object_set_new(networks, one->interface, row) < 0)
			continue; /* a name from the guest may be anything */
	}
	return networks;
}

static void set_time(json_t *object, const char *key, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	clock_format_utc(ns, text);
	json_set_string(object, key, text);
}

static json_t *make_host(pid_t shim_pid)
{
	const struct usage usage = usage_of(shim_pid);
	json_t *host = json_object();

	set_u64(host, "memory", usage.memory_bytes);
	set_u64(host, "resident", usage.resident_bytes);
	set_u64(host, "processes", usage.processes);
	return host;
}

static json_t *make_stats(const struct container *container, const struct container_view *view,
			  const Cay__Vminitd__V1__ContainerStatsResponse *stats,
			  const Cay__Vminitd__V1__ContainerStatsResponse *before)
{
	json_t *object = json_object(), *pids = json_object();
	_cleanup_free_ char *slashed = xasprintf("/%s", view->name);

	set_time(object, "read", time_of(stats));
	set_time(object, "preread", time_of(before));
	json_set_string(object, "name", slashed);
	json_set_string(object, "id", container->id);
	json_set_int(object, "num_procs", 0);
	json_set(object, "storage_stats", json_object());
	json_set(object, "cpu_stats", make_cpu(stats));
	json_set(object, "precpu_stats", make_cpu(before));
	if (!stats) { /* as docker does for a container that does not run */
		json_set(object, "pids_stats", pids);
		json_set(object, "memory_stats", json_object());
		json_set(object, "blkio_stats", json_object());
		return object;
	}
	set_u64(pids, "current", stats->pids);
	if (stats->pids_limit > 0)
		set_u64(pids, "limit", stats->pids_limit);
	json_set(object, "pids_stats", pids);
	json_set(object, "memory_stats", make_memory(stats));
	json_set(object, "blkio_stats", make_block_io(stats));
	json_set(object, "networks", make_networks(stats));
	json_set(object, "cay_host", make_host(view->run.shim_pid));
	return object;
}

static int measure(struct container *container,
		   Cay__Vminitd__V1__ContainerStatsResponse **ret_stats, struct cay_error *err)
{
	Cay__Vminitd__V1__ContainerStatsRequest request =
		CAY__VMINITD__V1__CONTAINER_STATS_REQUEST__INIT;

	request.id = container->id;
	return shim_guest_call(container, "ContainerStats", &request.base, SHIM_CALL_MS,
			       (ProtobufCMessage **)ret_stats, err);
}

static void stats_free(Cay__Vminitd__V1__ContainerStatsResponse *stats)
{
	if (stats)
		protobuf_c_message_free_unpacked(&stats->base, NULL);
}

/* One document, with a newline as docker ends it. */
static int send_stats(struct http_request *request, struct container *container,
		      const Cay__Vminitd__V1__ContainerStatsResponse *stats,
		      const Cay__Vminitd__V1__ContainerStatsResponse *before)
{
	_cleanup_view_ struct container_view view = { 0 };
	_cleanup_json_ json_t *object = NULL;
	_cleanup_buf_ struct buf text = { 0 };

	container_view(container, &view);
	object = make_stats(container, &view, stats, before);
	json_print_to(object, &text);
	buf_putc(&text, '\n');
	return http_stream_write(request, text.data, text.length);
}

/* Sleeps a period; false when the client is gone. */
static bool pause_period(struct http_request *request)
{
	struct pollfd fds = { .fd = http_request_gone_fd(request), .events = POLLIN };

	return poll(&fds, 1, PERIOD_MS) <= 0;
}

/*
 * "stream" goes on, for a container that does not run with zeros, as docker's does. Without it one
 * document comes: after a period, so that it has two measurements, or with "one-shot" at once.
 */
static void run_stats(struct http_request *request, struct container *container, bool stream,
		      bool one_shot)
{
	Cay__Vminitd__V1__ContainerStatsResponse *before = NULL;

	for (unsigned int round = 0;; round++) {
		Cay__Vminitd__V1__ContainerStatsResponse *stats = NULL;
		struct cay_error ignored;
		bool up = container_require_up(container, &ignored) == 0 &&
			measure(container, &stats, &ignored) == 0;
		bool enough = stream || one_shot || !up || round > 0;

		if (enough && send_stats(request, container, stats, before) < 0)
			stream = false;
		stats_free(before);
		before = stats;
		if ((enough && !stream) || !pause_period(request))
			break;
	}
	stats_free(before);
}

int api_containers_stats(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = http_stream_begin(request, 200, "application/json");
	if (r < 0)
		return r;
	run_stats(request, container, http_query_bool(request, "stream", true),
		  http_query_bool(request, "one-shot", false));
	return 0;
}

/* ---- top ---- */

static void put_time(const Cay__Vminitd__V1__ProcessInfo *process, char *text, size_t size)
{
	uint64_t seconds = process->cpu_us / 1000000;

	(void)snprintf(text, size, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600,
		       seconds / 60 % 60, seconds % 60);
}

/* As ps has it: the time of day where it began today, else the day. */
static void put_start(const Cay__Vminitd__V1__ProcessInfo *process, char *text, size_t size)
{
	time_t now = time(NULL), began = (time_t)(process->started_ns / 1000000000);
	struct tm at = { 0 };

	(void)gmtime_r(&began, &at);
	(void)strftime(text, size, now - began < 86400 ? "%H:%M" : "%b%d", &at);
}

/* The share of its life that it used a processor, in percent. */
static int64_t usage_percent(const Cay__Vminitd__V1__ProcessInfo *process)
{
	int64_t life_us = (clock_now_ns() - process->started_ns) / 1000;

	return life_us <= 0 ? 0
			    : (int64_t)MIN(process->cpu_us / MAX((uint64_t)life_us / 100, 1), 99);
}

static void add_text(json_t *row, const char *text)
{
	json_t *value = json_string(text); /* NULL where the guest sent no UTF-8 */

	(void)json_array_append_new(row, value ? value : json_string("?"));
}

static json_t *make_process(const Cay__Vminitd__V1__ProcessInfo *process)
{
	json_t *row = json_array();
	char text[64];
	const int64_t numbers[] = { process->uid, process->pid, process->ppid,
				    usage_percent(process) };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		(void)json_array_append_new(row, json_sprintf("%" PRId64, numbers[i]));
	put_start(process, text, sizeof(text));
	add_text(row, text);
	add_text(row, process->terminal);
	put_time(process, text, sizeof(text));
	add_text(row, text);
	add_text(row, process->command);
	return row;
}

int api_containers_top(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	Cay__Vminitd__V1__ListProcessesRequest ask = CAY__VMINITD__V1__LIST_PROCESSES_REQUEST__INIT;
	_cleanup_container_ struct container *container = NULL;
	_cleanup_(message_free_p) ProtobufCMessage *message = NULL;
	const Cay__Vminitd__V1__ListProcessesResponse *answer;
	const char *arguments = http_query(request, "ps_args");
	json_t *processes;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = container_require_up(container, err);
	if (r < 0)
		return r;
	/* There is no ps to give these to: the list is the guest's own. */
	if (arguments && arguments[0] != '\0' && strcmp(arguments, "-ef") != 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "arguments for ps (%.64s) are not supported", arguments);
	ask.id = container->id;
	r = shim_guest_call(container, "ListProcesses", &ask.base, SHIM_CALL_MS, &message, err);
	if (r < 0)
		return r;
	answer = (const Cay__Vminitd__V1__ListProcessesResponse *)message;
	processes = json_array();
	for (size_t i = 0; i < MIN(answer->n_processes, PROCESSES_MAX); i++)
		(void)json_array_append_new(processes, make_process(answer->processes[i]));
	return http_reply_json(request, 200,
			       json_pack("{s:[ssssssss], s:o}", "Titles", "UID", "PID", "PPID", "C",
					 "STIME", "TTY", "TIME", "CMD", "Processes", processes));
}
