/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process runs as, worked out from the container's own /etc/passwd and /etc/group. */
#include "guest/user.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
	FILE_MAX = 1024 * 1024,
	GROUPS_MAX = 65536, /* NGROUPS_MAX */
};
/* Docker's bound for numbers a person gives. */
#define ID_MAX INT32_MAX

struct passwd_line {
	struct str name, home;
	uint32_t uid, gid;
};

struct group_line {
	struct str name, members;
	uint32_t gid;
};

static struct str next_line(struct str *rest)
{
	return str_split(*rest, '\n', rest);
}

static int to_id(struct str text, uint32_t *ret)
{
	uint64_t number;

	if (str_to_u64(text, UINT32_MAX - 1, &number) < 0)
		return -EINVAL;
	*ret = (uint32_t)number;
	return 0;
}

/* name:password:uid:gid:comment:home:shell */
static bool parse_passwd_line(struct str line, struct passwd_line *ret)
{
	struct str uid, gid;

	ret->name = str_split(line, ':', &line);
	(void)str_split(line, ':', &line);
	uid = str_split(line, ':', &line);
	gid = str_split(line, ':', &line);
	(void)str_split(line, ':', &line);
	ret->home = str_split(line, ':', &line);
	return ret->name.length > 0 && to_id(uid, &ret->uid) == 0 && to_id(gid, &ret->gid) == 0;
}

/* name:password:gid:member,member */
static bool parse_group_line(struct str line, struct group_line *ret)
{
	struct str gid;

	ret->name = str_split(line, ':', &line);
	(void)str_split(line, ':', &line);
	gid = str_split(line, ':', &line);
	ret->members = str_split(line, ':', &line);
	return ret->name.length > 0 && to_id(gid, &ret->gid) == 0;
}

/* The first line with this name, or else (`number` given) with this uid. */
static bool find_user(struct str passwd, struct str name, const uint32_t *number,
		      struct passwd_line *ret)
{
	while (passwd.length > 0) {
		struct passwd_line line;

		if (!parse_passwd_line(next_line(&passwd), &line))
			continue;
		if (str_equal(line.name, name) || (number && line.uid == *number)) {
			*ret = line;
			return true;
		}
	}
	return false;
}

static bool find_group(struct str group, struct str name, const uint32_t *number, uint32_t *ret)
{
	while (group.length > 0) {
		struct group_line line;

		if (!parse_group_line(next_line(&group), &line))
			continue;
		if (str_equal(line.name, name) || (number && line.gid == *number)) {
			*ret = line.gid;
			return true;
		}
	}
	return false;
}

static bool is_member(struct str members, struct str name)
{
	while (members.length > 0)
		if (str_equal(str_split(members, ',', &members), name))
			return true;
	return false;
}

static bool has_group(const struct user *user, gid_t gid)
{
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == gid)
			return true;
	return false;
}

int user_add_group(struct user *user, gid_t gid)
{
	size_t count = user->group_count;

	if (count >= GROUPS_MAX)
		return -E2BIG;
	/* Powers of two, so that a long file does not mean a copy for each group. */
	if ((count & (count - 1)) == 0)
		user->groups =
			xreallocarray(user->groups, count ? 2 * count : 1, sizeof(*user->groups));
	user->groups[user->group_count++] = gid;
	return 0;
}

static int not_found(const char *what, struct str name, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EINVAL,
			     "unable to find %s %.*s: no matching entries in %s file", what,
			     (int)MIN(name.length, 256), name.data,
			     strcmp(what, "user") == 0 ? "passwd" : "group");
}

/* Whether `text` is a number a person may give; -ERANGE for one outside docker's bounds. */
static int given_number(struct str text, uint32_t *ret_number, struct cay_error *err)
{
	uint64_t number;
	int r = str_to_u64(text, ID_MAX, &number);

	if (r == -ERANGE)
		return cay_error_set(err, CAY_INVALID, ERANGE,
				     "uids and gids must be in range 0-%d", ID_MAX);
	if (r < 0)
		return 0;
	*ret_number = (uint32_t)number;
	return 1;
}

