/* SPDX-License-Identifier: Apache-2.0 */
/* The host's TSC rate. */
#include "vmm/tsc.h"

#include "vmm/cache.h"

#include "base/alloc.h"
#include "base/file.h"

#include <cpuid.h>
#include <errno.h>
#include <time.h>
#include <x86intrin.h>

enum { LEAF_TSC = 0x15, HYPERVISOR_BIT = 31, KHZ_MIN = 100 * 1000, KHZ_MAX = 20 * 1000 * 1000 };
enum { TRIES = 32 };

static bool is_sane(uint64_t khz)
{
	return khz >= KHZ_MIN && khz <= KHZ_MAX;
}

/* Some kernels tell what they calibrated. */
static uint64_t from_sysfs(void)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct str digits, rest;
	uint64_t khz = 0;

	if (file_read("/sys/devices/system/cpu/cpu0/tsc_freq_khz", 64, &text, NULL) < 0)
		return 0;
	digits = str_split((struct str){ text.data, text.length }, '\n', &rest);
	return str_to_u64(digits, KHZ_MAX, &khz) < 0 ? 0 : khz;
}

/* The crystal's ratio and rate (Intel SDM, CPUID leaf 15H). Virtual machines make these up. */
static uint64_t from_cpuid(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || (c >> HYPERVISOR_BIT) != 0)
		return 0;
	if (!__get_cpuid_count(LEAF_TSC, 0, &a, &b, &c, &d) || a == 0 || b == 0 || c == 0)
		return 0;
	return (uint64_t)c * b / a / 1000;
}

struct sample {
	uint64_t tsc;
	int64_t ns;
};

/* The clock read between two close readings of the counter; the closest of some tries. */
static struct sample take_sample(void)
{
	struct sample best = { 0 };
	uint64_t width = UINT64_MAX;

	for (unsigned int i = 0; i < TRIES; i++) {
		struct timespec now;
		uint64_t before = __rdtsc(), after;

		(void)clock_gettime(CLOCK_MONOTONIC_RAW, &now);
		after = __rdtsc();
		if (after - before < width) {
			width = after - before;
			best.tsc = before + width / 2;
			best.ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
		}
	}
	return best;
}

static uint64_t measure(void)
{
	const struct timespec span = { .tv_sec = TSC_MEASURE_MS / 1000,
				       .tv_nsec = TSC_MEASURE_MS % 1000 * 1000000L };
	const struct sample begin = take_sample();
	struct sample end;

	(void)nanosleep(&span, NULL); /* cut short by a signal, it only measures less well */
	end = take_sample();
	if (end.ns <= begin.ns)
		return 0;
	/* Fits: 2 s of a 20 GHz counter times a million is far below 2^64. */
	return ((end.tsc - begin.tsc) * 1000000 + (uint64_t)(end.ns - begin.ns) / 2) /
		(uint64_t)(end.ns - begin.ns);
}

int vmm_tsc_khz(const char *cache_path, uint32_t *ret_khz, struct cay_error *err)
{
	_cleanup_buf_ struct buf key = { 0 };
	_cleanup_free_ char *known = NULL, *text = NULL;
	uint64_t khz = from_sysfs();

	if (!is_sane(khz))
		khz = from_cpuid();
	cache_host_key(&key);
	if (!is_sane(khz)) {
		known = cache_read(cache_path, buf_text(&key));
		if (!known || parse_u64(known, KHZ_MAX, &khz) < 0 || !is_sane(khz)) {
			khz = measure();
			text = xasprintf("%llu", (unsigned long long)khz);
			if (is_sane(khz))
				cache_write(cache_path, buf_text(&key), text);
		}
	}
	if (!is_sane(khz))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "the host's time stamp counter can't be used");
	*ret_khz = (uint32_t)khz;
	return 0;
}
