/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of the containers resource that have files of their own, and what they share. */
#pragma once

#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/http.h"

/* The container named by the route's first parameter; the caller drops the reference. */
int api_find_container(struct daemon *daemon, const struct http_request *request,
		       struct container **ret_container, struct cay_error *err);

/* Answers 204, or 304 where *err says CAY_NOT_MODIFIED; other errors are passed on. */
int api_reply_done(struct http_request *request, int result, const struct cay_error *err);

/* Docker's h and w, of resize calls. */
int api_read_size(const struct http_request *request, unsigned int *ret_columns,
		  unsigned int *ret_rows, struct cay_error *err);

/* The media type of a hijacked or log stream. */
const char *api_stream_type(const struct http_request *request, bool raw);

/* containers-list.c */
/* SizeRw, what its writable layer takes on the host's disk, and SizeRootFs. */
void api_container_set_sizes(json_t *object, const struct container *container);
/* A container as lists have it, with its sizes; the caller drops it. */
json_t *api_container_summary(const struct container *container, const struct container_view *view);
struct filters;
/* "until" of prune: only what was made before it; INT64_MAX without the filter. */
int api_read_until(const struct filters *filters, int64_t *ret_until_ns, struct cay_error *err);
int api_containers_list(struct daemon *daemon, struct http_request *request, struct cay_error *err);
int api_containers_prune(struct daemon *daemon, struct http_request *request,
			 struct cay_error *err);
/* containers-inspect.c */
int api_containers_inspect(struct daemon *daemon, struct http_request *request,
			   struct cay_error *err);
/* containers-logs.c */
int api_containers_logs(struct daemon *daemon, struct http_request *request, struct cay_error *err);
/* containers-attach.c */
int api_containers_attach(struct daemon *daemon, struct http_request *request,
			  struct cay_error *err);
/* containers-archive.c */
int api_containers_archive_head(struct daemon *daemon, struct http_request *request,
				struct cay_error *err);
int api_containers_archive_get(struct daemon *daemon, struct http_request *request,
			       struct cay_error *err);
int api_containers_archive_put(struct daemon *daemon, struct http_request *request,
			       struct cay_error *err);
int api_containers_export(struct daemon *daemon, struct http_request *request,
			  struct cay_error *err);
int api_containers_changes(struct daemon *daemon, struct http_request *request,
			   struct cay_error *err);
/* containers-stats.c */
int api_containers_stats(struct daemon *daemon, struct http_request *request,
			 struct cay_error *err);
int api_containers_top(struct daemon *daemon, struct http_request *request, struct cay_error *err);
/* exec.c */
int api_exec_create(struct daemon *daemon, struct http_request *request, struct cay_error *err);
