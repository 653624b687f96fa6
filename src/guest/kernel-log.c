/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's messages as text: each call reads /dev/kmsg through a descriptor of its own. */
#include "guest/kernel-log.h"

#include "guest/guest.h"

#include "base/alloc.h"
#include "rpc/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <vminitd.pb-c.h>

enum {
	RECORD_MAX = 8192,     /* the kernel's own (CONSOLE_EXT_LOG_MAX) */
	BATCH_MAX = 16 * 1024, /* text sent in one message */
};

struct reader {
	struct rpc_call *call;
	struct watch *watch;
	bool follow;
};

void kernel_log_format(const char *record, size_t size, struct buf *out)
{
	struct str rest = { record, size }, header, text, field;
	uint64_t microseconds;

	/* "priority,sequence,microseconds,flags[,...];text\n key=value\n..." */
	header = str_split(rest, ';', &rest);
	text = str_split(rest, '\n', &rest);
	(void)str_split(header, ',', &header);
	(void)str_split(header, ',', &header);
	field = str_split(header, ',', &header);
	if (str_to_u64(field, UINT64_MAX, &microseconds) < 0)
		return;
	buf_printf(out, "[%5llu.%06llu] ", (unsigned long long)(microseconds / 1000000),
		   (unsigned long long)(microseconds % 1000000));
	buf_append(out, text.data, text.length);
	buf_putc(out, '\n');
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct reader *reader = user;

	(void)call;
	(void)status;
	watch_close(reader->watch);
	free(reader);
}

/* Sends up to one batch: 1 when there may be more, 0 when there is none now, -errno. */
static int send_batch(struct reader *reader, bool *ret_writable)
{
	Cay__Vminitd__V1__KernelLogResponse response = CAY__VMINITD__V1__KERNEL_LOG_RESPONSE__INIT;
	_cleanup_buf_ struct buf text = { 0 };
	char record[RECORD_MAX];
	ssize_t n = 1;

	while (text.length < BATCH_MAX) {
		n = read(watch_fd(reader->watch), record, sizeof(record));
		if (n < 0 && errno == EPIPE)
			continue; /* overwritten before it was read; the next is the oldest */
		if (n <= 0)
			break;
		kernel_log_format(record, (size_t)n, &text);
	}
	if (n < 0 && errno != EAGAIN)
		return -errno;
	if (text.length > 0) {
		response.text.data = (uint8_t *)text.data;
		response.text.len = text.length;
		*ret_writable = rpc_call_send(reader->call, &response.base);
	}
	return n > 0;
}

static void pump(struct reader *reader)
{
	bool writable = true;
	int r = send_batch(reader, &writable);

	if (r <= 0 && (r < 0 || !reader->follow)) {
		watch_set(reader->watch, 0);
		rpc_call_finish(reader->call, NULL);
		return;
	}
	/* The descriptor stays readable while records are left, so the loop comes back. */
	watch_set(reader->watch, writable ? UV_READABLE : 0);
}

static void on_readable(struct watch *watch, int events, void *user)
{
	(void)watch;
	(void)events;
	pump(user);
}

static void on_writable(struct rpc_call *call, void *user)
{
	(void)call;
	pump(user);
}

void kernel_log_serve(struct guest *guest, struct rpc_call *call, bool follow)
{
	static const struct rpc_call_events events = { .on_writable = on_writable,
						       .on_end = on_end };
	struct reader *reader = xcalloc(1, sizeof(*reader));
	struct cay_error err;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), r;

	reader->call = call;
	reader->follow = follow;
	r = fd < 0 ? -errno : watch_new(&guest->loop, fd, on_readable, reader, &reader->watch);
	if (r < 0) {
		(void)cay_error_errno(&err, r, "opening the kernel's log");
		rpc_call_finish(call, &err);
		free(reader);
		return;
	}
	rpc_call_set_events(call, &events, reader);
	pump(reader);
}
