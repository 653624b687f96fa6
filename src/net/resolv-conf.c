/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf(5), as the C library reads it. */
#include "net/resolv-conf.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>

enum { FILE_MAX = 256 * 1024, WORDS_MAX = 64, LOOK_MS = 1000 };

void resolv_conf_done(struct resolv_conf *conf)
{
	strv_done(&conf->search);
	strv_done(&conf->options);
	*conf = (struct resolv_conf){ .servers.count = 0 };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line; empty at its end. */
static struct str next_word(struct str *line)
{
	struct str word;

	while (line->length > 0 && is_blank(*line->data)) {
		line->data++;
		line->length--;
	}
	word = (struct str){ line->data, 0 };
	while (word.length < line->length && !is_blank(line->data[word.length]))
		word.length++;
	line->data += word.length;
	line->length -= word.length;
	return word;
}

static void add_words(struct strv *list, struct str line)
{
	for (struct str word = next_word(&line); word.length > 0 && list->count < WORDS_MAX;
	     word = next_word(&line))
		strv_take(list, str_dup(word));
}

static void add_server(struct dns_upstreams *servers, struct str word)
{
	_cleanup_free_ char *text = str_dup(word);
	struct dns_endpoint endpoint;

	if (dns_endpoint_parse(text, &endpoint, NULL) == 0)
		dns_upstreams_add(servers, &endpoint);
}

static void parse_line(struct str line, struct resolv_conf *conf)
{
	struct str key = next_word(&line);

	if (str_equals(key, "nameserver")) {
		add_server(&conf->servers, next_word(&line));
	} else if (str_equals(key, "search") || str_equals(key, "domain")) {
		strv_done(&conf->search);
		conf->search = (struct strv){ .count = 0 };
		add_words(&conf->search, line);
	} else if (str_equals(key, "options")) {
		add_words(&conf->options, line);
	}
}

void resolv_conf_parse(struct str text, struct resolv_conf *ret_conf)
{
	static const uint8_t localhost[] = { 127, 0, 0, 1 };
	struct resolv_conf conf = { .servers.count = 0 };

	while (text.length > 0)
		parse_line(str_split(text, '\n', &text), &conf);
	if (conf.servers.count == 0) {
		struct dns_endpoint endpoint = {
			.address = net_address_from_bytes(AF_INET, localhost),
		};

		dns_upstreams_add(&conf.servers, &endpoint);
	}
	*ret_conf = conf;
}

int resolv_conf_read(const char *path, struct resolv_conf *ret_conf, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { .length = 0 };
	struct cay_error error = { .code = CAY_OK };
	int r = file_read(path, FILE_MAX, &text, &error);

	if (r < 0 && r != -ENOENT) {
		if (err)
			*err = error;
		return r;
	}
	resolv_conf_parse((struct str){ buf_text(&text), text.length }, ret_conf);
	return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

const struct resolv_conf *resolv_conf_follow(struct resolv_conf_follower *follower, int64_t now_ms)
{
	struct resolv_conf conf;
	struct cay_error error;
	struct stat now = { .st_size = 0 };

	if (follower->looked_ms && now_ms - follower->looked_ms < LOOK_MS)
		return &follower->conf;
	if (stat(follower->path, &now) < 0)
		now = (struct stat){ .st_size = 0 };
	if (!follower->looked_ms || !same_file(&now, &follower->seen)) {
		if (resolv_conf_read(follower->path, &conf, &error) == 0) {
			resolv_conf_done(&follower->conf);
			follower->conf = conf;
		} else {
			log_warning("dns: %s", error.message);
		}
	}
	follower->seen = now;
	follower->looked_ms = now_ms;
	return &follower->conf;
}
