/* SPDX-License-Identifier: Apache-2.0 */
/* The owners of locks: a list for each share, as few programs use locks and then few at once. */
#include "files/lock-internal.h"

#include "files/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

/* One who locks ranges of one file: the guest's "files of a process". */
struct lock_owner {
	struct lock_owner *next;
	uint64_t node, generation, owner;
	int fd; /* an open file description of its own, which has the locks */
};

void lock_table_init(struct lock_table *table, struct lock_answers *answers, struct places *places,
		     bool read_only)
{
	*table = (struct lock_table){
		.answers = answers,
		.places = places,
		.read_only = read_only,
	};
	(void)pthread_mutex_init(&table->lock, NULL);
}

void lock_table_done(struct lock_table *table)
{
	lock_release_all(table);
	(void)pthread_mutex_destroy(&table->lock);
}

static struct lock_owner **find_owner(struct lock_table *table, const struct node *node,
				      uint64_t owner)
{
	struct lock_owner **at = &table->owners;

	while (*at &&
	       ((*at)->node != node->id || (*at)->generation != node->generation ||
		(*at)->owner != owner))
		at = &(*at)->next;
	return at;
}

static void drop_owner(struct lock_table *table, struct lock_owner **at)
{
	struct lock_owner *owner = *at;

	*at = owner->next;
	table->count--;
	cay_close_p(&owner->fd);
	free(owner);
	places_give(table->places, PLACE_LOCK);
}

void lock_release_owner(struct lock_table *table, const struct node *node, uint64_t owner)
{
	struct lock_owner **at;

	(void)pthread_mutex_lock(&table->lock);
	at = find_owner(table, node, owner);
	if (*at)
		drop_owner(table, at);
	(void)pthread_mutex_unlock(&table->lock);
}

void lock_release_all(struct lock_table *table)
{
	(void)pthread_mutex_lock(&table->lock);
	while (table->owners)
		drop_owner(table, &table->owners);
	(void)pthread_mutex_unlock(&table->lock);
}

static int open_for_locks(const struct lock_table *table, const struct node *node)
{
	int fd = table->read_only ? -EACCES : node_open(node, O_RDWR);

	/* Locks for writing need a descriptor for writing, those for reading one for reading. */
	return fd >= 0 ? fd : node_open(node, O_RDONLY);
}

static int make_owner(struct lock_table *table, const struct node *node, uint64_t owner,
		      struct lock_owner **at)
{
	struct lock_owner *made;
	int fd;

	if (table->count == LOCK_OWNERS_MAX || places_take(table->places, PLACE_LOCK) < 0)
		return -ENOLCK;
	fd = open_for_locks(table, node);
	made = fd < 0 ? NULL : calloc(1, sizeof(*made));
	if (!made) {
		cay_close_p(&fd);
		places_give(table->places, PLACE_LOCK);
		return fd < 0 ? fd : -ENOLCK;
	}
	*made = (struct lock_owner){ NULL, node->id, node->generation, owner, fd };
	*at = made;
	table->count++;
	return 0;
}

/* A descriptor of the owner's, the caller's to close; made where `make` says so, else -ENOENT. */
static int owner_descriptor(struct lock_table *table, const struct node *node, uint64_t owner,
			    bool make)
{
	struct lock_owner **at = find_owner(table, node, owner);
	int r = 0, fd;

	if (!*at)
		r = make ? make_owner(table, node, owner, at) : -ENOENT;
	if (r < 0)
		return r;
	fd = fcntl((*at)->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int to_host(const struct fuse_file_lock *lock, struct flock *ret)
{
	if (lock->start > lock->end || lock->end > INT64_MAX ||
	    (lock->type != F_RDLCK && lock->type != F_WRLCK && lock->type != F_UNLCK))
		return -EINVAL;
	*ret = (struct flock){
		.l_type = (short)lock->type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)lock->start,
		.l_len = lock->end == INT64_MAX ? 0 : (off_t)(lock->end - lock->start + 1),
	};
	return 0;
}

int lock_test(struct lock_table *table, const struct node *node, uint64_t owner,
	      struct fuse_file_lock *lock)
{
	_cleanup_close_ int fd = -1;
	struct flock host;
	int r = to_host(lock, &host);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&table->lock);
	fd = owner_descriptor(table, node, owner, false);
	(void)pthread_mutex_unlock(&table->lock);
	if (fd == -ENOENT)
		fd = open_for_locks(table, node);
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_GETLK, &host) < 0)
		return -errno;
	/* A process of the host, or of another guest, has no number in this one. */
	*lock = (struct fuse_file_lock){ .type = (uint32_t)host.l_type };
	if (host.l_type != F_UNLCK) {
		lock->start = (uint64_t)host.l_start;
		lock->end = host.l_len == 0 ? INT64_MAX : (uint64_t)(host.l_start + host.l_len - 1);
	}
	return 0;
}

int lock_apply(const struct lock_action *action, bool wait)
{
	static const int whole[] = {
		[F_RDLCK] = LOCK_SH,
		[F_WRLCK] = LOCK_EX,
		[F_UNLCK] = LOCK_UN,
	};
	struct flock range = action->range;
	int r;

	if (action->whole)
		r = flock(action->fd, whole[range.l_type] | (wait ? 0 : LOCK_NB));
	else
		r = fcntl(action->fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range);
	if (r == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int lock_set(struct lock_table *table, const struct lock_request *request)
{
	struct lock_action action = { .fd = -1, .whole = request->whole };
	int r = to_host(&request->lock, &action.range);

	if (r < 0)
		return r;
	if (request->whole) {
		action.fd = fcntl(request->whole->fd, F_DUPFD_CLOEXEC, 0);
		if (action.fd < 0)
			return -errno;
	} else {
		(void)pthread_mutex_lock(&table->lock);
		action.fd = owner_descriptor(table, request->node, request->owner,
					     request->lock.type != F_UNLCK);
		(void)pthread_mutex_unlock(&table->lock);
		if (action.fd == -ENOENT)
			return 0; /* unlocked already */
		if (action.fd < 0)
			return action.fd;
	}
	r = lock_apply(&action, false);
	if (r == -EAGAIN && request->wait)
		return lock_wait(table->answers, request->unique, request->token, &action);
	cay_close_p(&action.fd);
	return r;
}
