/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands, one function each with the signature of struct command's run,
 * and their option tables; and what their files share.
 */
#pragma once

#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"

/* Each file of commands ends with the tables that the tree in commands.c refers to. */
extern const struct option run_options[], create_options[], start_options[], attach_options[];
extern const struct option exec_options[], logs_options[], inspect_options[];
extern const struct option list_options[], stop_options[], kill_options[], remove_options[];
extern const struct option stats_options[], events_options[];
extern const struct option pull_options[], push_options[], save_options[], load_options[];
extern const struct option images_options[], search_options[], verify_options[];
extern const struct option login_options[], registry_list_options[];
extern const struct option image_remove_options[], image_inspect_options[], history_options[];
extern const struct option image_prune_options[], prune_options[];
extern const struct option network_create_options[], network_list_options[];
extern const struct option network_inspect_options[], network_remove_options[];
extern const struct option network_connect_options[], network_disconnect_options[];
extern const struct option volume_create_options[], volume_list_options[];
extern const struct option volume_inspect_options[], volume_remove_options[];
extern const struct option volume_prune_options[], system_prune_options[];
extern const struct option template_list_options[], template_inspect_options[];
extern const struct option template_remove_options[], template_create_options[];
extern const struct option copy_options[], export_options[], import_options[], commit_options[];
extern const struct option version_options[], info_options[], disk_options[];
extern const struct option system_start_options[], system_stop_options[], system_status_options[];

int command_run(const struct invocation *invocation, struct cay_error *err);
int command_create(const struct invocation *invocation, struct cay_error *err);
int command_start(const struct invocation *invocation, struct cay_error *err);
int command_attach(const struct invocation *invocation, struct cay_error *err);
int command_exec(const struct invocation *invocation, struct cay_error *err);
int command_logs(const struct invocation *invocation, struct cay_error *err);
int command_inspect(const struct invocation *invocation, struct cay_error *err);
int command_inspect_container(const struct invocation *invocation, struct cay_error *err);
int command_inspect_image(const struct invocation *invocation, struct cay_error *err);
int command_list(const struct invocation *invocation, struct cay_error *err);
int command_stop(const struct invocation *invocation, struct cay_error *err);
int command_restart(const struct invocation *invocation, struct cay_error *err);
int command_kill(const struct invocation *invocation, struct cay_error *err);
int command_remove(const struct invocation *invocation, struct cay_error *err);
int command_pause(const struct invocation *invocation, struct cay_error *err);
int command_unpause(const struct invocation *invocation, struct cay_error *err);
int command_rename(const struct invocation *invocation, struct cay_error *err);
int command_wait(const struct invocation *invocation, struct cay_error *err);
int command_port(const struct invocation *invocation, struct cay_error *err);
int command_top(const struct invocation *invocation, struct cay_error *err);
int command_prune(const struct invocation *invocation, struct cay_error *err);
int command_stats(const struct invocation *invocation, struct cay_error *err);
int command_events(const struct invocation *invocation, struct cay_error *err);
int command_pull(const struct invocation *invocation, struct cay_error *err);
int command_push(const struct invocation *invocation, struct cay_error *err);
int command_save(const struct invocation *invocation, struct cay_error *err);
int command_load(const struct invocation *invocation, struct cay_error *err);
int command_images(const struct invocation *invocation, struct cay_error *err);
int command_remove_image(const struct invocation *invocation, struct cay_error *err);
int command_tag(const struct invocation *invocation, struct cay_error *err);
int command_history(const struct invocation *invocation, struct cay_error *err);
int command_verify(const struct invocation *invocation, struct cay_error *err);
int command_search(const struct invocation *invocation, struct cay_error *err);
int command_login(const struct invocation *invocation, struct cay_error *err);
int command_logout(const struct invocation *invocation, struct cay_error *err);
int command_list_registries(const struct invocation *invocation, struct cay_error *err);
int command_prune_images(const struct invocation *invocation, struct cay_error *err);
int command_create_network(const struct invocation *invocation, struct cay_error *err);
int command_list_networks(const struct invocation *invocation, struct cay_error *err);
int command_inspect_network(const struct invocation *invocation, struct cay_error *err);
int command_connect_network(const struct invocation *invocation, struct cay_error *err);
int command_disconnect_network(const struct invocation *invocation, struct cay_error *err);
int command_remove_network(const struct invocation *invocation, struct cay_error *err);
int command_prune_networks(const struct invocation *invocation, struct cay_error *err);
int command_create_volume(const struct invocation *invocation, struct cay_error *err);
int command_list_volumes(const struct invocation *invocation, struct cay_error *err);
int command_inspect_volume(const struct invocation *invocation, struct cay_error *err);
int command_remove_volume(const struct invocation *invocation, struct cay_error *err);
int command_prune_volumes(const struct invocation *invocation, struct cay_error *err);
int command_list_templates(const struct invocation *invocation, struct cay_error *err);
int command_inspect_template(const struct invocation *invocation, struct cay_error *err);
int command_remove_template(const struct invocation *invocation, struct cay_error *err);
int command_create_template(const struct invocation *invocation, struct cay_error *err);
int command_system_prune(const struct invocation *invocation, struct cay_error *err);
int command_copy(const struct invocation *invocation, struct cay_error *err);
int command_diff(const struct invocation *invocation, struct cay_error *err);
int command_export(const struct invocation *invocation, struct cay_error *err);
int command_commit(const struct invocation *invocation, struct cay_error *err);
int command_import(const struct invocation *invocation, struct cay_error *err);
int command_version(const struct invocation *invocation, struct cay_error *err);
int command_info(const struct invocation *invocation, struct cay_error *err);
int command_disk(const struct invocation *invocation, struct cay_error *err);
int command_system_start(const struct invocation *invocation, struct cay_error *err);
int command_system_stop(const struct invocation *invocation, struct cay_error *err);
int command_system_status(const struct invocation *invocation, struct cay_error *err);
int command_completion(const struct invocation *invocation, struct cay_error *err);
int command_complete(const struct invocation *invocation, struct cay_error *err);
int command_manual(const struct invocation *invocation, struct cay_error *err);

