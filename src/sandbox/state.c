/* SPDX-License-Identifier: Apache-2.0 */
/* A container's state file: a small JSON object, replaced whole at each step. */
#include "sandbox/state.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>

enum { STATE_FILE_MAX = 64 * 1024, EXIT_CODE_MAX = 255 };

static const char *const status_names[] = {
	[SANDBOX_CREATED] = "created",
	[SANDBOX_RUNNING] = "running",
	[SANDBOX_PAUSED] = "paused",
	[SANDBOX_EXITED] = "exited",
};

static char *print_state(const struct sandbox_state *state)
{
	_cleanup_json_ json_t *root = json_object();

	json_set_string(root, "status", status_names[state->status]);
	json_set_int(root, "shim_pid", state->shim_pid);
	json_set_int(root, "vm_pid", state->vm_pid);
	json_set_int(root, "started_ns", state->started_ns);
	json_set_int(root, "finished_ns", state->finished_ns);
	json_set_int(root, "exit_code", state->exit_code);
	json_set_bool(root, "oom_killed", state->oom_killed);
	json_set_string(root, "error", state->error);
	return json_print(root);
}

int sandbox_state_save(const char *path, const struct sandbox_state *state, struct cay_error *err)
{
	_cleanup_free_ char *text = print_state(state);

	return file_write_atomic(path, text, strlen(text), 0600, err);
}

int sandbox_state_note(const char *path, const struct sandbox_state *state, struct cay_error *err)
{
	_cleanup_free_ char *text = print_state(state);

	return file_write_volatile(path, text, strlen(text), 0600, err);
}

static int find_status(const char *name, enum sandbox_status *ret_status)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(status_names); i++)
		if (strcmp(name, status_names[i]) == 0) {
			*ret_status = (enum sandbox_status)i;
			return 0;
		}
	return -EINVAL;
}

/* Reads one number; every one of them is required. */
static bool read_number(const json_t *root, const char *key, int64_t max, int64_t *ret_value)
{
	*ret_value = -1;
	return json_read_int(root, key, 0, max, ret_value, NULL) == 0 && *ret_value >= 0;
}

static bool read_state(const json_t *root, struct sandbox_state *state)
{
	_cleanup_free_ char *status = NULL, *error = NULL;
	int64_t shim_pid, vm_pid, exit_code;

	if (!json_is_object(root) || json_read_string(root, "status", &status, NULL) < 0 ||
	    find_status(status, &state->status) < 0 ||
	    !read_number(root, "shim_pid", INT32_MAX, &shim_pid) ||
	    !read_number(root, "vm_pid", INT32_MAX, &vm_pid) ||
	    !read_number(root, "started_ns", INT64_MAX, &state->started_ns) ||
	    !read_number(root, "finished_ns", INT64_MAX, &state->finished_ns) ||
	    !read_number(root, "exit_code", EXIT_CODE_MAX, &exit_code) ||
	    json_read_bool(root, "oom_killed", &state->oom_killed, NULL) < 0 ||
	    json_read_string(root, "error", &error, NULL) < 0)
		return false;
	state->shim_pid = (pid_t)shim_pid;
	state->vm_pid = (pid_t)vm_pid;
	state->exit_code = (int)exit_code;
	(void)snprintf(state->error, sizeof(state->error), "%s", error ? error : "");
	return true;
}

int sandbox_state_load(const char *path, struct sandbox_state *ret_state, struct cay_error *err)
{
	struct sandbox_state state = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_json_ json_t *root = NULL;
	struct cay_error cause = { 0 };
	int r = file_read(path, STATE_FILE_MAX, &text, err);

	if (r < 0)
		return r;
	if (json_parse(buf_text(&text), text.length, path, &root, &cause) < 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s", cause.message);
	if (!read_state(root, &state))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s is not a container's state",
				     path);
	*ret_state = state;
	return 0;
}
