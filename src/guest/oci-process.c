/* SPDX-License-Identifier: Apache-2.0 */
/* The "process" object of the OCI configuration. */
#include "guest/oci-internal.h"

#include "guest/capability.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* The kernel's own limit on the bytes of arguments and environment comes on top. */
enum {
	ARGUMENTS_MAX = 65536,
	ENVIRONMENT_MAX = 65536,
	GROUPS_MAX = 65536, /* NGROUPS_MAX */
	RLIMITS_MAX = 64,
	CAPABILITIES_MAX = 64,
};

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
};

static const char *const capability_sets[] = {
	[OCI_CAP_BOUNDING] = "bounding",   [OCI_CAP_EFFECTIVE] = "effective",
	[OCI_CAP_PERMITTED] = "permitted", [OCI_CAP_INHERITABLE] = "inheritable",
	[OCI_CAP_AMBIENT] = "ambient",
};
static_assert(ARRAY_SIZE(capability_sets) == OCI_CAP_SETS, "a name for each set");

static int read_user(const json_t *json, struct oci_process *process, struct cay_error *err)
{
	json_t *user = NULL, *groups = NULL, *item;
	int64_t uid = 0, gid = 0;
	size_t index;
	int r = json_read_object(json, "user", &user, err);

	if (r < 0 || !user)
		return r;
	/* Of the 2^32 ids, the last means "no change" to the kernel. */
	if ((r = json_read_int(user, "uid", 0, UINT32_MAX - 1, &uid, err)) < 0 ||
	    (r = json_read_int(user, "gid", 0, UINT32_MAX - 1, &gid, err)) < 0 ||
	    (r = json_read_int(user, "umask", 0, 0777, &process->umask, err)) < 0 ||
	    (r = json_read_array(user, "additionalGids", &groups, err)) < 0)
		return r;
	process->uid = (uid_t)uid;
	process->gid = (gid_t)gid;
	if (!groups || json_array_size(groups) == 0)
		return 0;
	if (json_array_size(groups) > GROUPS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d groups", GROUPS_MAX);
	process->groups = xcalloc(json_array_size(groups), sizeof(*process->groups));
	json_array_foreach(groups, index, item) {
		json_int_t value = json_integer_value(item);

		if (!json_is_integer(item) || value < 0 || value >= UINT32_MAX)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"additionalGids\" holds something other than ids");
		process->groups[process->group_count++] = (gid_t)value;
	}
	return 0;
}

static int read_capabilities(const json_t *json, struct oci_process *process, struct cay_error *err)
{
	json_t *sets = NULL;
	int r = json_read_object(json, "capabilities", &sets, err);

	if (r < 0 || !sets)
		return r;
	process->has_capabilities = true;
	for (size_t set = 0; set < OCI_CAP_SETS; set++) {
		_cleanup_strv_ struct strv names = { 0 };

		r = json_read_strv(sets, capability_sets[set], CAPABILITIES_MAX, &names, err);
		if (r < 0)
			return r;
		for (size_t i = 0; i < names.count; i++) {
			int number = capability_from_name(names.items[i]);

			if (number < 0)
				return cay_error_set(err, CAY_INVALID, EINVAL,
						     "\"%s\" is no capability", names.items[i]);
			process->capabilities[set] |= UINT64_C(1) << number;
		}
	}
	return 0;
}

static int read_rlimit(const json_t *json, void *element, struct cay_error *err)
{
	struct oci_rlimit *limit = element;
	_cleanup_free_ char *name = NULL;
	int64_t soft = 0, hard = 0;
	int r;

	if ((r = json_read_string(json, "type", &name, err)) < 0 ||
	    (r = json_read_int(json, "soft", -1, INT64_MAX, &soft, err)) < 0 ||
	    (r = json_read_int(json, "hard", -1, INT64_MAX, &hard, err)) < 0)
		return r;
	limit->soft = (uint64_t)soft;
	limit->hard = (uint64_t)hard;
	if (limit->soft > limit->hard)
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s: soft is above hard",
				     name ? name : "");
	for (size_t i = 0; name && i < ARRAY_SIZE(rlimit_names); i++) {
		if (strcmp(name, rlimit_names[i].name) == 0) {
			limit->resource = rlimit_names[i].resource;
			return 0;
		}
	}
	return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is no resource", name ? name : "");
}

static int read_console_size(const json_t *json, struct oci_process *process, struct cay_error *err)
{
	json_t *size = NULL;
	int64_t width = 0, height = 0;
	int r = json_read_object(json, "consoleSize", &size, err);

	if (r < 0 || !size)
		return r;
	if ((r = json_read_int(size, "width", 0, UINT16_MAX, &width, err)) < 0 ||
	    (r = json_read_int(size, "height", 0, UINT16_MAX, &height, err)) < 0)
		return r;
	process->columns = (unsigned int)width;
	process->rows = (unsigned int)height;
	return 0;
}

void oci_process_defaults(struct oci_process *process)
{
	*process = (struct oci_process){ .umask = OCI_UNSET, .oom_score_adj = OCI_UNSET };
}

int oci_process_read(const json_t *json, struct oci_process *process, struct cay_error *err)
{
	int r;

	if (!json_is_object(json))
		return cay_error_set(err, CAY_INVALID, EINVAL, "it is not an object");
	if ((r = json_read_bool(json, "terminal", &process->terminal, err)) < 0 ||
	    (r = read_console_size(json, process, err)) < 0 ||
	    (r = read_user(json, process, err)) < 0 ||
	    (r = json_read_strv(json, "args", ARGUMENTS_MAX, &process->args, err)) < 0 ||
	    (r = json_read_strv(json, "env", ENVIRONMENT_MAX, &process->env, err)) < 0 ||
	    (r = json_read_string(json, "cwd", &process->cwd, err)) < 0 ||
	    (r = read_capabilities(json, process, err)) < 0 ||
	    (r = oci_read_objects(json, "rlimits", RLIMITS_MAX, sizeof(*process->rlimits),
				  read_rlimit, &process->rlimits, &process->rlimit_count, err)) <
		    0 ||
	    (r = json_read_bool(json, "noNewPrivileges", &process->no_new_privileges, err)) < 0 ||
	    (r = json_read_int(json, "oomScoreAdj", -1000, 1000, &process->oom_score_adj, err)) < 0)
		return r;
	if (process->args.count == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "no command is given");
	if (!process->cwd || process->cwd[0] == '\0')
		replace_string(&process->cwd, "/");
	return oci_check_absolute(process->cwd, "the working directory", err);
}

int oci_process_parse(const void *data, size_t size, struct oci_process *ret_process,
		      struct cay_error *err)
{
	static const char what[] = "the OCI process";
	_cleanup_oci_process_ struct oci_process process;
	_cleanup_json_ json_t *json = NULL;
	int r;

	oci_process_defaults(&process);
	r = json_parse(data, size, what, &json, err);
	if (r < 0)
		return r;
	r = oci_process_read(json, &process, err);
	if (r < 0)
		return cay_error_prefix(err, "%s", what);
	*ret_process = process;
	process = (struct oci_process){ 0 };
	return 0;
}

void oci_process_done(struct oci_process *process)
{
	strv_done(&process->args);
	strv_done(&process->env);
	free(process->cwd);
	free(process->groups);
	free(process->rlimits);
	*process = (struct oci_process){ 0 };
}
