/* SPDX-License-Identifier: Apache-2.0 */
/* What is at a path in a container. */
#include "guest/copy.h"

#include "guest/copy-path.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <string.h>

int copy_stat(struct copy_child *child, const struct copy_request *request, struct cay_error *err)
{
	_cleanup_copy_path_ struct copy_path path = { 0 };
	_cleanup_free_ char *target = NULL;
	_cleanup_close_ int fd = -1;
	struct copy_stat answer = { 0 };
	struct stat st;
	int r = copy_path_parse(request->path, &path, err);

	if (r < 0)
		return r;
	fd = copy_path_open(child->root_fd, &path, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "%s", path.clean);
	if (S_ISLNK(st.st_mode)) {
		r = copy_path_resolve(child->root_fd, path.clean, &target, err);
		if (r < 0)
			return r;
	}
	/* A name of the request's may be longer than a file's could be, but then it was not found.
	 */
	(void)snprintf(answer.name, sizeof(answer.name), "%s", path.name);
	(void)snprintf(answer.link_target, sizeof(answer.link_target), "%s", target ? target : "");
	answer.size = st.st_size;
	answer.mode = st.st_mode;
	answer.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	r = write_full(child->out, &answer, sizeof(answer));
	return r < 0 ? cay_error_errno(err, r, "writing") : 0;
}
