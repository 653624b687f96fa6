/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other firewalls on the host. A packet passes only where every chain lets it
 * pass: one that our tables accept is still dropped where Docker or ufw has made
 * DROP the policy of iptables' FORWARD or INPUT. So where they have rules, ours
 * say that they need not care about our bridges; our own tables do.
 *
 * Docker promises to leave DOCKER-USER alone and to ask it first. What a guest
 * of ours sends to a bridge of Docker's goes on to Docker's own rules.
 */
#include "net/firewall-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

#include <errno.h>
#include <string.h>

enum { LISTING_MAX = 16 << 20 };

static const char *const programs[][2] = {
	{ "iptables", "iptables-restore" },
	{ "ip6tables", "ip6tables-restore" },
};

/* The lines of `text` from `at` on; NULL after the last. */
static struct str next_line(const char **at)
{
	const size_t length = strcspn(*at, "\n");
	const struct str line = { *at, length };

	*at += length + ((*at)[length] == '\n');
	return line;
}

static bool has_line(const char *listing, const char *wanted)
{
	while (*listing)
		if (str_equals(next_line(&listing), wanted))
			return true;
	return false;
}

/* Whether this chain may drop what our tables accept: by its policy, or by rules of others. */
static bool is_in_the_way(const char *listing, const char *chain, const char *mark)
{
	_cleanup_free_ char *open = xasprintf("-P %s ACCEPT", chain);
	_cleanup_free_ char *rule = xasprintf("-A %s ", chain);

	if (!has_line(listing, open))
		return true;
	while (*listing) {
		const struct str line = next_line(&listing);

		if (str_starts(line, rule) && !memmem(line.data, line.length, mark, strlen(mark)))
			return true;
	}
	return false;
}

/* Docker's own bridges: those whose packets its chain DOCKER is asked about. */
static void docker_bridges(const char *listing, struct strv *bridges)
{
	while (*listing) {
		const struct str line = next_line(&listing);
		_cleanup_free_ char *text = str_dup(line);
		char link[IFNAMSIZ];
		int end = 0;

		static_assert(IFNAMSIZ == 16, "the format below has its length");
		if (sscanf(text, "-A %*s -o %15s -j DOCKER%n", link, &end) == 1 && end > 0 &&
		    text[end] == '\0' && !strv_contains(bridges, link))
			strv_add(bridges, link);
	}
}

/* The rules about one bridge of ours. Each is put in at the top, the last one is asked first. */
static void rules_of(const char *link, const char *mark, const struct strv *docker,
		     const char *forward, bool input, struct strv *rules)
{
	static const char remark[] = "-m comment --comment";

	if (forward) {
		strv_addf(rules, "%s -o %s %s %s -j ACCEPT", forward, link, remark, mark);
		strv_addf(rules, "%s -i %s %s %s -j ACCEPT", forward, link, remark, mark);
		for (size_t i = 0; i < docker->count; i++)
			strv_addf(rules, "%s -i %s -o %s %s %s -j RETURN", forward, link,
				  docker->items[i], remark, mark);
	}
	if (input)
		strv_addf(rules, "INPUT -i %s %s %s -j ACCEPT", link, remark, mark);
}

/* The rules that shall be there, as iptables -S prints them. */
static void wanted_rules(const struct strv *bridges, const char *mark, const char *listing,
			 struct strv *rules)
{
	const bool input = is_in_the_way(listing, "INPUT", mark);
	_cleanup_strv_ struct strv docker = { 0 };
	const char *forward = NULL;

	if (has_line(listing, "-N DOCKER-USER")) {
		forward = "DOCKER-USER";
		docker_bridges(listing, &docker);
	} else if (is_in_the_way(listing, "FORWARD", mark)) {
		forward = "FORWARD";
	}
	for (size_t i = 0; i < bridges->count; i++)
		rules_of(bridges->items[i], mark, &docker, forward, input, rules);
}

/* What leads from the rules there are to those there shall be, for iptables-restore. */
static void plan(const char *listing, const char *mark, const struct strv *rules, struct buf *out)
{
	const char *at = listing;

	while (*at) {
		const struct str line = next_line(&at);
		_cleanup_free_ char *text = str_dup(line);

		if (str_starts(line, "-A ") && strstr(text, mark) &&
		    !strv_contains(rules, text + strlen("-A ")))
			buf_printf(out, "-D %s\n", text + strlen("-A "));
	}
	for (size_t i = 0; i < rules->count; i++) {
		_cleanup_free_ char *line = xasprintf("-A %s", rules->items[i]);

		if (!has_line(listing, line))
			buf_printf(out, "-I %s\n", rules->items[i]);
	}
}

static int apply(const char *program, const struct buf *changes, struct cay_error *err)
{
	_cleanup_free_ char *input = xasprintf("*filter\n%sCOMMIT\n", buf_text(changes));
	_cleanup_close_ int fd = memfd_with("cay-iptables", input, strlen(input));
	_cleanup_strv_ struct strv argv = { 0 };
	int r, status;
	pid_t pid;

	if (fd < 0)
		return cay_error_errno(err, fd, "can't make a memory file");
	strv_add(&argv, program);
	strv_add(&argv, "--wait=5");
	strv_add(&argv, "--noflush");
	const struct process_fd fds[] = { { fd, STDIN_FILENO } };
	const struct process_spec spec = { .argv = &argv, .fds = fds, .fd_count = ARRAY_SIZE(fds) };

	r = process_spawn(&spec, &pid, err);
	if (r < 0)
		return r;
	r = process_wait(pid, &status);
	if (r < 0)
		return cay_error_errno(err, r, "can't wait for %s", program);
	if (process_exit_code(status) != 0)
		return cay_error_set(err, CAY_INTERNAL, EIO, "%s ended with exit code %d", program,
				     process_exit_code(status));
	return 0;
}

static void update(const struct strv *bridges, const char *mark, const char *list,
		   const char *restore)
{
	_cleanup_buf_ struct buf listing = { 0 }, changes = { 0 };
	_cleanup_strv_ struct strv argv = { 0 }, rules = { 0 };
	struct cay_error err = { 0 };
	int r;

	strv_add(&argv, list);
	strv_add(&argv, "--wait=5");
	strv_add(&argv, "-S");
	r = process_run(&argv, LISTING_MAX, &listing, &err);
	if (r != 0) {
		/* Not installed, or its tables are not: nothing of it is in the way. */
		log_debug("%s is not in use: %s", list, r < 0 ? err.message : buf_text(&listing));
		return;
	}
	wanted_rules(bridges, mark, buf_text(&listing), &rules);
	plan(buf_text(&listing), mark, &rules, &changes);
	if (changes.length == 0)
		return;
	r = apply(restore, &changes, &err);
	if (r < 0)
		log_warning("can't tell %s about cay's networks, so that it may drop their "
			    "packets: %s",
			    list, err.message);
}

void firewall_foreign_update(struct firewall *firewall)
{
	const struct firewall_state *state = &firewall->state;
	_cleanup_strv_ struct strv bridges = { 0 };

	(void)pthread_mutex_lock(&firewall->foreign_mutex);
	(void)pthread_mutex_lock(&firewall->mutex);
	for (size_t i = 0; i < state->network_count; i++)
		if (!state->networks[i].lan)
			strv_add(&bridges, state->networks[i].link);
	(void)pthread_mutex_unlock(&firewall->mutex);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		update(&bridges, state->table, programs[i][0], programs[i][1]);
	firewall_firewalld_update(&bridges, &firewall->trusted);
	(void)pthread_mutex_unlock(&firewall->foreign_mutex);
}
