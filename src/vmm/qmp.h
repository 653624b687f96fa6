/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's machine protocol (QMP; its specification is docs/interop/qmp-spec in
 * QEMU's source): commands with ids and their answers, and events, one JSON
 * object a line. QEMU is not trusted here: a guest may have taken it over.
 *
 * Everything runs on the loop's thread and callbacks come from the loop only.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

enum { QMP_LINE_MAX = 256 * 1024 };

/* Splits what arrives into objects. Starts as all zeros. */
struct qmp_parser {
	struct buf line;
};
/*
 * Takes bytes in and hands every whole object to `each`, which borrows it; stops early when that
 * returns false. A line that is too long or no JSON object is an error, after which the parser is
 * of no more use.
 */
int qmp_parser_feed(struct qmp_parser *parser, const void *data, size_t size,
		    bool (*each)(json_t *object, void *user), void *user, struct cay_error *err);
void qmp_parser_done(struct qmp_parser *parser);

struct qmp;

struct qmp_events {
	/* "SHUTDOWN", "RESET", "GUEST_PANICKED", "STOP", …; data is NULL where there is none. */
	void (*on_event)(struct qmp *qmp, const char *name, json_t *data, void *user);
	/*
	 * The connection is over, by QEMU's end, a fault in what it sent, or qmp_close(); commands
	 * not answered have failed before. Comes once; the connection is gone when it returns.
	 */
	void (*on_close)(struct qmp *qmp, const struct cay_error *why, void *user);
};

/*
 * Speaks over the socket `fd`, which it takes over. Capabilities are negotiated by itself; commands
 * may be given at once and follow that.
 */
struct qmp *qmp_new(uv_loop_t *loop, int fd, const struct qmp_events *events, void *user);

/*
 * Sends a command; `arguments` (NULL: none) is taken over. `done` (may be NULL) comes once: with
 * the "return" value, borrowed, or NULL and an error: CAY_INTERNAL with QEMU's words, or why the
 * connection ended.
 */
void qmp_command(struct qmp *qmp, const char *name, json_t *arguments,
		 void (*done)(json_t *result, const struct cay_error *err, void *user), void *user);

/*
 * The same with a descriptor, of which QEMU gets a copy ("getfd", "add-fd"). It is sent at once:
 * where the socket has no room the connection ends.
 */
void qmp_command_fd(struct qmp *qmp, const char *name, json_t *arguments, int fd,
		    void (*done)(json_t *result, const struct cay_error *err, void *user),
		    void *user);

/* Ends it; on_close follows. */
void qmp_close(struct qmp *qmp);
