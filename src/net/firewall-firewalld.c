/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewalld: it refuses what comes from links that are in no zone that allows
 * it, so our bridges go into its zone "trusted", whose packets it lets pass;
 * what they may is for our own tables to say. Only its running configuration
 * is changed. Asked by busctl, which is there wherever systemd is.
 *
 * firewalld.dbus(5)
 */
#include "net/firewall-internal.h"

#include "base/log.h"
#include "base/process.h"

#include <string.h>

enum { ANSWER_MAX = 1 << 20 };

#define ZONE "trusted"

/* 0 when it answered. A host without firewalld, or without D-Bus, is one that does not. */
static int ask(const char *method, const char *signature, const char *first, const char *second,
	       struct buf *answer)
{
	static const char *const command[] = { "busctl",
					       "--system",
					       "--auto-start=no",
					       "--timeout=5",
					       "call",
					       "org.fedoraproject.FirewallD1",
					       "/org/fedoraproject/FirewallD1",
					       "org.fedoraproject.FirewallD1.zone" };
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(command); i++)
		strv_add(&argv, command[i]);
	strv_add(&argv, method);
	strv_add(&argv, signature);
	strv_add(&argv, first);
	if (second)
		strv_add(&argv, second);
	buf_clear(answer);
	return process_run(&argv, ANSWER_MAX, answer, &err);
}

/* Names come back as: as 2 "cayb0123456789" "eth1". */
static bool has_link(const struct buf *answer, const char *link)
{
	char quoted[IFNAMSIZ + 2];

	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", link);
	return strstr(buf_text(answer), quoted) != NULL;
}

static void add_missing(const struct strv *bridges, const struct buf *zone, struct strv *trusted)
{
	_cleanup_buf_ struct buf answer = { 0 };

	for (size_t i = 0; i < bridges->count; i++) {
		const char *link = bridges->items[i];

		if (!has_link(zone, link) &&
		    ask("changeZoneOfInterface", "ss", ZONE, link, &answer) != 0) {
			log_warning("firewalld does not take the bridge %s into its zone " ZONE
				    ", so that it may drop its packets: %.200s",
				    link, buf_text(&answer));
			continue;
		}
		if (!strv_contains(trusted, link))
			strv_add(trusted, link);
	}
}

static void remove_old(const struct strv *bridges, const struct buf *zone, struct strv *trusted)
{
	_cleanup_strv_ struct strv kept = { 0 };
	_cleanup_buf_ struct buf answer = { 0 };

	for (size_t i = 0; i < trusted->count; i++) {
		const char *link = trusted->items[i];

		if (strv_contains(bridges, link))
			strv_add(&kept, link);
		else if (has_link(zone, link) &&
			 ask("removeInterface", "ss", ZONE, link, &answer) != 0)
			log_warning("firewalld keeps the bridge %s in its zone " ZONE ": %.200s",
				    link, buf_text(&answer));
	}
	strv_copy(trusted, &kept);
}

void firewall_firewalld_update(const struct strv *bridges, struct strv *trusted)
{
	_cleanup_buf_ struct buf zone = { 0 };

	if (ask("getInterfaces", "s", ZONE, NULL, &zone) != 0)
		return;
	add_missing(bridges, &zone, trusted);
	remove_old(bridges, &zone, trusted);
}
