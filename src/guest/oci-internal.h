/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that read the OCI configuration share. Each *_read function
 * fills a struct whose absent members hold their defaults and may leave it half
 * filled on failure: the caller frees it with the matching *_done.
 */
#pragma once

#include "guest/oci.h"

#include "base/json.h"

void oci_process_defaults(struct oci_process *process);
int oci_process_read(const json_t *json, struct oci_process *process, struct cay_error *err);
void oci_resources_defaults(struct oci_resources *resources);
int oci_resources_read(const json_t *json, struct oci_resources *resources, struct cay_error *err);
int oci_seccomp_read(const json_t *json, struct oci_seccomp **ret_seccomp, struct cay_error *err);

/*
 * Member `key` as an array of objects: room for one element each of `size` zeroed bytes is made in
 * *ret_items, and `read` is called for each. Absent means empty. On failure the elements that were
 * begun are counted in *ret_count, so that the owner frees them.
 */
int oci_read_objects(const json_t *object, const char *key, size_t limit, size_t size,
		     int (*read)(const json_t *item, void *element, struct cay_error *err),
		     void *ret_items, size_t *ret_count, struct cay_error *err);
/* Member `key` as an object whose values are strings. */
int oci_read_settings(const json_t *object, const char *key, size_t limit,
		      struct oci_setting **ret_settings, size_t *ret_count, struct cay_error *err);
void oci_settings_free(struct oci_setting *settings, size_t count);
/* Refuses a path that is not absolute; `what` names the member. */
int oci_check_absolute(const char *path, const char *what, struct cay_error *err);
