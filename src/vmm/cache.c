/* SPDX-License-Identifier: Apache-2.0 */
/* Remembered facts, one a file: {"key": …, "value": …}. */
#include "vmm/cache.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#include <sys/stat.h>
#include <sys/utsname.h>

enum { CACHE_MAX = 64 * 1024 };

void cache_host_key(struct buf *key)
{
	struct utsname name;

	if (file_read("/proc/sys/kernel/random/boot_id", 256, key, NULL) < 0)
		buf_puts(key, "no boot id");
	if (uname(&name) == 0)
		buf_printf(key, " %s %s", name.release, name.version);
}

void cache_file_key(struct buf *key, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		buf_printf(key, " %s absent", path);
	else
		buf_printf(key, " %s %lld %lld.%09ld", path, (long long)st.st_size,
			   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

char *cache_read(const char *path, const char *key)
{
	_cleanup_json_ json_t *root = NULL;
	_cleanup_free_ char *found = NULL;
	char *value = NULL;

	if (!path || json_parse_file(path, CACHE_MAX, &root, NULL) < 0 || !json_is_object(root) ||
	    json_read_string(root, "key", &found, NULL) < 0 || !found || strcmp(found, key) != 0)
		return NULL;
	(void)json_read_string(root, "value", &value, NULL); /* NULL where it is no string */
	return value;
}

void cache_write(const char *path, const char *key, const char *value)
{
	_cleanup_json_ json_t *root = json_object();
	_cleanup_free_ char *text = NULL;
	struct cay_error err = { 0 };

	if (!path)
		return;
	json_set_string(root, "key", key);
	json_set_string(root, "value", value);
	text = json_print(root);
	if (file_write_atomic(path, text, strlen(text), 0600, &err) < 0)
		log_warning("%s", err.message);
}
