/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU in front of a real cay-files: what it says in its turn, and what it should not. */
#include "files-client.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>

static struct client client;
static struct scratch scratch;

static int start(void **state)
{
	scratch_make(&scratch);
	put_file(&scratch, "a", "contents");
	client_start(&client, (const char *[]){ "rw", scratch.tree, NULL });
	return 0;
}

static int stop(void **state)
{
	assert_int_equal(client_stop(&client), 0);
	scratch_remove(&scratch);
	return 0;
}

/* Stops a queue; where it has come to. */
static uint16_t stop_queue(struct client *of, unsigned int index)
{
	const struct vhost_vring_state state = { index, 0 };
	struct vhost_message answer;

	assert_true(front_say(&of->front, VHOST_GET_VRING_BASE, &state, sizeof(state), NULL, 0));
	assert_int_equal(vhost_receive(of->front.socket, &answer), 1);
	assert_int_equal(answer.header.flags, VHOST_VERSION | VHOST_REPLY);
	assert_int_equal(answer.state.index, index);
	return (uint16_t)answer.state.num;
}

/* The VM is stopped and goes on: nothing is lost, and what was asked meanwhile is answered then. */
static void test_stop_and_go(void **state)
{
	uint64_t unique;

	for (unsigned int i = 0; i < 20; i++) {
		uint16_t base;

		assert_true(client_lookup(&client, 1, "a") > 1);
		base = stop_queue(&client, FRONT_REQUESTS);
		assert_int_equal(base, client.front.queues[FRONT_REQUESTS].avail->idx);
		assert_int_equal(base, client.front.queues[FRONT_REQUESTS].used->idx);
		unique = client_send(&client, 0, FUSE_STATFS, 1, NULL, 0, NULL, 0);
		/* Two answers to QEMU later nobody has looked at it. */
		assert_int_equal(stop_queue(&client, FRONT_REQUESTS), base);
		assert_int_equal(client.front.queues[FRONT_REQUESTS].used->idx, base);
		assert_true(front_start_queue(&client.front, FRONT_REQUESTS, base));
		assert_true(client_receive(&client));
		assert_int_equal(client.header.unique, unique);
	}
}

/* The driver is bound anew: rings from the beginning, and a mount that knows nothing of before. */
static void test_reset(void **state)
{
	uint64_t handle = client_open(&client, client_lookup(&client, 1, "a"), O_RDONLY);

	for (unsigned int i = 0; i < FRONT_QUEUES; i++) {
		struct front_queue *queue = &client.front.queues[i];

		(void)stop_queue(&client, i);
		queue->avail->idx = queue->used->idx = queue->used_seen = 0;
		memset(queue->taken, 0, sizeof(queue->taken));
		assert_true(front_start_queue(&client.front, i, 0));
	}
	assert_int_equal(client_init(&client), 0);
	assert_int_equal(client_read(&client, handle, 0, 10), -EBADF);
	assert_true(client_lookup(&client, 1, "a") > 1);
}

/* A lock that is waited for does not keep QEMU waiting. */
static void test_stop_while_waiting(void **state)
{
	struct fuse_lk_in in = { .owner = 1, .lk = { .end = 10, .type = F_WRLCK } };
	int64_t node = client_lookup(&client, 1, "a");
	uint64_t unique;

	in.fh = client_open(&client, node, O_RDWR);
	assert_int_equal(
		client_call(&client, 0, FUSE_SETLK, (uint64_t)node, &in, sizeof(in), NULL, 0), 0);
	in.owner = 2;
	unique = client_send(&client, 0, FUSE_SETLKW, (uint64_t)node, &in, sizeof(in), NULL, 0);
	/* It has been taken once what came behind it is answered. */
	assert_int_equal(client_read(&client, in.fh, 0, 10), 0);
	/* The other queue is no reason to end it. */
	(void)stop_queue(&client, FRONT_HIPRIO);
	assert_int_equal(client_read(&client, in.fh, 0, 10), 0);
	(void)stop_queue(&client, FRONT_REQUESTS);
	assert_true(client_receive(&client));
	assert_int_equal(client.header.unique, unique);
	assert_int_equal(client.header.error, -EINTR);
}

/* Waits for the guest's interrupt of a queue, and clears it. */
static void await_call(const struct front_queue *queue)
{
	struct pollfd wait = { .fd = queue->call_fd, .events = POLLIN };
	uint64_t count;

	assert_int_equal(poll(&wait, 1, 10000), 1);
	assert_int_equal(read(queue->call_fd, &count, sizeof(count)), sizeof(count));
}

