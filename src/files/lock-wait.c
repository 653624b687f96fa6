/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks that wait. Linux has no way to wait for one but to sit in the system
 * call, so each has a thread there, with a small stack, and a signal gets it
 * out again. The signal may come just before the call, so it is sent again
 * until the thread has ended.
 */
#include "files/lock-internal.h"

#include "base/thread.h"

#include <errno.h>
#include <signal.h>

enum { STACK_SIZE = 64 << 10, RESEND_MS = 2 };

struct lock_wait {
	struct lock_wait *next;
	struct lock_answers *answers;
	uint64_t unique;
	void *token;
	struct lock_action action;
	pthread_t thread;
	bool interrupted; /* under the lock of `answers` */
};

static void on_signal(int number)
{
	/* It is there to end a system call. */
}

void lock_answers_init(struct lock_answers *answers, void (*answer)(void *token, int error))
{
	const struct sigaction action = { .sa_handler = on_signal }; /* without SA_RESTART */

	*answers = (struct lock_answers){ .answer = answer };
	(void)pthread_mutex_init(&answers->lock, NULL);
	(void)pthread_cond_init(&answers->ended, NULL);
	(void)sigaction(SIGUSR1, &action, NULL);
}

static bool is_interrupted(struct lock_wait *wait)
{
	bool interrupted;

	(void)pthread_mutex_lock(&wait->answers->lock);
	interrupted = wait->interrupted;
	(void)pthread_mutex_unlock(&wait->answers->lock);
	return interrupted;
}

static void *run(void *argument)
{
	struct lock_wait *wait = argument, **at;
	struct lock_answers *answers = wait->answers;
	int r = -EINTR;

	while (r == -EINTR && !is_interrupted(wait))
		r = lock_apply(&wait->action, true);
	/* Before anybody learns that it has ended: with the descriptor go locks that nobody has. */
	cay_close_p(&wait->action.fd);
	answers->answer(wait->token, r);
	(void)pthread_mutex_lock(&answers->lock);
	for (at = &answers->waits; *at != wait; at = &(*at)->next)
		;
	*at = wait->next;
	answers->count--;
	(void)pthread_cond_broadcast(&answers->ended);
	(void)pthread_mutex_unlock(&answers->lock);
	free(wait);
	return NULL;
}

static bool was_interrupted(const struct lock_answers *answers, uint64_t unique)
{
	for (size_t i = 0; i < LOCK_INTERRUPTS_MAX; i++)
		if (answers->early[i] == unique)
			return true;
	return false;
}

/* With the lock held. */
static int start(struct lock_answers *answers, struct lock_wait *wait)
{
	if (was_interrupted(answers, wait->unique))
		return -EINTR;
	if (answers->count == LOCK_WAITS_MAX)
		return -ENOLCK;
	if (thread_start(STACK_SIZE, run, wait, &wait->thread) < 0)
		return -ENOLCK;
	(void)pthread_detach(wait->thread); /* it can't end before it gets the lock */
	wait->next = answers->waits;
	answers->waits = wait;
	answers->count++;
	return -EINPROGRESS;
}

int lock_wait(struct lock_answers *answers, uint64_t unique, void *token,
	      const struct lock_action *action)
{
	struct lock_wait *wait = calloc(1, sizeof(*wait));
	int r = -ENOLCK;

	if (wait) {
		*wait = (struct lock_wait){
			.answers = answers,
			.unique = unique,
			.token = token,
			.action = *action,
		};
		(void)pthread_mutex_lock(&answers->lock);
		r = start(answers, wait);
		(void)pthread_mutex_unlock(&answers->lock);
	}
	if (r != -EINPROGRESS) {
		(void)close(action->fd);
		free(wait);
	}
	return r;
}

static struct lock_wait *find(const struct lock_answers *answers, uint64_t unique)
{
	struct lock_wait *wait = answers->waits;

	while (wait && wait->unique != unique)
		wait = wait->next;
	return wait;
}

/* With the lock held, which is let go meanwhile: until the thread has ended. */
static void interrupt(struct lock_answers *answers, uint64_t unique)
{
	struct lock_wait *wait;

	while ((wait = find(answers, unique))) {
		wait->interrupted = true;
		(void)pthread_kill(wait->thread, SIGUSR1);
		thread_wait_ms(&answers->ended, &answers->lock, RESEND_MS);
	}
}

void lock_interrupt(struct lock_answers *answers, uint64_t unique)
{
	(void)pthread_mutex_lock(&answers->lock);
	if (find(answers, unique)) {
		interrupt(answers, unique);
	} else {
		answers->early[answers->early_next++ % LOCK_INTERRUPTS_MAX] = unique;
	}
	(void)pthread_mutex_unlock(&answers->lock);
}

void lock_answers_end(struct lock_answers *answers)
{
	(void)pthread_mutex_lock(&answers->lock);
	while (answers->waits)
		interrupt(answers, answers->waits->unique);
	/* Numbers begin anew with the next mount. */
	for (size_t i = 0; i < LOCK_INTERRUPTS_MAX; i++)
		answers->early[i] = 0;
	(void)pthread_mutex_unlock(&answers->lock);
}

void lock_answers_done(struct lock_answers *answers)
{
	lock_answers_end(answers);
	(void)pthread_cond_destroy(&answers->ended);
	(void)pthread_mutex_destroy(&answers->lock);
}
