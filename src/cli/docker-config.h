/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's client configuration, config.json, as far as it concerns
 * credentials: "auths" (base64 of "user:password" for each registry),
 * "credsStore" and "credHelpers" (docs.docker.com/reference/cli/docker/login).
 * The file is shared with docker, podman and others: it is read as docker
 * reads it, and only the members named here are ever changed.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"

enum {
	DOCKER_CONFIG_MAX = 4 * 1024 * 1024,
};

/* What is known for one registry. Every member may be NULL. */
struct credentials {
	char *username, *password;
	char *identity_token; /* to be exchanged for tokens, instead of a password */
	char *registry_token; /* a bearer token */
};
/* Overwrites the secrets before it frees them. */
void credentials_done(struct credentials *credentials);
#define _cleanup_credentials_ _cleanup_(credentials_done)
/* Hands them over: what they stood in is empty afterwards. */
struct credentials credentials_take(struct credentials *credentials);
/* Whether there is anything to log in with. */
bool credentials_given(const struct credentials *credentials);

struct docker_config {
	char *path;      /* of the file, whether it is there or not */
	struct buf text; /* "" where there is no file */
	json_t *auths;   /* an object; NULL: none */
	json_t *helpers; /* registry → helper; NULL: none */
	char *store;     /* the helper for all others; NULL: none */
};
void docker_config_done(struct docker_config *config);
#define _cleanup_docker_config_ _cleanup_(docker_config_done)

/* $DOCKER_CONFIG/config.json, else ~/.docker/config.json; the caller frees. */
char *docker_config_path(void);
/* A missing or empty file is an empty configuration; a malformed one CAY_INVALID. */
int docker_config_load(struct docker_config *ret_config, struct cay_error *err);
/* The same from memory; `path` is for errors. */
int docker_config_parse(const char *path, const void *data, size_t size,
			struct docker_config *ret_config, struct cay_error *err);

/*
 * What "auths" has for a registry: under its own name, else under one that differs from it only by
 * a scheme or a path, as older clients wrote them. 1 and *ret_credentials filled, or 0.
 */
int docker_config_find(const struct docker_config *config, const char *key,
		       struct credentials *ret_credentials, struct cay_error *err);

/*
 * Changes the file: `change` gets its present state and edits config->text. Changes of several cays
 * at the same time wait for each other. The file is replaced whole, keeps its owner, and is
 * readable by that owner only; where its name is a symbolic link, what that points to is replaced.
 */
int docker_config_change(int (*change)(struct docker_config *config, void *context,
				       struct cay_error *err),
			 void *context, struct cay_error *err);
/* Puts credentials into config->text; what else the registry's entry holds stays. */
int docker_config_put(struct docker_config *config, const char *key,
		      const struct credentials *credentials, struct cay_error *err);

/* "host:port" of "https://host:port/v1/": the name without scheme and path; the caller frees. */
char *registry_hostname(const char *address);
