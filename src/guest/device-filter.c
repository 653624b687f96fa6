/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules about devices as a BPF program. It loads type, access, major and
 * minor of the request into registers 2 to 5, then goes through the rules from
 * the last to the first: the first that matches decides. A rule that allows
 * must cover every access asked for; one that denies matches when it covers
 * any.
 */
#include "guest/device-filter.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#define ACCESS_ALL (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD)
#define PTS_MAJOR  136

/* Making nodes is allowed as opening them is what counts; the rest every container has. */
static const struct oci_device_rule builtin[] = {
	{ -1, -1, BPF_DEVCG_ACC_MKNOD, 'c', true },
	{ -1, -1, BPF_DEVCG_ACC_MKNOD, 'b', true },
	{ 1, 3, ACCESS_ALL, 'c', true },          /* null */
	{ 1, 5, ACCESS_ALL, 'c', true },          /* zero */
	{ 1, 7, ACCESS_ALL, 'c', true },          /* full */
	{ 1, 8, ACCESS_ALL, 'c', true },          /* random */
	{ 1, 9, ACCESS_ALL, 'c', true },          /* urandom */
	{ 5, 0, ACCESS_ALL, 'c', true },          /* tty */
	{ 5, 1, ACCESS_ALL, 'c', true },          /* console */
	{ 5, 2, ACCESS_ALL, 'c', true },          /* ptmx */
	{ PTS_MAJOR, -1, ACCESS_ALL, 'c', true }, /* pseudo-terminals */
};

/* Only these forms of instruction are used (linux/bpf.h, Documentation/bpf/instruction-set.rst). */
static struct bpf_insn load(int to, short offset)
{
	return (struct bpf_insn){ .code = BPF_LDX | BPF_W | BPF_MEM,
				  .dst_reg = to,
				  .src_reg = BPF_REG_1,
				  .off = offset };
}

static struct bpf_insn alu(int operation, int to, int value)
{
	return (struct bpf_insn){ .code = (__u8)(BPF_ALU | BPF_K | operation),
				  .dst_reg = to,
				  .imm = value };
}

static struct bpf_insn move(int to, int from)
{
	return (struct bpf_insn){ .code = BPF_ALU | BPF_X | BPF_MOV,
				  .dst_reg = to,
				  .src_reg = from };
}

static struct bpf_insn jump(int operation, int reg, int value, size_t offset)
{
	return (struct bpf_insn){ .code = (__u8)(BPF_JMP | BPF_K | operation),
				  .dst_reg = reg,
				  .off = (short)offset,
				  .imm = value };
}

static struct bpf_insn jump_reg(int operation, int reg, int other, size_t offset)
{
	return (struct bpf_insn){ .code = (__u8)(BPF_JMP | BPF_X | operation),
				  .dst_reg = reg,
				  .src_reg = other,
				  .off = (short)offset };
}

static const struct bpf_insn exit_insn = { .code = BPF_JMP | BPF_EXIT };

/*
 * Appends one rule; a check that fails jumps over the two instructions of its verdict. A rule that
 * always matches is two instructions long.
 */
static size_t add_rule(const struct oci_device_rule *rule, struct bpf_insn *to)
{
	struct bpf_insn checks[DEVICE_FILTER_PER_RULE];
	size_t n = 0;

	if (rule->type != 'a')
		checks[n++] = jump(BPF_JNE, BPF_REG_2,
				   rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0);
	if (rule->access != ACCESS_ALL) {
		checks[n++] = move(BPF_REG_1, BPF_REG_3);
		checks[n++] = alu(BPF_AND, BPF_REG_1, (int)rule->access);
		checks[n++] = rule->allow ? jump_reg(BPF_JNE, BPF_REG_1, BPF_REG_3, 0)
					  : jump(BPF_JEQ, BPF_REG_1, 0, 0);
	}
	if (rule->major >= 0)
		checks[n++] = jump(BPF_JNE, BPF_REG_4, (int)rule->major, 0);
	if (rule->minor >= 0)
		checks[n++] = jump(BPF_JNE, BPF_REG_5, (int)rule->minor, 0);
	for (size_t i = 0; i < n; i++) {
		if (BPF_CLASS(checks[i].code) == BPF_JMP)
			checks[i].off = (short)(n - i + 1);
		to[i] = checks[i];
	}
	to[n++] = alu(BPF_MOV, BPF_REG_0, rule->allow);
	to[n++] = exit_insn;
	return n;
}

size_t device_filter_builtin_count(void)
{
	return ARRAY_SIZE(builtin);
}

size_t device_filter_build(const struct oci_device_rule *rules, size_t count,
			   struct bpf_insn *program)
{
	size_t n = 0, added;

