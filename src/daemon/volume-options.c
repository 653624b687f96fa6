/* SPDX-License-Identifier: Apache-2.0 */
/* docker's options of local volumes, and the mounts they ask for. */
#include "daemon/volume-options.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/mount-options.h"
#include "daemon/volume-block.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { OPTION_MAX = 4096 }; /* bytes of one value */

static const char *option_of(const json_t *options, const char *key)
{
	return json_string_value(json_object_get(options, key));
}

/* ---- checks ---- */

static int check_values(const json_t *options, struct cay_error *err)
{
	json_t *value;
	const char *key;

	json_object_foreach((json_t *)options, key, value) {
		if (!json_is_string(value) || json_string_length(value) > OPTION_MAX)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "option \"%.64s\" is not a string of at most %d bytes",
					     key, OPTION_MAX);
		if (strcmp(key, "type") != 0 && strcmp(key, "o") != 0 && strcmp(key, "device") != 0)
			return cay_error_set(err, CAY_INVALID, EINVAL, "invalid option: \"%.64s\"",
					     key);
	}
	return 0;
}

/* Which option needs which others. */
static int check_needs(const json_t *options, struct cay_error *err)
{
	static const struct {
		const char *key, *needs;
	} rows[] = { { "type", "device" }, { "device", "type" }, { "o", "device" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (option_of(options, rows[i].key) && !option_of(options, rows[i].needs))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "missing required option: \"%s\"", rows[i].needs);
	return 0;
}

static int check_bind(const json_t *options, struct cay_error *err)
{
	const char *o = option_of(options, "o") ?: "", *device = option_of(options, "device");
	struct str rest = str_from(o);
	bool bind = false;

	while (rest.length > 0) {
		struct str word = str_split(rest, ',', &rest);

		bind = bind || str_equals(word, "bind") || str_equals(word, "rbind");
	}
	if (!bind)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "a volume with type=none needs o=bind and device=<directory>");
	if (device[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "device \"%.300s\" is not an absolute path", device);
	return 0;
}

static int check_type(const json_t *options, struct cay_error *err)
{
	const char *type = option_of(options, "type");

	if (strcmp(type, "none") == 0 || type[0] == '\0')
		return check_bind(options, err);
	if (strcmp(type, "tmpfs") == 0 || strcmp(type, "nfs") == 0 || strcmp(type, "nfs4") == 0)
		return 0;
	return cay_error_set(
		err, CAY_UNSUPPORTED, ENOTSUP,
		"volume type %.64s: this host mounts no file system that it did not "
		"make; there are none (with o=bind), tmpfs, nfs and nfs4, and block for "
		"a disk of cay's own",
		type);
}

const char *volume_options_bind_source(const json_t *options)
{
	const char *type = option_of(options, "type");

	return type && (strcmp(type, "none") == 0 || type[0] == '\0') ? option_of(options, "device")
								      : NULL;
}

int volume_options_check(const json_t *options, enum volume_kind *ret_kind, uint64_t *ret_size,
			 struct cay_error *err)
{
	int r;

	if (json_object_size(options) == 0) {
		*ret_kind = VOLUME_DIRECTORY;
		return 0;
	}
	if (strcmp(option_of(options, "type") ?: "", VOLUME_BLOCK_TYPE) == 0) {
		*ret_kind = VOLUME_BLOCK;
		return volume_block_check(options, ret_size, err);
	}
	r = check_values(options, err);
	if (r == 0)
		r = check_needs(options, err);
	if (r == 0)
		r = check_type(options, err);
	if (r < 0)
		return r;
	*ret_kind = VOLUME_MOUNT;
	*ret_size = 0;
	return 0;
}

/* ---- mounting ---- */

/* The kernel wants the server by number: docker's driver resolves "addr=" as well. */
static int resolve_server(const char *name, char *ret_text, size_t size, struct cay_error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int r = getaddrinfo(name, NULL, &hints, &found);

	if (r == 0)
		r = getnameinfo(found->ai_addr, found->ai_addrlen, ret_text, (socklen_t)size, NULL,
				0, NI_NUMERICHOST);
	if (found)
		freeaddrinfo(found);
	if (r != 0)
		return cay_error_set(err, CAY_UNAVAILABLE, EHOSTUNREACH,
				     "error resolving passed in network volume address: lookup "
				     "%.200s: %s",
				     name, gai_strerror(r));
	return 0;
}

static int split_options(const json_t *options, struct strv *words, struct cay_error *err)
{
	struct str rest = str_from(option_of(options, "o"));
	bool network = starts_with(option_of(options, "type"), "nfs");

	while (rest.length > 0) {
		_cleanup_free_ char *word = str_dup(str_split(rest, ',', &rest));
		int r = 0;

		if (network && starts_with(word, "addr=")) {
			char address[NI_MAXHOST];

			r = resolve_server(word + strlen("addr="), address, sizeof(address), err);
			if (r == 0)
				strv_addf(words, "addr=%s", address);
		} else {
			strv_add(words, word);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* A bind takes its flags, such as "ro", in a second step. */
static int do_mount(const char *device, const char *target, const char *type,
		    const struct mount_options *options)
{
	const unsigned long bind = MS_BIND | MS_REC;

	if (options->flags & MS_REMOUNT)
		return -EINVAL; /* of something else */
	if (mount(device, target, type, options->flags, buf_text(&options->data)) < 0)
		return -errno;
	if (options->flags & MS_BIND && options->flags & ~bind &&
	    mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | (options->flags & ~bind), NULL) < 0) {
		int r = -errno;

		(void)umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
		return r;
	}
	return 0;
}

int volume_options_mount(const json_t *options, int bind_fd, const char *target,
			 struct cay_error *err)
{
	_cleanup_mount_options_ struct mount_options parsed = { 0 };
	_cleanup_strv_ struct strv words = { 0 };
	const char *device = option_of(options, "device"), *type = option_of(options, "type");
	_cleanup_free_ char *flags = NULL, *by_descriptor = NULL;
	int r = split_options(options, &words, err);

	if (r == 0)
		r = mount_options_parse(&words, &parsed, err);
	if (r < 0)
		return cay_error_prefix(err, "failed to mount local volume");
	if (volume_options_bind_source(options) && bind_fd >= 0)
		by_descriptor = xasprintf("/proc/self/fd/%d", bind_fd);
	else if (volume_options_bind_source(options))
		r = bind_fd;
	if (r == 0)
		r = do_mount(by_descriptor ? by_descriptor : device, target, type, &parsed);
	if (r == 0)
		return 0;
	flags = parsed.flags ? xasprintf(", flags: 0x%lx", parsed.flags) : xstrdup("");
	return cay_error_errno(err, r, "failed to mount local volume: mount %s:%s%s%s%s", device,
			       target, flags, parsed.data.length > 0 ? ", data: " : "",
			       buf_text(&parsed.data));
}

/* ---- what is mounted ---- */

static int mount_id(const char *path, uint64_t *ret_id)
{
	struct statx status;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &status) < 0)
		return -errno;
	*ret_id = status.stx_mnt_id;
	return 0;
}

bool volume_is_mounted(const char *path)
{
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(path_last(path) - path));
	uint64_t here, above;

	/* A network file system whose server is away fails: it is mounted then. */
	int r = mount_id(path, &here);

	return r != -ENOENT && (r < 0 || mount_id(parent, &above) < 0 || here != above);
}

/* Asks the kernel, and not the file system, whose server may be away, what is mounted. */
int volume_unmount(const char *path, struct cay_error *err)
{
	int r;

	do
		r = umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	while (r == 0);
	if (r == -EINVAL || r == -ENOENT)
		return 0;
	/* Who may not unmount has mounted nothing. */
	if (r == -EPERM && !volume_is_mounted(path))
		return 0;
	return cay_error_errno(err, r, "unmounting %s", path);
}