int user_add_groups(struct user *user, const struct strv *additional, struct str group,
		    struct cay_error *err)
{
	for (size_t i = 0; additional && i < additional->count; i++) {
		struct str name = str_from(additional->items[i]);
		uint32_t number = 0, gid;
		int is_number = given_number(name, &number, err);

		if (is_number < 0)
			return is_number;
		if (!find_group(group, name, is_number ? &number : NULL, &gid)) {
			if (!is_number)
				return not_found("group", name, err);
			gid = number;
		}
		if (!has_group(user, gid) && user_add_group(user, gid) < 0)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d groups",
					     GROUPS_MAX);
	}
	return 0;
}

/*
 * The further groups of a user for whom no group was given. A group that is listed twice is added
 * twice, which the kernel takes: looking for it in a long file would cost the square of its lines.
 */
static int add_memberships(struct str name, struct str group, struct user *user,
			   struct cay_error *err)
{
	while (group.length > 0) {
		struct group_line line;

		if (!parse_group_line(next_line(&group), &line) || !is_member(line.members, name))
			continue;
		if (user_add_group(user, line.gid) < 0)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d groups",
					     GROUPS_MAX);
	}
	return 0;
}

static int resolve(struct str name, struct str group_name, const struct strv *additional,
		   struct str passwd, struct str group, struct user *user, struct cay_error *err)
{
	struct passwd_line line = { .home = STR("/") };
	uint32_t number = 0, gid;
	bool found;
	int r, is_number = 0;

	if (name.length == 0)
		is_number = 1;
	else if ((is_number = given_number(name, &number, err)) < 0)
		return is_number;
	found = find_user(passwd, name, is_number ? &number : NULL, &line);
	if (!found && !is_number)
		return not_found("user", name, err);
	user->uid = found ? line.uid : number;
	user->gid = found ? line.gid : 0;
	user->home = line.home.length > 0 ? str_dup(line.home) : xstrdup("/");
	if (group_name.length > 0) {
		is_number = given_number(group_name, &number, err);
		if (is_number < 0)
			return is_number;
		if (!find_group(group, group_name, is_number ? &number : NULL, &gid)) {
			if (!is_number)
				return not_found("group", group_name, err);
			gid = number;
		}
		user->gid = gid;
	}
	/*
	 * The group itself is one of the further ones: else a program that changes its group would
	 * no longer be denied what that group is denied.
	 */
	(void)user_add_group(user, user->gid); /* there is room for the first */
	if (group_name.length == 0 && found) {
		r = add_memberships(line.name, group, user, err);
		if (r < 0)
			return r;
	}
	return user_add_groups(user, additional, group, err);
}

int user_resolve(const char *spec, const struct strv *additional, struct str passwd,
		 struct str group, struct user *ret_user, struct cay_error *err)
{
	_cleanup_user_ struct user user = { 0 };
	struct str group_name, name = str_split(str_from(spec), ':', &group_name);
	int r = resolve(name, group_name, additional, passwd, group, &user, err);

	if (r < 0)
		return r;
	*ret_user = user;
	user = (struct user){ 0 };
	return 0;
}

char *user_home(uid_t uid, struct str passwd)
{
	struct passwd_line line;
	uint32_t number = uid;

	if (find_user(passwd, (struct str){ "", 0 }, &number, &line) && line.home.length > 0)
		return str_dup(line.home);
	return xstrdup("/");
}

void user_done(struct user *user)
{
	free(user->groups);
	free(user->home);
	*user = (struct user){ 0 };
}

int user_read_file(const char *path, struct buf *out, struct cay_error *err)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (root < 0)
		return cay_error_errno(err, errno, "opening the container's root");
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "opening the container's %s", path);
	if (!S_ISREG(st.st_mode))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the container's %s is not a regular file", path);
	return fd_read(fd, path, FILE_MAX, out, err);
}
