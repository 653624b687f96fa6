/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that bring files and sockets into a container, but for --mount:
 * -v, --tmpfs, --volumes-from, --storage-opt, --publish-socket and --ssh.
 * What docker's client passes on unread, cay does: the daemon judges it.
 */
#include "cli/request.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "cli/lexical.h"

#include <ctype.h>
#include <errno.h>
#include <sys/stat.h>

/* Where Docker's desktop edition and Apple's tool put it, and programs so look for it. */
static const char agent_target[] = "/run/host-services/ssh-auth.sock";

char *request_host_path(const char *path)
{
	return *path == '.' ? lexical_absolute(path) : xstrdup(path);
}

json_t *request_member_array(json_t *object, const char *key)
{
	json_t *list = json_object_get(object, key);

	if (!list) {
		list = json_array();
		json_set(object, key, list);
	}
	return list;
}

static int append_text(json_t *list, const char *option, const char *text, struct cay_error *err)
{
	if (json_array_append_new(list, json_string(text)) < 0)
		return cay_error_set(err, CAY_INVALID, EILSEQ, "--%s: \"%s\" is not UTF-8", option,
				     text);
	return 0;
}

/* ---- -v ---- */

/*
 * Where the first section of "SOURCE:PATH:OPTIONS" ends. A single letter before the colon is a
 * drive of Windows to docker's client wherever it runs, and so part of the section.
 */
static const char *section_end(const char *at)
{
	const char *start = at;

	while (*at && (*at != ':' || (at - start == 1 && isalpha((unsigned char)*start))))
		at++;
	return at;
}

static int invalid_spec(const char *text, const char *what, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "invalid spec: %s: %s", text, what);
}

/* "PATH", "SOURCE:PATH" or "SOURCE:PATH:OPTIONS"; the options are the daemon's to read. */
static int add_volume(const char *text, json_t *body, json_t *host, struct cay_error *err)
{
	const char *end = section_end(text);
	_cleanup_free_ char *source = NULL, *bind = NULL;
	unsigned int sections = 1;

	if (!*text)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid empty volume spec");
	if (strlen(text) <= 2 || !*end) { /* a path alone: an anonymous volume */
		json_t *volumes = json_object_get(body, "Volumes");

		if (!volumes) {
			volumes = json_object();
			json_set(body, "Volumes", volumes);
		}
		if (json_object_set_new(volumes, text, json_object()) < 0)
			return invalid_spec(text, "not UTF-8", err);
		return 0;
	}
	for (const char *at = text;; at = end + 1) {
		end = section_end(at);
		if (end == at)
			return invalid_spec(text, "empty section between colons", err);
		if (*end && sections++ == 3)
			return invalid_spec(text, "too many colons", err);
		if (!*end)
			break;
	}
	end = section_end(text);
	source = xstrndup(text, (size_t)(end - text));
	if (*source == '.') {
		_cleanup_free_ char *path = request_host_path(source);

		bind = xasprintf("%s%s", path, end);
	}
	return append_text(request_member_array(host, "Binds"), "volume", bind ? bind : text, err);
}

/* ---- sockets ---- */

/* "HOST:CONTAINER", both paths. */
static int add_published_socket(const char *text, json_t *host, struct cay_error *err)
{
	struct str target, source = str_split(str_from(text), ':', &target);
	_cleanup_free_ char *path = str_dup(source), *whole = NULL, *line = NULL;

	if (source.length == 0 || target.length == 0 || target.data[0] != '/' ||
	    memchr(target.data, ':', target.length))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--publish-socket: \"%s\" is not of the form HOST:CONTAINER, "
				     "the paths of a socket on this host and in the container, the "
				     "second one absolute",
				     text);
	whole = lexical_absolute(path);
	line = xasprintf("%s:%s", whole, target.data);
	return append_text(request_member_array(host, "PublishSockets"), "publish-socket", line,
			   err);
}

/* The agent's socket as a bind, and where the container's programs look for it. */
static int add_agent(json_t *body, json_t *host, struct cay_error *err)
{
	const char *agent = getenv("SSH_AUTH_SOCK");
	_cleanup_free_ char *variable = xasprintf("SSH_AUTH_SOCK=%s", agent_target);
	_cleanup_free_ char *path = agent ? lexical_absolute(agent) : NULL;
	json_t *mount = json_object();
	struct stat status;
	int r;

	(void)json_array_append_new(request_member_array(host, "Mounts"), mount);
	if (!agent || !*agent)
		return cay_error_set(err, CAY_INVALID, ENOENT,
				     "--ssh: SSH_AUTH_SOCK is not set, so there is no agent to "
				     "forward; \"eval $(ssh-agent)\" starts one");
	if (stat(path, &status) < 0)
		return cay_error_set(err, CAY_INVALID, errno,
				     "--ssh: the agent's socket %s that SSH_AUTH_SOCK names: %s",
				     path, errno_text(errno));
	if (!S_ISSOCK(status.st_mode))
		return cay_error_set(err, CAY_INVALID, ENOTSOCK,
				     "--ssh: %s, which SSH_AUTH_SOCK names, is no socket", path);
	json_set_string(mount, "Type", "bind");
	json_set_string(mount, "Source", path);
	json_set_string(mount, "Target", agent_target);
	/* First, so that the user's own word about the variable counts. */
	r = json_array_insert_new(request_member_array(body, "Env"), 0, json_string(variable));
	return r < 0 ? cay_error_set(err, CAY_INTERNAL, ENOMEM, "--ssh: out of memory") : 0;
}

/* ---- all of them ---- */

static int add_tmpfs(const char *text, json_t *host, struct cay_error *err)
{
	struct str settings, path = str_split(str_from(text), ':', &settings);
	_cleanup_free_ char *target = str_dup(path);
	json_t *map = json_object_get(host, "Tmpfs");

	if (!map) {
		map = json_object();
		json_set(host, "Tmpfs", map);
	}
	if (json_object_set_new(map, target, json_stringn(settings.data, settings.length)) < 0)
		return cay_error_set(err, CAY_INVALID, EILSEQ, "--tmpfs: \"%s\" is not UTF-8",
				     text);
	return 0;
}

int request_add_volumes(const struct options *options, json_t *body, json_t *host,
			struct cay_error *err)
{
	const struct strv *volumes = option_list(options, "volume");
	const struct strv *sources = option_list(options, "volumes-from");
	const struct strv *tmpfs = option_list(options, "tmpfs");
	const struct strv *sockets = option_list(options, "publish-socket");
	int r = request_set_map(option_list(options, "storage-opt"), "storage-opt", false, host,
				"StorageOpt", err);

	if (option_given(options, "volume-driver"))
		json_set_string(host, "VolumeDriver", option_text(options, "volume-driver"));
	if (sources->count > 0)
		json_set(host, "VolumesFrom", json_from_strv(sources));
	for (size_t i = 0; i < volumes->count && r >= 0; i++)
		r = add_volume(volumes->items[i], body, host, err);
	if (r >= 0)
		r = request_add_mounts(options, host, err);
	for (size_t i = 0; i < tmpfs->count && r >= 0; i++)
		r = add_tmpfs(tmpfs->items[i], host, err);
	for (size_t i = 0; i < sockets->count && r >= 0; i++)
		r = add_published_socket(sockets->items[i], host, err);
	if (r >= 0 && option_flag(options, "ssh"))
		r = add_agent(body, host, err);
	return r;
}
