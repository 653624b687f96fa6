/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the database share: its prepared statements and the steps around them. */
#pragma once

#include "daemon/database.h"

#include <pthread.h>
#include <sqlite3.h>

enum database_statement {
	STATEMENT_INSERT,
	STATEMENT_UPDATE,
	STATEMENT_RENAME,
	STATEMENT_DELETE,
	STATEMENT_EACH,
	STATEMENT_GET_META,
	STATEMENT_SET_META,
	STATEMENT_STORE_ENDPOINT,
	STATEMENT_DELETE_ENDPOINT,
	STATEMENT_EACH_ENDPOINT,
	STATEMENT_STORE_NETWORK,
	STATEMENT_DELETE_NETWORK,
	STATEMENT_EACH_NETWORK,
	STATEMENT_STORE_VOLUME,
	STATEMENT_DELETE_VOLUME,
	STATEMENT_EACH_VOLUME,
	STATEMENT_COUNT,
};

struct database {
	char *path;
	pthread_mutex_t lock;
	sqlite3 *handle;
	sqlite3_stmt *prepared[STATEMENT_COUNT];
};

/* Returns the statement with the lock held, to be ended with database_finish(). */
sqlite3_stmt *database_begin(struct database *database, enum database_statement which);
void database_finish(struct database *database, sqlite3_stmt *statement);
void database_bind_text(sqlite3_stmt *statement, int index, const char *text);
/* Runs a statement without results and ends it; `what` goes into the error. */
int database_run(struct database *database, sqlite3_stmt *statement, const char *what,
		 struct cay_error *err);
/* The last failure as an error. */
int database_fail(struct database *database, const char *what, struct cay_error *err);
/* Never NULL; good until the next step. */
const char *database_column_text(sqlite3_stmt *statement, int index);
/* Binds STATEMENT_STORE_ENDPOINT. */
void database_bind_endpoint(sqlite3_stmt *statement, const struct database_endpoint *row);
