/* SPDX-License-Identifier: Apache-2.0 */
/* QMP: the parser, then the client. */
#include "vmm/qmp.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "base/unix.h"

#include <errno.h>

/* ---- the parser ---- */

static int parse_line(const char *line, size_t size, json_t **ret_object, struct cay_error *err)
{
	_cleanup_json_ json_t *value = NULL;
	int r = json_parse(line, size, "a QMP message", &value, err);

	if (r < 0)
		return r;
	if (!json_is_object(value))
		return cay_error_set(err, CAY_INVALID, EPROTO, "a QMP message is not an object");
	*ret_object = TAKE_PTR(value);
	return 0;
}

static bool is_blank(const char *line, size_t size)
{
	while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\r'))
		size--;
	return size == 0;
}

int qmp_parser_feed(struct qmp_parser *parser, const void *data, size_t size,
		    bool (*each)(json_t *object, void *user), void *user, struct cay_error *err)
{
	const char *at = data, *end = at + size;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const size_t part = (size_t)((newline ? newline : end) - at);
		_cleanup_json_ json_t *object = NULL;
		int r = 0;

		if (parser->line.length + part > QMP_LINE_MAX)
			return cay_error_set(err, CAY_TOO_LARGE, EMSGSIZE,
					     "a QMP message is longer than %d bytes", QMP_LINE_MAX);
		buf_append(&parser->line, at, part);
		if (!newline)
			return 0;
		at = newline + 1;
		if (!is_blank(parser->line.data, parser->line.length))
			r = parse_line(parser->line.data, parser->line.length, &object, err);
		if (r < 0)
			return r;
		buf_clear(&parser->line);
		if (object && !each(object, user))
			return 0;
	}
	return 0;
}

void qmp_parser_done(struct qmp_parser *parser)
{
	buf_done(&parser->line);
}

/* ---- the client ---- */

enum { READ_SIZE = 4096 };

struct command {
	struct command *next;
	json_int_t id;
	void (*done)(json_t *result, const struct cay_error *err, void *user);
	void *user;
};

struct qmp {
	uv_pipe_t pipe;
	struct qmp_events events;
	void *user;
	struct qmp_parser parser;
	struct command *commands; /* sent and not answered */
	json_int_t last_id;
	struct cay_error why;
	char chunk[READ_SIZE];
};

/* One line under way to QEMU. */
struct line {
	uv_write_t request;
	char *text;
};

static void finish_command(struct command *command, json_t *result, const struct cay_error *err)
{
	if (command->done)
		command->done(result, err, command->user);
	free(command);
}

static void on_closed(uv_handle_t *handle)
{
	struct qmp *qmp = handle->data;

	while (qmp->commands) {
		struct command *command = qmp->commands;

		qmp->commands = command->next;
		finish_command(command, NULL, &qmp->why);
	}
	qmp->events.on_close(qmp, &qmp->why, qmp->user);
	qmp_parser_done(&qmp->parser);
	free(qmp);
}

static void end_connection(struct qmp *qmp, const struct cay_error *why)
{
	if (uv_is_closing((uv_handle_t *)&qmp->pipe))
		return;
	qmp->why = *why;
	uv_close((uv_handle_t *)&qmp->pipe, on_closed);
}

static void answer(struct qmp *qmp, struct command *command, json_t *object)
{
	json_t *result = json_object_get(object, "return");
	json_t *error = json_object_get(object, "error");
	const char *text = json_string_value(json_object_get(error, "desc"));
	struct cay_error err = { 0 };

	if (result) {
		finish_command(command, result, NULL);
		return;
	}
	(void)cay_error_set(&err, CAY_INTERNAL, EIO, "QEMU: %s", text ? text : "no reason given");
	finish_command(command, NULL, &err);
}