/* ---- shared ---- */

/*
 * Calls `act` for every operand, prints the operand where it succeeded and the error where not, and
 * goes on. 0, or 1 when one failed.
 */
int each_operand(const struct invocation *invocation,
		 int (*act)(const struct invocation *invocation, const char *name,
			    struct cay_error *err),
		 bool print_name);

/* --filter's KEY=VALUE words as the API has them, {"key": ["value", …]}; NULL when there are none.
 */
int filters_build(const struct options *options, json_t **ret_filters, struct cay_error *err);

/* The argument of a --since or --until, which `key` names; nothing for a NULL text. */
int target_add_moment(struct target *target, const char *key, const char *text,
		      struct cay_error *err);

/* --platform's OS[/ARCH[/VARIANT]] as the API has it, an OCI platform object; nothing for NULL. */
int target_add_platform(struct target *target, const char *text, struct cay_error *err);

/* GET /containers/{name}/json */
int container_inspect(struct client *client, const char *name, json_t **ret_value,
		      struct cay_error *err);

/* A member's text, number or truth by a path of keys, "" and 0 where it is missing; borrowed. */
const char *json_text_at(const json_t *value, const char *key, const char *inner);
int64_t json_int_at(const json_t *value, const char *key, const char *inner);
bool json_bool_at(const json_t *value, const char *key, const char *inner);
/* The items of a list in the order of their "Name"s; the caller frees the array alone. */
json_t **json_sort_by_name(const json_t *list, size_t *ret_count);
/* "sha256:abc…" and a container's id, as lists show them: twelve characters. */
void short_id(const char *id, bool whole, char ret_id[80]);

/* What is to follow the words of a command line, one a line; the last word is being typed. */
void complete(struct client *client, const char *const *words, size_t count, struct buf *out);

/* A path that another process can use; NULL gives NULL. The caller frees. */
char *absolute_path(const char *path);

/*
 * Prints a document as --format has it, json or a template, and puts the result in *ret_r; false
 * when there is no --format.
 */
bool print_formatted(const struct options *options, const json_t *value, int *ret_r,
		     struct cay_error *err);

/*
 * A row of `images`; `digest` "" leaves it out. And one of `ps`. With `whole` nothing in them is
 * shortened. The caller drops them.
 */
json_t *image_row(const json_t *image, const char *repository, const char *tag, const char *digest,
		  bool whole);
json_t *container_row(const json_t *container, bool whole);
/* "key=value,…", the column Labels from the member of that name. */
void row_set_labels(json_t *row, const json_t *item);
extern const struct column image_columns[], container_columns[];
/* One of `template ls`, and the columns of it that `system df` shows. */
json_t *vm_template_row(const json_t *template, bool whole);
extern const struct column vm_template_columns[];