/* That a FORGET was taken is told in the end, whatever else is going on. */
static void test_silence(void **state)
{
	struct front_queue *queue = &client.front.queues[FRONT_HIPRIO];
	const struct fuse_forget_in in = { .nlookup = 1 };
	uint32_t length;

	for (unsigned int i = 0; i < 20; i++) {
		(void)client_send(&client, 0, FUSE_FORGET, 77, &in, sizeof(in), NULL, 0);
		for (unsigned int k = 0; k < i % 3; k++)
			assert_int_equal(client_call(&client, 0, FUSE_STATFS, 1, NULL, 0, NULL, 0),
					 0);
		await_call(queue);
		while (front_take(&client.front, FRONT_HIPRIO, &length) >= 0)
			;
	}
	/* As many as fit, and requests that leave no time between them. */
	for (unsigned int i = 0; i < FRONT_SLOTS / 2; i++) {
		int slot = front_find_slot(&client.front, FRONT_HIPRIO);

		assert_true(slot >= 0);
		*(struct fuse_in_header *)front_message(&client.front, FRONT_HIPRIO,
							(unsigned int)slot) =
			(struct fuse_in_header){ .len = 48, .opcode = FUSE_FORGET };
		front_send(&client.front, FRONT_HIPRIO, (unsigned int)slot, 48, 0);
	}
	for (unsigned int told = 0; told == 0;) {
		struct pollfd wait = { .fd = queue->call_fd, .events = POLLIN };

		assert_int_equal(client_call(&client, 0, FUSE_STATFS, 1, NULL, 0, NULL, 0), 0);
		told = poll(&wait, 1, 0) == 1;
	}
}

/*
 * Who is about to wait again, or has just begun to, misses nothing, whether it is told or not; and
 * of requests that follow each other it need not be told.
 */
static void test_looking(void **state)
{
	const struct front_queue *queue = &client.front.queues[FRONT_REQUESTS];
	enum { REQUESTS = 4000, PAUSE_MAX_US = 250 };

	for (unsigned int i = 0; i < REQUESTS; i++) {
		const int64_t end_us = clock_monotonic_us() + i % PAUSE_MAX_US;

		assert_int_equal(client_call(&client, 0, FUSE_STATFS, 1, NULL, 0, NULL, 0), 0);
		while (clock_monotonic_us() < end_us)
			;
	}
	assert_in_range(queue->kicks, 1, REQUESTS - 1);
}

struct saying {
	const struct front *front;
	atomic_bool done;
};

static void *say_memory(void *argument)
{
	struct saying *saying = argument;

	while (!atomic_load(&saying->done))
		if (!front_say_memory(saying->front))
			break;
	return NULL;
}

/* The memory is announced anew while requests are under way. */
static void test_memory_moves(void **state)
{
	struct saying saying = { &client.front, false };
	uint64_t handle = client_open(&client, client_lookup(&client, 1, "a"), O_RDONLY);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, say_memory, &saying), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		assert_int_equal(client_read(&client, handle, 0, 8), 0);
		assert_memory_equal(client.data, "contents", 8);
	}
	atomic_store(&saying.done, true);
	(void)pthread_join(thread, NULL);
}