/* Each object is the greeting, an event, or an answer; what is none of these is passed over. */
static bool on_object(json_t *object, void *user)
{
	struct qmp *qmp = user;
	const char *event = json_string_value(json_object_get(object, "event"));
	json_t *id = json_object_get(object, "id"), *data = json_object_get(object, "data");

	if (event) {
		qmp->events.on_event(qmp, event, json_is_object(data) ? data : NULL, qmp->user);
	} else if (json_is_integer(id)) {
		for (struct command **link = &qmp->commands; *link; link = &(*link)->next) {
			struct command *command = *link;

			if (command->id != json_integer_value(id))
				continue;
			*link = command->next;
			answer(qmp, command, object);
			break;
		}
	}
	return !uv_is_closing((uv_handle_t *)&qmp->pipe);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret_buf)
{
	struct qmp *qmp = handle->data;

	*ret_buf = uv_buf_init(qmp->chunk, sizeof(qmp->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct qmp *qmp = stream->data;
	struct cay_error err = { 0 };

	if (n == 0)
		return;
	if (n < 0)
		(void)cay_error_set(&err, CAY_UNAVAILABLE, ECONNRESET, "QEMU closed QMP");
	else if (qmp_parser_feed(&qmp->parser, buf->base, (size_t)n, on_object, qmp, &err) == 0)
		return;
	end_connection(qmp, &err);
}

static void on_written(uv_write_t *request, int status)
{
	struct line *line = container_of(request, struct line, request);

	free(line->text);
	free(line);
}

/* Adds a command to those that wait for an answer; what is to be sent for it goes to `text`. */
static struct command *begin_command(struct qmp *qmp, const char *name, json_t *arguments,
				     struct buf *text)
{
	_cleanup_json_ json_t *object = json_object();
	struct command *command = xcalloc(1, sizeof(*command));

	command->id = ++qmp->last_id;
	json_set_string(object, "execute", name);
	if (arguments)
		json_set(object, "arguments", arguments);
	json_set_int(object, "id", command->id);
	json_print_to(object, text);
	buf_putc(text, '\n');
	command->next = qmp->commands;
	qmp->commands = command;
	return command;
}

void qmp_command(struct qmp *qmp, const char *name, json_t *arguments,
		 void (*done)(json_t *result, const struct cay_error *err, void *user), void *user)
{
	struct line *line = xmalloc(sizeof(*line));
	struct buf text = { 0 };
	struct command *command = begin_command(qmp, name, arguments, &text);
	uv_buf_t bytes = uv_buf_init(text.data, (unsigned int)text.length);

	command->done = done;
	command->user = user;
	line->text = text.data;
	/* A write that fails ends the connection, by which every command hears of it. */
	if (uv_write(&line->request, (uv_stream_t *)&qmp->pipe, &bytes, 1, on_written) < 0) {
		free(line->text);
		free(line);
	}
}

void qmp_command_fd(struct qmp *qmp, const char *name, json_t *arguments, int fd,
		    void (*done)(json_t *result, const struct cay_error *err, void *user),
		    void *user)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct command *command = begin_command(qmp, name, arguments, &text);
	uv_os_fd_t socket = -1;
	int r = uv_fileno((uv_handle_t *)&qmp->pipe, &socket);
	struct cay_error err = { 0 };

	command->done = done;
	command->user = user;
	/* Behind what waits to be written it would come too early. */
	if (r == 0 && uv_stream_get_write_queue_size((uv_stream_t *)&qmp->pipe) > 0)
		r = -EAGAIN;
	if (r == 0)
		r = unix_send_fd(socket, text.data, text.length, fd);
	if (r == 0)
		return;
	(void)cay_error_errno(&err, r, "sending a descriptor to QEMU");
	end_connection(qmp, &err);
}

struct qmp *qmp_new(uv_loop_t *loop, int fd, const struct qmp_events *events, void *user)
{
	struct qmp *qmp = xcalloc(1, sizeof(*qmp));

	qmp->events = *events;
	qmp->user = user;
	(void)uv_pipe_init(loop, &qmp->pipe, 0);
	qmp->pipe.data = qmp;
	if (uv_pipe_open(&qmp->pipe, fd) < 0 ||
	    uv_read_start((uv_stream_t *)&qmp->pipe, on_alloc, on_read) < 0)
		abort(); /* a socket of ours */
	qmp_command(qmp, "qmp_capabilities", NULL, NULL, NULL);
	return qmp;
}

void qmp_close(struct qmp *qmp)
{
	struct cay_error why = { 0 };

	(void)cay_error_set(&why, CAY_CANCELLED, ECANCELED, "QMP was closed");
	end_connection(qmp, &why);
}