	/* access_type holds the type in its lower and the access in its upper half. */
	program[n++] = load(BPF_REG_2, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	program[n++] = move(BPF_REG_3, BPF_REG_2);
	program[n++] = alu(BPF_AND, BPF_REG_2, 0xffff);
	program[n++] = alu(BPF_RSH, BPF_REG_3, 16);
	program[n++] = load(BPF_REG_4, offsetof(struct bpf_cgroup_dev_ctx, major));
	program[n++] = load(BPF_REG_5, offsetof(struct bpf_cgroup_dev_ctx, minor));
	for (size_t i = ARRAY_SIZE(builtin); i > 0; i--)
		n += add_rule(&builtin[i - 1], program + n);
	for (size_t i = count; i > 0; i--) {
		added = add_rule(&rules[i - 1], program + n);
		n += added;
		if (added == 2)
			return n; /* the kernel refuses programs with a part that is never reached
				   */
	}
	program[n++] = alu(BPF_MOV, BPF_REG_0, 0);
	program[n++] = exit_insn;
	return n;
}

bool device_filter_allows_all(const struct oci_device_rule *rules, size_t count)
{
	for (size_t i = count; i > 0; i--) {
		const struct oci_device_rule *rule = &rules[i - 1];

		if (!rule->allow)
			return false;
		if (rule->type == 'a' && rule->major < 0 && rule->minor < 0 &&
		    rule->access == ACCESS_ALL)
			return true;
	}
	return count == 0; /* who gives no rules wants none */
}

static bool is_builtin(const struct oci_device_rule *rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtin); i++) {
		const struct oci_device_rule *ours = &builtin[i];

		if (ours->type == rule->type && (ours->major < 0 || ours->major == rule->major) &&
		    (ours->minor < 0 || ours->minor == rule->minor) &&
		    (rule->access & ~ours->access) == 0)
			return rule->allow;
	}
	return false;
}

bool device_filter_is_plain(const struct oci_device_rule *rules, size_t count)
{
	for (size_t i = count; i > 0; i--) {
		const struct oci_device_rule *rule = &rules[i - 1];

		if (!rule->allow && rule->type == 'a' && rule->major < 0 && rule->minor < 0 &&
		    rule->access == ACCESS_ALL)
			return true;
		if (!is_builtin(rule))
			return false;
	}
	return count > 0; /* who gives no rules wants none */
}

static int bpf(int command, union bpf_attr *attr)
{
	int r = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));

	return r < 0 ? -errno : r;
}

int device_filter_load(const struct oci_device_rule *rules, size_t count)
{
	_cleanup_free_ struct bpf_insn *program = xcalloc(
		DEVICE_FILTER_FIXED + DEVICE_FILTER_PER_RULE * (count + ARRAY_SIZE(builtin)),
		sizeof(*program));
	union bpf_attr attr = { 0 };

	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)program;
	attr.insn_cnt = (__u32)device_filter_build(rules, count, program);
	attr.license = (uintptr_t) "Apache-2.0"; /* no helper that asks for another is called */
	return bpf(BPF_PROG_LOAD, &attr);        /* the descriptor is CLOEXEC from birth */
}

int device_filter_attach(int cgroup_fd, const struct oci_device_rule *rules, size_t count,
			 int plain_fd, int *filter_fd, struct cay_error *err)
{
	union bpf_attr attr = { 0 };
	_cleanup_close_ int fd = -1;
	int r;

	attr.target_fd = (__u32)cgroup_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	if (device_filter_allows_all(rules, count)) {
		if (*filter_fd < 0)
			return 0;
		attr.attach_bpf_fd = (__u32)*filter_fd;
		r = bpf(BPF_PROG_DETACH, &attr);
		if (r < 0)
			return cay_error_errno(err, r, "lifting the rules about devices");
		(void)close(*filter_fd);
		*filter_fd = -1;
		return 0;
	}
	if (plain_fd >= 0 && device_filter_is_plain(rules, count))
		fd = fcntl(plain_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		fd = device_filter_load(rules, count);
	if (fd < 0)
		return cay_error_errno(err, fd, "loading the rules about devices");
	attr.attach_bpf_fd = (__u32)fd;
	attr.attach_flags = BPF_F_ALLOW_MULTI; /* so that a nested runtime may add its own */
	if (*filter_fd >= 0) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (__u32)*filter_fd;
	}
	r = bpf(BPF_PROG_ATTACH, &attr);
	if (r < 0)
		return cay_error_errno(err, r, "attaching the rules about devices");
	if (*filter_fd >= 0)
		(void)close(*filter_fd);
	*filter_fd = TAKE_FD(fd);
	return 0;
}
