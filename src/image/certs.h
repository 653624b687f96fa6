/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for registries, in docker's form: below a folder such as
 * /etc/cay/certs.d one folder for each HOST[:PORT], with the authorities that
 * are trusted for it (*.crt) and a client's certificate and key (NAME.cert and
 * NAME.key), all PEM.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>

struct certs {
	struct buf authorities;  /* PEM, the system's among them; empty: the system's alone */
	char *certificate, *key; /* paths; NULL where there is none */
};

void certs_done(struct certs *certs);
#define _cleanup_certs_ _cleanup_(certs_done)

/*
 * The name that a registry's folder has: a host name or address (IPv6 in brackets) and perhaps a
 * port. Nothing else becomes part of a path.
 */
bool certs_name_is_valid(const char *name);

/*
 * Reads the folder of `name` in the first of `folders` that has one; none is no error, nor is a
 * name that is not valid. A *.crt without a certificate in it, and a certificate without its key or
 * the reverse, are CAY_INVALID and name the file.
 */
int certs_load(const struct strv *folders, const char *name, struct certs *ret_certs,
	       struct cay_error *err);
