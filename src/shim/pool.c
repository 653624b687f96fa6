/* SPDX-License-Identifier: Apache-2.0 */
/* Warming up, and the claim. */
#include "shim/pool.h"

#include "shim/shim.h"

#include "sandbox/call.h"
#include "sandbox/claim.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include "vminitd.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum {
	DELETE_TIMEOUT_MS = 30 * 1000,
	WARM_TIMEOUT_MS = 300 * 1000, /* for all of it, on a busy host at low priority */
};

struct pool {
	struct shim *shim;
	char *argument;
	uv_poll_t leash;
	uv_timer_t timer; /* while it warms up */
	unsigned int handles;
	struct sandbox_process *process; /* of the round that runs */
	unsigned int rounds;             /* that are over */
	bool warm;
	struct reply_list waiters;
	/* While it is being claimed. */
	struct reply *claim;
	char *config_path;
	struct sandbox_config *config;
	struct rpc_listener *listener;
};

/* ---- the end ---- */

static void fail(struct pool *pool, const struct cay_error *why)
{
	if (pool->shim->sandbox && !pool->shim->gone)
		sandbox_fail(pool->shim->sandbox, why); /* pool_lost() follows */
}

void pool_lost(struct pool *pool, const struct cay_error *why)
{
	sandbox_process_free(TAKE_PTR(pool->process));
	(void)uv_timer_stop(&pool->timer);
	if (pool->claim)
		reply_fail(TAKE_PTR(pool->claim), why);
	rpc_listener_close(TAKE_PTR(pool->listener));
	reply_list_fail(&pool->waiters, why);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct pool *pool = handle->data;

	if (--pool->handles == 0)
		free(pool);
}

/* It is no member of the pool any more. */
static void pool_free(struct pool *pool)
{
	(void)uv_poll_stop(&pool->leash);
	(void)close(POOL_LEASH_FD);
	free(pool->config_path);
	uv_close((uv_handle_t *)&pool->leash, on_handle_closed);
	uv_close((uv_handle_t *)&pool->timer, on_handle_closed);
}

/* ---- the leash ---- */

/* Nothing is ever written to it: it is readable when its other end is closed. */
static void on_leash(uv_poll_t *poll, int status, int events)
{
	struct pool *pool = poll->data;
	struct shim *shim = pool->shim;

	(void)uv_poll_stop(poll);
	log_info("the daemon has gone: ending the VM");
	shim->start_asked = true; /* nobody will ask how it ended */
	if (shim->sandbox && !shim->gone)
		sandbox_end(shim->sandbox, false);
}

static void on_timeout(uv_timer_t *timer)
{
	struct cay_error why = { 0 };

	(void)cay_error_set(&why, CAY_TIMEOUT, ETIMEDOUT,
			    "the VM was not warmed up within %d seconds", WARM_TIMEOUT_MS / 1000);
	fail(timer->data, &why);
}

int pool_new(struct shim *shim, char *argument, struct pool **ret_pool, struct cay_error *err)
{
	struct pool *pool;

	if (shim->config->container_count != 1)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "a member of the pool has one container to warm up with");
	if (fcntl(POOL_LEASH_FD, F_SETFD, FD_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "a member of the pool needs descriptor %d",
				       POOL_LEASH_FD);
	pool = xcalloc(1, sizeof(*pool));
	pool->shim = shim;
	pool->argument = argument;
	if (uv_poll_init(shim->loop, &pool->leash, POOL_LEASH_FD) < 0 ||
	    uv_poll_start(&pool->leash, UV_READABLE | UV_DISCONNECT, on_leash) < 0) {
		free(pool);
		return cay_error_set(err, CAY_INVALID, EINVAL, "descriptor %d can't be watched",
				     POOL_LEASH_FD);
	}
	(void)uv_timer_init(shim->loop, &pool->timer);
	pool->leash.data = pool->timer.data = pool;
	pool->handles = 2;
	*ret_pool = pool;
	return 0;
}

/* ---- warming up ---- */

static void begin_round(struct pool *pool);

