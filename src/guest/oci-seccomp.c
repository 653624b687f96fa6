/* SPDX-License-Identifier: Apache-2.0 */
/* The "linux.seccomp" object of the OCI configuration, in libseccomp's terms. */
#include "guest/oci-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>

enum {
	RULES_MAX = 2048,
	NAMES_MAX = 1024,
	ARGUMENTS_MAX = 6, /* of a system call */
	ARCHITECTURES_MAX = 32,
	FLAGS_MAX = 16,
};

static const struct {
	const char *name;
	uint32_t action; /* an errno is added to those that take one */
} actions[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
};

static const struct {
	const char *name;
	int operation;
} operations[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

/* Architectures that can run on the guest's kernel; the others of a list are left out. */
static const struct {
	const char *name;
	uint32_t architecture;
} architectures[] = {
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86 },         { "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32 },         { "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
};

static int read_action(const json_t *json, const char *action_key, const char *errno_key,
		       uint32_t *ret_action, struct cay_error *err)
{
	_cleanup_free_ char *name = NULL;
	int64_t number = EPERM;
	int r;

	if ((r = json_read_string(json, action_key, &name, err)) < 0 ||
	    (r = json_read_int(json, errno_key, 0, UINT16_MAX, &number, err)) < 0)
		return r;
	for (size_t i = 0; name && i < ARRAY_SIZE(actions); i++) {
		if (strcmp(name, actions[i].name) != 0)
			continue;
		*ret_action = actions[i].action;
		if (*ret_action == SCMP_ACT_ERRNO(0) || *ret_action == SCMP_ACT_TRACE(0))
			*ret_action |= (uint32_t)number;
		return 0;
	}
	return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is no action", name ? name : "");
}

static int read_argument(const json_t *json, void *element, struct cay_error *err)
{
	struct oci_seccomp_argument *argument = element;
	_cleanup_free_ char *name = NULL;
	int64_t index = 0, value = 0, value_two = 0;
	int r;

	if ((r = json_read_int(json, "index", 0, ARGUMENTS_MAX - 1, &index, err)) < 0 ||
	    (r = json_read_int(json, "value", INT64_MIN, INT64_MAX, &value, err)) < 0 ||
	    (r = json_read_int(json, "valueTwo", INT64_MIN, INT64_MAX, &value_two, err)) < 0 ||
	    (r = json_read_string(json, "op", &name, err)) < 0)
		return r;
	argument->index = (unsigned int)index;
	argument->value = (uint64_t)value;
	argument->value_two = (uint64_t)value_two;
	for (size_t i = 0; name && i < ARRAY_SIZE(operations); i++) {
		if (strcmp(name, operations[i].name) == 0) {
			argument->operation = operations[i].operation;
			return 0;
		}
	}
	return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is no comparison", name ? name : "");
}

static int read_rule(const json_t *json, void *element, struct cay_error *err)
{
	struct oci_seccomp_rule *rule = element;
	int r;

	if ((r = json_read_strv(json, "names", NAMES_MAX, &rule->names, err)) < 0 ||
	    (r = read_action(json, "action", "errnoRet", &rule->action, err)) < 0)
		return r;
	return oci_read_objects(json, "args", ARGUMENTS_MAX, sizeof(*rule->arguments),
				read_argument, &rule->arguments, &rule->argument_count, err);
}

static int read_architectures(const json_t *json, struct oci_seccomp *seccomp,
			      struct cay_error *err)
{
	_cleanup_strv_ struct strv names = { 0 };
	int r = json_read_strv(json, "architectures", ARCHITECTURES_MAX, &names, err);

	if (r < 0)
		return r;
	seccomp->architectures = xcalloc(names.count + 1, sizeof(*seccomp->architectures));
	for (size_t i = 0; i < names.count; i++)
		for (size_t j = 0; j < ARRAY_SIZE(architectures); j++)
			if (strcmp(names.items[i], architectures[j].name) == 0)
				seccomp->architectures[seccomp->architecture_count++] =
					architectures[j].architecture;
	return 0;
}

static int read_flags(const json_t *json, struct oci_seccomp *seccomp, struct cay_error *err)
{
	_cleanup_strv_ struct strv flags = { 0 };
	int r = json_read_strv(json, "flags", FLAGS_MAX, &flags, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < flags.count; i++) {
		if (strcmp(flags.items[i], "SECCOMP_FILTER_FLAG_LOG") == 0)
			seccomp->log = true;
		else if (strcmp(flags.items[i], "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
			seccomp->spec_allow = true;
		else if (strcmp(flags.items[i], "SECCOMP_FILTER_FLAG_TSYNC") != 0)
			return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
					     "the flag \"%s\" is not supported", flags.items[i]);
	}
	return 0;
}

int oci_seccomp_read(const json_t *json, struct oci_seccomp **ret_seccomp, struct cay_error *err)
{
	struct oci_seccomp *seccomp = xcalloc(1, sizeof(*seccomp));
	int r;

	if ((r = read_action(json, "defaultAction", "defaultErrnoRet", &seccomp->default_action,
			     err)) < 0 ||
	    (r = read_architectures(json, seccomp, err)) < 0 ||
	    (r = read_flags(json, seccomp, err)) < 0 ||
	    (r = oci_read_objects(json, "syscalls", RULES_MAX, sizeof(*seccomp->rules), read_rule,
				  &seccomp->rules, &seccomp->rule_count, err)) < 0) {
		oci_seccomp_free(seccomp);
		return r;
	}
	*ret_seccomp = seccomp;
	return 0;
}

void oci_seccomp_free(struct oci_seccomp *seccomp)
{
	if (!seccomp)
		return;
	for (size_t i = 0; i < seccomp->rule_count; i++) {
		strv_done(&seccomp->rules[i].names);
		free(seccomp->rules[i].arguments);
	}
	free(seccomp->rules);
	free(seccomp->architectures);
	free(seccomp);
}
