/* SPDX-License-Identifier: Apache-2.0 */
/* The table of volumes. */
#include "daemon/database-internal.h"

int database_store_volume(struct database *database, const struct database_volume *row,
			  struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_STORE_VOLUME);

	database_bind_text(statement, 1, row->name);
	(void)sqlite3_bind_int64(statement, 2, row->created_ns);
	database_bind_text(statement, 3, row->document);
	return database_run(database, statement, "storing a volume", err);
}

int database_delete_volume(struct database *database, const char *name, struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_DELETE_VOLUME);

	database_bind_text(statement, 1, name);
	return database_run(database, statement, "removing a volume", err);
}

int database_each_volume(struct database *database,
			 int (*each)(const struct database_volume *row, void *user,
				     struct cay_error *err),
			 void *user, struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_EACH_VOLUME);
	int step, r = 0;

	while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct database_volume row = {
			.name = database_column_text(statement, 0),
			.created_ns = sqlite3_column_int64(statement, 1),
			.document = database_column_text(statement, 2),
		};

		r = each(&row, user, err);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = database_fail(database, "reading volumes", err);
	database_finish(database, statement);
	return r;
}