static void on_deleted(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	const Cay__Shim__V1__WaitWarmResponse warm = CAY__SHIM__V1__WAIT_WARM_RESPONSE__INIT;
	struct pool *pool = user;

	if (!sandbox_conn(pool->shim->sandbox))
		return; /* pool_lost() comes */
	if (err) {
		fail(pool, err);
		return;
	}
	if (++pool->rounds < pool->shim->config->warm_rounds) {
		begin_round(pool);
		return;
	}
	(void)uv_timer_stop(&pool->timer);
	pool->warm = true;
	log_debug("warmed up");
	reply_list_send(&pool->waiters, &warm.base);
}

static void on_ended(struct sandbox_process *process, const struct sandbox_exit *end, void *user)
{
	Cay__Vminitd__V1__DeleteContainerRequest request =
		CAY__VMINITD__V1__DELETE_CONTAINER_REQUEST__INIT;
	struct pool *pool = user;
	struct shim *shim = pool->shim;
	struct cay_error why = { 0 };

	sandbox_process_free(TAKE_PTR(pool->process));
	if (end->code != 0) {
		(void)cay_error_set(&why, CAY_INTERNAL, ECHILD,
				    "the program that warms the VM up ended with status %d",
				    end->code);
		fail(pool, &why);
		return;
	}
	sandbox_rehearse_network(shim->sandbox, false);
	request.id = shim->config->containers[0].id;
	request.strict = true; /* the next disk would come under a file system that still lives */
	sandbox_call(sandbox_conn(shim->sandbox), "DeleteContainer", &request.base,
		     DELETE_TIMEOUT_MS, on_deleted, pool);
}

static void on_output(struct sandbox_process *process, enum sandbox_stream stream, const void *data,
		      size_t size, void *user)
{
	log_debug("warming up: %.*s", (int)MIN(size, (size_t)100), (const char *)data);
}

static void on_writable(struct sandbox_process *process, void *user)
{
	/* Nothing is written to it. */
}

static void on_started(struct sandbox_process *process, const struct cay_error *err, int pid,
		       int64_t started_ns, void *user)
{
	if (err)
		fail(user, err);
}

static void on_created(struct sandbox_process *process, const struct cay_error *err, void *user)
{
	if (err)
		fail(user, err);
	else
		sandbox_process_start(process, on_started);
}

static void begin_round(struct pool *pool)
{
	static const struct sandbox_process_events events = {
		.on_output = on_output,
		.on_writable = on_writable,
		.on_exit = on_ended,
	};
	const struct sandbox_process_spec spec = {
		.container = &pool->shim->config->containers[0],
	};

	sandbox_rehearse_network(pool->shim->sandbox, true);
	pool->process = sandbox_process_new(pool->shim->sandbox, &spec, &events, pool);
	sandbox_process_create(pool->process, on_created);
}

void pool_warm_up(struct pool *pool)
{
	(void)uv_timer_start(&pool->timer, on_timeout, WARM_TIMEOUT_MS, 0);
	begin_round(pool);
}

void pool_wait_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Shim__V1__WaitWarmResponse warm = CAY__SHIM__V1__WAIT_WARM_RESPONSE__INIT;
	struct shim *shim = user;
	struct cay_error err = { 0 };
	struct reply *reply = reply_new(call, &shim->open_calls);

	shim->start_asked = true;
	if (shim->gone) {
		reply_fail(reply, &shim->lost);
	} else if (!shim->pool) {
		(void)cay_error_set(&err, CAY_CONFLICT, EALREADY,
				    "sandbox %s does not wait for a container", shim->config->id);
		reply_fail(reply, &err);
	} else if (shim->pool->warm) {
		reply_send(reply, &warm.base);
	} else {
		reply_wait(reply, &shim->pool->waiters);
	}
}

/* ---- the claim ---- */

/* The container's own log, where the next words go; the member's is not looked at again. */
static void take_log(const char *config_path)
{
	_cleanup_free_ char *directory =
		xstrndup(config_path, (size_t)(path_last(config_path) - config_path));
	_cleanup_free_ char *path = path_join(directory, "shim.log");
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0600);

	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		log_warning("opening %s: %s", path, errno_text(errno));
}

