/* SPDX-License-Identifier: Apache-2.0 */
/* The program for device rules, run by a small interpreter of the instructions it uses. */
#include "test.h"

#include "guest/device-filter.h"

#include "base/alloc.h"

#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD

static int run(const struct bpf_insn *program, size_t count, const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t reg[BPF_REG_6] = { 0 };

	for (size_t at = 0; at < count; at++) {
		const struct bpf_insn *insn = &program[at];
		uint64_t *to = &reg[insn->dst_reg], from = reg[insn->src_reg];

		switch (insn->code) {
		case BPF_LDX | BPF_W | BPF_MEM:
			*to = *(const uint32_t *)((const char *)ctx + insn->off);
			break;
		case BPF_ALU | BPF_K | BPF_AND:
			*to = (uint32_t)*to & (uint32_t)insn->imm;
			break;
		case BPF_ALU | BPF_K | BPF_RSH:
			*to = (uint32_t)*to >> insn->imm;
			break;
		case BPF_ALU | BPF_K | BPF_MOV:
			*to = (uint32_t)insn->imm;
			break;
		case BPF_ALU | BPF_X | BPF_MOV:
			*to = (uint32_t)from;
			break;
		case BPF_JMP | BPF_K | BPF_JNE:
			at += *to != (uint64_t)(int64_t)insn->imm ? (size_t)insn->off : 0;
			break;
		case BPF_JMP | BPF_K | BPF_JEQ:
			at += *to == (uint64_t)(int64_t)insn->imm ? (size_t)insn->off : 0;
			break;
		case BPF_JMP | BPF_X | BPF_JNE:
			at += *to != from ? (size_t)insn->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)reg[BPF_REG_0];
		default:
			fail_msg("instruction %zu has code %#x", at, insn->code);
		}
	}
	fail_msg("the program has no end");
	return -1;
}

static bool allowed(const struct oci_device_rule *rules, size_t count, char type,
		    unsigned int major, unsigned int minor, unsigned int access)
{
	size_t room = DEVICE_FILTER_FIXED +
		DEVICE_FILTER_PER_RULE * (count + device_filter_builtin_count());
	_cleanup_free_ struct bpf_insn *program = xcalloc(room, sizeof(*program));
	size_t length = device_filter_build(rules, count, program);
	struct bpf_cgroup_dev_ctx ctx = {
		.access_type =
			access << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
		.major = major,
		.minor = minor,
	};

	assert_true(length <= room);
	return run(program, length, &ctx) == 1;
}

static void test_verdicts(void **state)
{
	static const struct oci_device_rule rules[] = {
		{ -1, -1, R | W | M, 'a', false }, { 10, 200, R | W, 'c', true },
		{ 8, -1, R, 'b', true },           { 20, -1, R | W | M, 'c', true },
		{ 20, 5, W, 'c', false },
	};
	const size_t n = ARRAY_SIZE(rules);

	assert_true(allowed(rules, n, 'c', 10, 200, R));
	assert_true(allowed(rules, n, 'c', 10, 200, R | W));
	assert_false(allowed(rules, n, 'c', 10, 201, R));
	assert_false(allowed(rules, n, 'b', 10, 200, R));
	assert_true(allowed(rules, n, 'b', 8, 17, R));
	assert_false(allowed(rules, n, 'b', 8, 17, R | W));
	assert_true(allowed(rules, n, 'c', 20, 5, R));
	assert_false(allowed(rules, n, 'c', 20, 5, W));
	assert_false(allowed(rules, n, 'c', 20, 5, R | W));
	assert_true(allowed(rules, n, 'c', 20, 6, W));
	/* The rule that denies all stands after what every container may. */
	assert_false(allowed(rules, n, 'c', 1, 11, R));
}

static void test_builtin(void **state)
{
	assert_true(allowed(NULL, 0, 'c', 1, 3, R | W));
	assert_true(allowed(NULL, 0, 'c', 136, 77, R | W));
	assert_true(allowed(NULL, 0, 'b', 254, 0, M));
	assert_false(allowed(NULL, 0, 'b', 254, 0, R));
	assert_false(allowed(NULL, 0, 'c', 1, 1, R));
}

/* Docker's own rules say nothing that every container is not granted. */
static void test_plain(void **state)
{
	static const struct oci_device_rule docker[] = {
		{ -1, -1, R | W | M, 'a', false }, { -1, -1, M, 'c', true },
		{ 1, 3, R | W | M, 'c', true },    { 5, 2, R | W, 'c', true },
		{ 136, -1, R | W | M, 'c', true }, { 136, 4, R, 'c', true },
	};
	static const struct oci_device_rule more[][2] = {
		{ { -1, -1, R | W | M, 'a', false }, { 10, 200, R, 'c', true } },
		{ { -1, -1, R | W | M, 'a', false }, { -1, -1, R, 'c', true } },
		{ { -1, -1, R | W | M, 'a', false }, { 1, 3, R, 'b', true } },
		{ { -1, -1, R | W, 'a', false }, { -1, -1, M, 'a', true } },
		{ { 1, 3, R, 'c', true }, { 1, 5, W, 'c', false } },
		{ { -1, -1, R | W | M, 'a', true }, { 1, 3, R, 'c', true } },
	};

	for (size_t n = 1; n <= ARRAY_SIZE(docker); n++)
		assert_true(device_filter_is_plain(docker, n));
	assert_true(device_filter_is_plain(docker + 1, ARRAY_SIZE(docker) - 1));
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		assert_false(device_filter_is_plain(more[i], 2));
	assert_false(device_filter_is_plain(NULL, 0));
	/* What is plain decides as no rules at all do. */
	for (unsigned int major = 0; major < 140; major++)
		for (unsigned int minor = 0; minor < 12; minor++)
			for (unsigned int access = 1; access < 8; access++)
				for (int block = 0; block < 2; block++)
					assert_int_equal(allowed(docker, ARRAY_SIZE(docker),
								 block ? 'b' : 'c', major, minor,
								 access),
							 allowed(NULL, 0, block ? 'b' : 'c', major,
								 minor, access));
}

static void test_allow_all(void **state)
{
	static const struct oci_device_rule all[] = { { -1, -1, R | W | M, 'a', false },
						      { -1, -1, R | W | M, 'a', true } };
	static const struct oci_device_rule but_one[] = { { -1, -1, R | W | M, 'a', true },
							  { 10, 3, R, 'c', false } };

	assert_true(device_filter_allows_all(NULL, 0));
	assert_true(device_filter_allows_all(all, 2));
	assert_false(device_filter_allows_all(all, 1));
	assert_false(device_filter_allows_all(but_one, 2));
	assert_true(allowed(but_one, 2, 'b', 9, 9, R | W));
	assert_false(allowed(but_one, 2, 'c', 10, 3, R));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_builtin),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_allow_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
