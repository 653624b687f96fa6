/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel tells about a container: processes killed for lack of
 * memory (memory.events), stalls for lack of memory (a trigger on
 * memory.pressure, Documentation/accounting/psi.rst), and whether it is frozen
 * (cgroup.events). All of them show as POLLPRI.
 */
#include "guest/container-internal.h"

#include "guest/guest.h"

#include "base/log.h"
#include "rpc/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Stalled for 150 ms within one second: well before things stand still. */
#define PRESSURE_TRIGGER "some 150000 1000000"

/* A trigger is a kernel thread of its own; who runs for less than this does without. */
enum { PRESSURE_DELAY_MS = 1000 };

enum { TEXT_MAX = 4096 };

/* Reading through the watched descriptor is also what arms it for the next change. */
static bool read_again(struct watch *watch, char text[TEXT_MAX])
{
	ssize_t n = pread(watch_fd(watch), text, TEXT_MAX - 1, 0);

	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

static void on_oom(struct watch *watch, int events, void *user)
{
	struct container *container = user;
	Cay__Vminitd__V1__OomEvent oom = CAY__VMINITD__V1__OOM_EVENT__INIT;
	Cay__Vminitd__V1__Event event = CAY__VMINITD__V1__EVENT__INIT;
	char text[TEXT_MAX];
	uint64_t kills = 0;

	(void)events;
	if (!read_again(watch, text)) {
		watch_close(TAKE_PTR(container->oom_watch)); /* the group is gone */
		return;
	}
	(void)cgroup_number(text, "oom_kill", &kills); /* stays 0 where absent */
	if (kills <= container->oom_kills)
		return;
	oom.kills = kills - container->oom_kills;
	container->oom_kills = kills;
	event.container_id = container->id;
	event.what_case = CAY__VMINITD__V1__EVENT__WHAT_OOM;
	event.oom = &oom;
	events_emit(&container->guest->events, &event);
}

/* "some avg10=12.34 avg60=..." */
static uint32_t average(const char *text)
{
	const char *at = strstr(text, "avg10=");
	uint64_t percent = 0;

	if (at)
		(void)cgroup_single(at + strlen("avg10="), &percent); /* stays 0 where absent */
	return (uint32_t)MIN(percent, 100);
}

static void on_pressure(struct watch *watch, int events, void *user)
{
	struct container *container = user;
	Cay__Vminitd__V1__MemoryPressureEvent pressure =
		CAY__VMINITD__V1__MEMORY_PRESSURE_EVENT__INIT;
	Cay__Vminitd__V1__Event event = CAY__VMINITD__V1__EVENT__INIT;
	char text[TEXT_MAX];

	(void)events;
	if (!read_again(watch, text)) {
		watch_close(TAKE_PTR(container->pressure_watch));
		return;
	}
	pressure.some_avg10_percent = average(text);
	event.container_id = container->id;
	event.what_case = CAY__VMINITD__V1__EVENT__WHAT_MEMORY_PRESSURE;
	event.memory_pressure = &pressure;
	events_emit(&container->guest->events, &event);
}

static void answer_pause(struct container *container)
{
	/* Both answers are empty. */
	Cay__Vminitd__V1__PauseContainerResponse paused =
		CAY__VMINITD__V1__PAUSE_CONTAINER_RESPONSE__INIT;
	Cay__Vminitd__V1__ResumeContainerResponse resumed =
		CAY__VMINITD__V1__RESUME_CONTAINER_RESPONSE__INIT;

	held_reply_all(&container->pausing, container->want_paused ? &paused.base : &resumed.base);
}

static void on_state(struct watch *watch, int events, void *user)
{
	struct container *container = user;
	char text[TEXT_MAX];
	uint64_t frozen = 0;

	(void)events;
	if (!read_again(watch, text) || !cgroup_number(text, "frozen", &frozen)) {
		watch_close(TAKE_PTR(container->state_watch));
		return;
	}
	if ((frozen != 0) == container->want_paused)
		answer_pause(container);
}

void container_pause(struct container *container, bool paused, struct rpc_call *call)
{
	struct cay_error err = { 0 };
	int r;

	if (container->state != CONTAINER_RUNNING && container->state != CONTAINER_CREATED) {
		(void)cay_error_set(&err, CAY_CONFLICT, EINVAL, "container %s is not running",
				    container->id);
	} else if (!TAILQ_EMPTY(&container->pausing) && container->want_paused != paused) {
		(void)cay_error_set(&err, CAY_CONFLICT, EBUSY, "container %s is being %s",
				    container->id, paused ? "resumed" : "paused");
	} else if ((r = cgroup_freeze(&container->cgroup, paused)) < 0) {
		(void)cay_error_errno(&err, r, "%s container %s", paused ? "pausing" : "resuming",
				      container->id);
	}
	if (err.code != CAY_OK) {
		rpc_call_finish(call, &err);
		return;
	}
	container->want_paused = paused;
	held_add(&container->pausing, call);
	if (container->state_watch)
		on_state(container->state_watch, 0, container);
}

static struct watch *watch_file(struct container *container, const char *file, const char *trigger,
				void (*ready)(struct watch *watch, int events, void *user))
{
	struct watch *watch = NULL;
	char text[TEXT_MAX];
	int fd = openat(container->cgroup.fd, file,
			(trigger ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && trigger && write(fd, trigger, strlen(trigger) + 1) < 0) {
		(void)close(fd);
		fd = -1;
	}
	/* A kernel without the feature has no such file; then its events are not told. */
	if (fd < 0 || watch_new(&container->guest->loop, fd, ready, container, &watch) < 0)
		return NULL;
	(void)read_again(watch, text); /* only to arm it */
	watch_set(watch, UV_PRIORITIZED);
	return watch;
}

void container_watch(struct container *container)
{
	container->oom_watch = watch_file(container, "memory.events", NULL, on_oom);
	container->state_watch = watch_file(container, "cgroup.events", NULL, on_state);
}

static void watch_pressure(uv_timer_t *timer)
{
	struct container *container = container_of(timer, struct container, timer);

	if (container->state == CONTAINER_RUNNING)
		container->pressure_watch =
			watch_file(container, "memory.pressure", PRESSURE_TRIGGER, on_pressure);
}

void container_watch_pressure(struct container *container)
{
	(void)uv_timer_start(&container->timer, watch_pressure, PRESSURE_DELAY_MS, 0);
}

void container_unwatch(struct container *container)
{
	(void)uv_timer_stop(&container->timer); /* always 0 */
	watch_close(TAKE_PTR(container->oom_watch));
	watch_close(TAKE_PTR(container->state_watch));
	watch_close(TAKE_PTR(container->pressure_watch));
}