static void test_features(void **state)
{
	struct vhost_message answer;
	const struct {
		uint32_t request;
		uint64_t number;
	} asked[] = {
		{ VHOST_GET_FEATURES,
		  UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
			  UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
			  UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES },
		{ VHOST_GET_PROTOCOL_FEATURES,
		  1 << VHOST_PROTOCOL_F_MQ | 1 << VHOST_PROTOCOL_F_REPLY_ACK },
		{ VHOST_GET_QUEUE_NUM, FRONT_QUEUES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		assert_true(front_say(&client.front, asked[i].request, NULL, 0, NULL, 0));
		assert_int_equal(vhost_receive(client.front.socket, &answer), 1);
		assert_int_equal(answer.header.request, asked[i].request);
		assert_int_equal(answer.header.size, sizeof(uint64_t));
		assert_int_equal(answer.number, asked[i].number);
	}
}

/* One thing that QEMU should not say, to a device that works. */
struct bad_message {
	const char *what;
	uint32_t request, size;
	uint32_t body[4];
	unsigned int fds;
};

static void test_bad_messages(void **state)
{
	const struct bad_message messages[] = {
		{ "no message", 0, 0, { 0 }, 0 },
		{ "one that nobody knows", 4711, 0, { 0 }, 0 },
		{ "one that is not ours", 21, 0, { 0 }, 0 },
		{ "a long one", VHOST_SET_FEATURES, 4096, { 0 }, 0 },
		{ "a short one", VHOST_SET_FEATURES, 4, { 0 }, 0 },
		{ "features that were not offered", VHOST_SET_FEATURES, 8, { ~0U, ~0U }, 0 },
		{ "the same of the protocol", VHOST_SET_PROTOCOL_FEATURES, 8, { ~0U, ~0U }, 0 },
		{ "a queue that is not there", VHOST_SET_VRING_ENABLE, 8, { 2, 1 }, 0 },
		{ "another one", VHOST_GET_VRING_BASE, 8, { ~0U, 0 }, 0 },
		{ "a size for one that runs", VHOST_SET_VRING_NUM, 8, { 1, 8 }, 0 },
		{ "a base for one that runs", VHOST_SET_VRING_BASE, 8, { 1, 0 }, 0 },
		{ "half enabled", VHOST_SET_VRING_ENABLE, 8, { 1, 2 }, 0 },
		{ "a kick without its eventfd", VHOST_SET_VRING_KICK, 8, { 1, 0 }, 0 },
		{ "a call without its eventfd", VHOST_SET_VRING_CALL, 8, { 1, 0 }, 0 },
		{ "a call that is a file", VHOST_SET_VRING_CALL, 8, { 1, 0 }, 1 },
		{ "two for one", VHOST_SET_VRING_CALL, 8, { 1, 0 }, 2 },
		{ "one where there is none", VHOST_SET_VRING_CALL, 8, { 0x101, 0 }, 1 },
		{ "descriptors for nothing", VHOST_SET_FEATURES, 8, { 0, 0 }, 1 },
		{ "more than there may be", VHOST_SET_MEM_TABLE, 8, { 0, 0 }, 9 },
		{ "regions that don't follow", VHOST_SET_MEM_TABLE, 8, { 1, 0 }, 1 },
		{ "a million regions", VHOST_SET_MEM_TABLE, 8, { 1000000, 0 }, 1 },
		{ "no memory for the queues", VHOST_SET_MEM_TABLE, 8, { 0, 0 }, 0 },
	};
	int fds[16];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = client.front.memory_fd;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct bad_message *message = &messages[i];
		uint8_t body[4096] = { 0 };
		struct client bad;

		client_start(&bad, (const char *[]){ "rw", scratch.tree, NULL });
		memcpy(body, message->body, sizeof(message->body));
		(void)front_say(&bad.front, message->request, body, message->size, fds,
				message->fds);
		if (client_receive(&bad) || client_stop(&bad) != 1)
			fail_msg("%s", message->what);
	}
}

/* Another version of the protocol. */
static void test_version(void **state)
{
	const uint32_t header[3] = { VHOST_GET_FEATURES, 2, 0 };
	struct client bad;

	client_start(&bad, (const char *[]){ "rw", scratch.tree, NULL });
	assert_int_equal(write(bad.front.socket, header, sizeof(header)), sizeof(header));
	assert_false(client_receive(&bad));
	assert_int_equal(client_stop(&bad), 1);
}

/* Memory that is not the size that was said ends this server by a signal, and no other. */
static void test_truncated_memory(void **state)
{
	struct client cut;
	int status = 0;

	client_start(&cut, (const char *[]){ "rw", scratch.tree, NULL });
	assert_int_equal(ftruncate(cut.front.memory_fd, 0), 0);
	assert_int_equal(eventfd_write(cut.front.queues[FRONT_REQUESTS].kick_fd, 1), 0);
	assert_int_equal(process_wait(cut.pid, &status), 0);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	front_done(&cut.front);
	/* Ours goes on. */
	assert_true(client_lookup(&client, 1, "a") > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stop_and_go, start, stop),
		cmocka_unit_test_setup_teardown(test_reset, start, stop),
		cmocka_unit_test_setup_teardown(test_stop_while_waiting, start, stop),
		cmocka_unit_test_setup_teardown(test_memory_moves, start, stop),
		cmocka_unit_test_setup_teardown(test_silence, start, stop),
		cmocka_unit_test_setup_teardown(test_looking, start, stop),
		cmocka_unit_test_setup_teardown(test_features, start, stop),
		cmocka_unit_test_setup_teardown(test_bad_messages, start, stop),
		cmocka_unit_test_setup_teardown(test_version, start, stop),
		cmocka_unit_test_setup_teardown(test_truncated_memory, start, stop),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("files-device", tests, NULL, NULL);
}
