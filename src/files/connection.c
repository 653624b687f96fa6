/* SPDX-License-Identifier: Apache-2.0 */
/* The mount's beginning and end, and the way from a message to who answers it. */
#include "files/operation.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

int connection_init(struct connection *connection, const struct share_list *list, bool walled,
		    void (*later)(void *token, int error), struct cay_error *err)
{
	int r = 0;

	*connection = (struct connection){ .all_cached = true };
	places_init(&connection->places);
	lock_answers_init(&connection->answers, later);
	connection->sessions = xcalloc(list->count, sizeof(*connection->sessions));
	while (r == 0 && connection->count < list->count) {
		const struct share *share = &list->shares[connection->count];

		r = session_init(&connection->sessions[connection->count], share,
				 (unsigned int)connection->count, walled, &connection->places,
				 &connection->answers, err);
		connection->any_cached = connection->any_cached || share->cached;
		connection->all_cached = connection->all_cached && share->cached;
		connection->count += r == 0;
	}
	if (r < 0)
		connection_done(connection);
	return r;
}

void connection_done(struct connection *connection)
{
	lock_answers_done(&connection->answers);
	for (size_t i = 0; i < connection->count; i++)
		session_done(&connection->sessions[i]);
	free(connection->sessions);
}

void connection_interrupt_all(struct connection *connection)
{
	lock_answers_end(&connection->answers);
}

void *call_reply(struct call *call, size_t size)
{
	assert(size <= ANSWER_MAX);
	call->answer->size = size;
	return memset(call->answer->data, 0, size);
}

/* Those that are never answered, not even with an error. */
static bool is_silent(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

static int run(struct connection *connection, struct call *call)
{
	const struct fuse_in_header *header = call->message->header;
	int64_t share = session_share_of(header->nodeid);

	switch (header->opcode) {
	case FUSE_INIT:
		return op_init(call);
	case FUSE_DESTROY:
		return op_destroy(call);
	case FUSE_FORGET:
		return op_forget(call);
	case FUSE_BATCH_FORGET:
		return op_batch_forget(call);
	case FUSE_INTERRUPT:
		return op_interrupt(call);
	default:
		if (header->nodeid == FUSE_ROOT_ID)
			return op_root(call);
		if (share < 0 || share >= (int64_t)connection->count)
			return -ESTALE;
		return session_run(&connection->sessions[share], call);
	}
}

int connection_handle(struct connection *connection, struct identity *identity,
		      const struct request *request, struct answer *answer)
{
	struct message message = { 0 };
	struct call call = {
		.connection = connection,
		.identity = identity,
		.message = &message,
		.written = &request->written,
		.answer = answer,
	};
	int r = message_parse(request->bytes, request->held, request->size, &message);

	if (!message.header)
		return -EPROTO;
	answer->size = 0;
	answer->placed = answer->later = false;
	answer->silent = is_silent(message.header->opcode);
	if (r == 0)
		r = run(connection, &call);
	answer->error = r;
	if (r < 0)
		answer->size = 0;
	return 0;
}