/* ps(1) shows, and the daemon looks for, the configuration's path. */
static void show_path(char *argument, const char *path)
{
	const size_t room = strlen(argument);

	assert(strlen(path) <= room);
	(void)strncpy(argument, path, room); /* which fills the rest with zeros */
}

/* It is done: everything of the member's is forgotten. */
static void become(struct pool *pool)
{
	struct shim *shim = pool->shim;
	struct sandbox_config *before = shim->config;

	shim->config = TAKE_PTR(pool->config);
	rpc_listener_close(shim->listener);
	shim->listener = TAKE_PTR(pool->listener);
	take_log(pool->config_path);
	show_path(pool->argument, pool->config_path);
	shim->pool = NULL;
	shim->start_asked = false;
	shim->start = "pool";
	for (size_t i = 0; i < shim->config->container_count; i++)
		shim_process_save_state(shim_process_new(shim, &shim->config->containers[i], NULL));
	shim_mark(shim, &shim->times.vm_spawned);
	shim_mark(shim, &shim->times.guest_ready);
	pool_free(pool);
	sandbox_config_free(before);
}

static void on_claimed(struct sandbox *sandbox, const struct cay_error *err, void *user)
{
	const Cay__Shim__V1__ClaimResponse response = CAY__SHIM__V1__CLAIM_RESPONSE__INIT;
	struct pool *pool = user;
	struct shim *shim = pool->shim;
	struct reply *claim = TAKE_PTR(pool->claim);
	struct cay_error failure = { 0 };

	if (!claim)
		return; /* pool_lost() has answered */
	if (!err && shim->ports && ports_start(shim->ports, shim->loop, &failure) < 0)
		err = &failure;
	if (err) {
		log_error("the claim failed: %s", err->message);
		reply_fail(claim, err);
		fail(pool, err);
		return;
	}
	if (shim->sockets)
		sockets_start(shim->sockets, sandbox);
	become(pool);
	reply_send(claim, &response.base);
}

/* What can fail without the VM comes first. */
static int begin_claim(struct pool *pool, const char *path, struct cay_error *err)
{
	struct shim *shim = pool->shim;
	int r;

	if (!pool->warm || pool->config || !sandbox_conn(shim->sandbox))
		return cay_error_set(err, CAY_CONFLICT, EBUSY, "the VM can't be claimed now");
	if (strlen(path) > strlen(pool->argument))
		return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
				     "the path %s is longer than the one the shim was started with",
				     path);
	shim->begun_us = clock_monotonic_us();
	shim->begun_ns = clock_now_ns();
	shim->times = (struct shim_times){ 0 };
	pool->config_path = xstrdup(path);
	r = sandbox_config_load(path, &pool->config, err);
	if (r == 0)
		r = sandbox_claim_check(shim->config, pool->config, err);
	if (r == 0)
		r = shim_listen(shim, pool->config, &pool->listener, err);
	if (r == 0)
		r = shim_bind(shim, pool->config, err);
	if (r == 0)
		r = sandbox_claim(shim->sandbox, pool->config, on_claimed, pool, err);
	return r;
}

void pool_claim_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__ClaimRequest *request = (const void *)message;
	struct shim *shim = user;
	struct pool *pool = shim->pool;
	struct cay_error err = { 0 };

	shim->start_asked = true;
	if (shim->gone) {
		reply_fail(reply_new(call, &shim->open_calls), &shim->lost);
		return;
	}
	if (!pool || pool->claim) {
		(void)cay_error_set(&err, CAY_CONFLICT, EALREADY,
				    "sandbox %s has its container already", shim->config->id);
		rpc_call_finish(call, &err);
		return;
	}
	pool->claim = reply_new(call, &shim->open_calls);
	if (begin_claim(pool, request->config_path, &err) < 0) {
		log_error("the claim failed: %s", err.message);
		reply_fail(TAKE_PTR(pool->claim), &err);
		fail(pool, &err);
	}
}
