/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the system call filter of a container into this process. */
#include "guest/syscall-filter.h"

#include <errno.h>
#include <seccomp.h>

DEFINE_CLEANUP(scmp_filter_ctx, seccomp_release);

static int add_rule(scmp_filter_ctx filter, const struct oci_seccomp_rule *rule, int number)
{
	struct scmp_arg_cmp arguments[6];

	for (size_t i = 0; i < rule->argument_count; i++)
		arguments[i] = (struct scmp_arg_cmp){
			.arg = rule->arguments[i].index,
			.op = (enum scmp_compare)rule->arguments[i].operation,
			.datum_a = rule->arguments[i].value,
			.datum_b = rule->arguments[i].value_two,
		};
	return seccomp_rule_add_array(filter, rule->action, number,
				      (unsigned int)rule->argument_count, arguments);
}

static int add_rules(scmp_filter_ctx filter, const struct oci_seccomp *seccomp,
		     struct cay_error *err)
{
	for (size_t i = 0; i < seccomp->rule_count; i++) {
		const struct oci_seccomp_rule *rule = &seccomp->rules[i];

		if (rule->action == seccomp->default_action)
			continue; /* libseccomp refuses what would change nothing */
		for (size_t j = 0; j < rule->names.count; j++) {
			int number = seccomp_syscall_resolve_name(rule->names.items[j]);
			int r;

			if (number == __NR_SCMP_ERROR)
				continue;
			r = add_rule(filter, rule, number);
			if (r < 0)
				return cay_error_errno(err, r, "seccomp: adding %s",
						       rule->names.items[j]);
		}
	}
	return 0;
}

int syscall_filter_load(const struct oci_seccomp *seccomp, struct cay_error *err)
{
	_cleanup_(seccomp_release_p) scmp_filter_ctx filter = seccomp_init(seccomp->default_action);
	int r;

	if (!filter)
		return cay_error_errno(err, ENOMEM, "seccomp: making a filter");
	for (size_t i = 0; i < seccomp->architecture_count; i++) {
		r = seccomp_arch_add(filter, seccomp->architectures[i]);
		if (r < 0 && r != -EEXIST)
			return cay_error_errno(err, r, "seccomp: adding an architecture");
	}
	/* no_new_privs is the configuration's to decide, not libseccomp's. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	if (seccomp->log)
		(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	if (seccomp->spec_allow)
		(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	r = add_rules(filter, seccomp, err);
	if (r < 0)
		return r;
	r = seccomp_load(filter);
	if (r < 0)
		return cay_error_errno(err, r, "seccomp: loading the filter");
	return 0;
}
