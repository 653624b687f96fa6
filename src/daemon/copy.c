/* SPDX-License-Identifier: Apache-2.0 */
/* A container's files looked at. Taking out and putting in are copy-out.c's and copy-in.c's. */
#include "daemon/copy.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/lifecycle.h"
#include "daemon/shim.h"

#include <errno.h>
#include <sys/stat.h>

enum {
	STAT_MS = 60000,
	ENDING_MS = 3000,
	CHANGES_MAX = 4 * 1000 * 1000,
	CHANGES_BYTES_MAX = 512 * 1024 * 1024, /* of their paths: a guest may tell of any number */
};

/* ---- stat ---- */

void copy_stat_done(struct copy_stat *stat)
{
	free(stat->name);
	free(stat->link_target);
	*stat = (struct copy_stat){ 0 };
}

/* The bits of package os, of Go's documentation. */
uint32_t copy_go_mode(uint32_t mode)
{
	static const struct {
		uint32_t type, bits;
	} types[] = {
		{ S_IFDIR, UINT32_C(1) << 31 }, { S_IFLNK, UINT32_C(1) << 27 },
		{ S_IFBLK, UINT32_C(1) << 26 }, { S_IFCHR, UINT32_C(1) << 26 | UINT32_C(1) << 21 },
		{ S_IFIFO, UINT32_C(1) << 25 }, { S_IFSOCK, UINT32_C(1) << 24 },
	};
	uint32_t result = mode & 0777;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((mode & S_IFMT) == types[i].type)
			result |= types[i].bits;
	result |= (mode & S_ISUID) ? UINT32_C(1) << 23 : 0;
	result |= (mode & S_ISGID) ? UINT32_C(1) << 22 : 0;
	result |= (mode & S_ISVTX) ? UINT32_C(1) << 20 : 0;
	return result;
}

char *copy_stat_header(const struct copy_stat *stat)
{
	_cleanup_json_ json_t *object = json_object();
	_cleanup_free_ char *text = NULL;
	char mtime[CLOCK_TEXT_MAX];

	clock_format_utc(stat->mtime_ns, mtime);
	json_set_string(object, "name", stat->name);
	json_set_int(object, "size", stat->size);
	json_set_int(object, "mode", copy_go_mode(stat->mode));
	json_set_string(object, "mtime", mtime);
	json_set_string(object, "linkTarget", stat->link_target);
	text = json_print(object);
	return base64_encode(text, strlen(text), false);
}

/* The guest knows of the end some moments before the daemon does, and then its shim is gone. */
bool copy_was_cut(const struct files_use *use, const struct cay_error *err)
{
	if (!use->container || use->vm)
		return false;
	if (err->code != CAY_UNAVAILABLE && err->code != CAY_CONFLICT &&
	    err->code != CAY_CANCELLED && err->err != ECHILD)
		return false;
	return container_wait_down(use->container, use->exits, ENDING_MS);
}

int copy_look(struct files_use *use, const char *path, struct copy_stat *ret_stat,
	      struct cay_error *err)
{
	Cay__Vminitd__V1__StatPathRequest request = CAY__VMINITD__V1__STAT_PATH_REQUEST__INIT;
	_cleanup_(message_free_p) ProtobufCMessage *message = NULL;
	const Cay__Vminitd__V1__StatPathResponse *answer;
	int r;

	request.container_id = use->container->id;
	request.path = (char *)path;
	r = shim_guest_call(use->container, "StatPath", &request.base, STAT_MS, &message, err);
	if (r < 0)
		return r;
	answer = (const Cay__Vminitd__V1__StatPathResponse *)message;
	*ret_stat = (struct copy_stat){
		.name = xstrdup(answer->name),
		.size = answer->size,
		.mode = answer->mode,
		.mtime_ns = answer->mtime_ns,
		.link_target = xstrdup(answer->link_target),
	};
	return 0;
}

/* ---- changes ---- */

struct changes {
	json_t *array; /* NULL before the first */
	size_t bytes;
	bool too_many;
};

static bool on_change(const ProtobufCMessage *message, void *user)
{
	const Cay__Vminitd__V1__Change *change = (const Cay__Vminitd__V1__Change *)message;
	struct changes *changes = user;
	json_t *item;

	changes->bytes += strlen(change->path);
	changes->too_many = changes->bytes > CHANGES_BYTES_MAX ||
		json_array_size(changes->array) >= CHANGES_MAX;
	if (changes->too_many)
		return false;
	if (!changes->array)
		changes->array = json_array();
	item = json_object();
	json_set_string(item, "Path", change->path);
	json_set_int(item, "Kind", MIN(change->kind, 2U));
	(void)json_array_append_new(changes->array, item);
	return true;
}

int copy_changes(struct files_use *use, int gone_fd, json_t **ret_changes, struct cay_error *err)
{
	Cay__Vminitd__V1__ChangesRequest request = CAY__VMINITD__V1__CHANGES_REQUEST__INIT;
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	struct changes changes = { 0 };
	int r = shim_connect(use->container, &client, err);

	request.container_id = use->container->id;
	if (r == 0)
		r = rpc_client_stream(client, &cay__vminitd__v1__vminitd__descriptor, "Changes",
				      &request.base, gone_fd, on_change, &changes, err);
	if (r == 0 && changes.too_many)
		r = cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				  "container %.12s has more changes than can be told",
				  use->container->id);
	if (r < 0)
		json_decref(changes.array);
	else
		*ret_changes = changes.array;
	return r;
}
