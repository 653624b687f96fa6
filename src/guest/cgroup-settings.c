/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of cgroup v2 as text: what to write for the OCI resources, which
 * speak of version 1, and how to read counters. No system call is made here.
 */
#include "guest/cgroup.h"

#include <string.h>

struct writer {
	void (*each)(const char *file, const char *value, bool optional, void *user);
	void *user;
};

static void put_number(const struct writer *writer, const char *file, int64_t value, bool optional)
{
	char text[32];

	/* In the document a negative number stands for no limit. */
	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	writer->each(file, value < 0 ? "max" : text, optional, writer->user);
}

static void put_memory(const struct writer *writer, const struct oci_resources *resources)
{
	int64_t limit = resources->memory_limit, swap = resources->memory_swap;

	/* 0 is "not given" to docker's clients. */
	if (resources->memory_reservation != OCI_UNSET && resources->memory_reservation != 0)
		put_number(writer, "memory.low", resources->memory_reservation, false);
	/* A higher limit must be there before the swap that goes with it, and does no harm after.
	 */
	if (limit != OCI_UNSET && limit != 0)
		put_number(writer, "memory.max", limit, false);
	if (swap == -1)
		put_number(writer, "memory.swap.max", -1, true);
	else if (swap != OCI_UNSET && swap != 0 && limit != OCI_UNSET && limit > 0)
		put_number(writer, "memory.swap.max", swap - limit, true);
}

static void put_cpu(const struct writer *writer, const struct oci_resources *resources)
{
	char text[64];

	if (resources->cpu_idle != OCI_UNSET)
		put_number(writer, "cpu.idle", resources->cpu_idle, false);
	if (resources->cpu_shares != OCI_UNSET && resources->cpu_shares != 0) {
		/* 2..262144 maps to 1..10000, as every runtime maps it. */
		int64_t shares = MIN(MAX(resources->cpu_shares, 2), 262144);

		put_number(writer, "cpu.weight", 1 + (shares - 2) * 9999 / 262142, false);
	}
	if (resources->cpu_quota != OCI_UNSET || resources->cpu_period != OCI_UNSET) {
		int64_t quota = resources->cpu_quota, period = resources->cpu_period;

		if (period == OCI_UNSET || period == 0)
			period = 100000; /* the kernel's default */
		if (quota == OCI_UNSET || quota <= 0)
			(void)snprintf(text, sizeof(text), "max %lld", (long long)period);
		else
			(void)snprintf(text, sizeof(text), "%lld %lld", (long long)quota,
				       (long long)period);
		writer->each("cpu.max", text, false, writer->user);
	}
	if (resources->cpu_burst != OCI_UNSET)
		put_number(writer, "cpu.max.burst", resources->cpu_burst, false);
	if (resources->cpus && resources->cpus[0])
		writer->each("cpuset.cpus", resources->cpus, false, writer->user);
	if (resources->mems && resources->mems[0])
		writer->each("cpuset.mems", resources->mems, false, writer->user);
}

/* 10..1000 maps to 1..10000. */
static int64_t block_weight(int64_t weight)
{
	return 1 + (weight - 10) * 9999 / 990;
}

static void put_rate(struct buf *line, const char *key, int64_t value)
{
	if (value == OCI_UNSET)
		return;
	if (value == 0)
		buf_printf(line, " %s=max", key);
	else
		buf_printf(line, " %s=%lld", key, (long long)value);
}

static void put_block(const struct writer *writer, const struct oci_resources *resources)
{
	if (resources->block_weight != OCI_UNSET && resources->block_weight >= 10)
		put_number(writer, "io.weight", block_weight(resources->block_weight), true);
	for (size_t i = 0; i < resources->block_rate_count; i++) {
		const struct oci_block_rate *rate = &resources->block_rates[i];
		_cleanup_buf_ struct buf line = { 0 };
		size_t device;

		buf_printf(&line, "%u:%u", rate->major, rate->minor);
		device = line.length;
		if (rate->weight != OCI_UNSET) {
			buf_printf(&line, " %lld", (long long)block_weight(rate->weight));
			writer->each("io.weight", buf_text(&line), true, writer->user);
			line.length = device;
		}
		put_rate(&line, "rbps", rate->read_bps);
		put_rate(&line, "wbps", rate->write_bps);
		put_rate(&line, "riops", rate->read_iops);
		put_rate(&line, "wiops", rate->write_iops);
		if (line.length > device)
			writer->each("io.max", buf_text(&line), false, writer->user);
	}
}

void cgroup_settings(const struct oci_resources *resources,
		     void (*each)(const char *file, const char *value, bool optional, void *user),
		     void *user)
{
	struct writer writer = { each, user };

	put_memory(&writer, resources);
	put_cpu(&writer, resources);
	/* Docker's 0 and -1 are both "no limit". */
	if (resources->pids_limit != OCI_UNSET)
		put_number(&writer, "pids.max",
			   resources->pids_limit > 0 ? resources->pids_limit : -1, false);
	put_block(&writer, resources);
	for (size_t i = 0; i < resources->unified_count; i++)
		each(resources->unified[i].name, resources->unified[i].value, false, user);
}

/* The digits at the beginning of a slice. */
static bool leading_number(struct str text, uint64_t *ret_value)
{
	size_t digits = 0;

	while (digits < text.length && text.data[digits] >= '0' && text.data[digits] <= '9')
		digits++;
	return str_to_u64((struct str){ text.data, digits }, UINT64_MAX, ret_value) == 0;
}

bool cgroup_number(const char *text, const char *key, uint64_t *ret_value)
{
	struct str rest = str_from(text);

	while (rest.length > 0) {
		struct str value, name = str_split(str_split(rest, '\n', &rest), ' ', &value);

		if (str_equals(name, key))
			return leading_number(value, ret_value);
	}
	return false;
}

bool cgroup_single(const char *text, uint64_t *value)
{
	return leading_number(str_from(text), value);
}

uint64_t cgroup_io_sum(const char *text, const char *key)
{
	struct str lines = str_from(text);
	uint64_t sum = 0;

	while (lines.length > 0) {
		struct str words = str_split(lines, '\n', &lines);

		while (words.length > 0) {
			struct str value,
				name = str_split(str_split(words, ' ', &words), '=', &value);
			uint64_t number;

			if (str_equals(name, key) && leading_number(value, &number))
				sum += number;
		}
	}
	return sum;
}
