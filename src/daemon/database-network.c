/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of networks and of containers' places on them. */
#include "daemon/database-internal.h"

void database_bind_endpoint(sqlite3_stmt *statement, const struct database_endpoint *row)
{
	database_bind_text(statement, 1, row->container_id);
	database_bind_text(statement, 2, row->network);
	(void)sqlite3_bind_int(statement, 3, row->position);
	database_bind_text(statement, 4, row->id);
	database_bind_text(statement, 5, row->config);
	database_bind_text(statement, 6, row->mac);
	database_bind_text(statement, 7, row->ipv4);
	database_bind_text(statement, 8, row->ipv6);
}

int database_store_endpoint(struct database *database, const struct database_endpoint *row,
			    struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_STORE_ENDPOINT);

	database_bind_endpoint(statement, row);
	return database_run(database, statement, "storing a container's network", err);
}

int database_delete_endpoint(struct database *database, const char *container_id,
			     const char *network, struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_DELETE_ENDPOINT);

	database_bind_text(statement, 1, container_id);
	database_bind_text(statement, 2, network);
	return database_run(database, statement, "removing a container's network", err);
}

int database_each_endpoint(struct database *database,
			   int (*each)(const struct database_endpoint *row, void *user,
				       struct cay_error *err),
			   void *user, struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_EACH_ENDPOINT);
	int step, r = 0;

	while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct database_endpoint row = {
			.container_id = database_column_text(statement, 0),
			.network = database_column_text(statement, 1),
			.position = sqlite3_column_int(statement, 2),
			.id = database_column_text(statement, 3),
			.config = database_column_text(statement, 4),
			.mac = database_column_text(statement, 5),
			.ipv4 = database_column_text(statement, 6),
			.ipv6 = database_column_text(statement, 7),
		};

		r = each(&row, user, err);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = database_fail(database, "reading containers' networks", err);
	database_finish(database, statement);
	return r;
}

int database_store_network(struct database *database, const struct database_network *row,
			   struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_STORE_NETWORK);

	database_bind_text(statement, 1, row->id);
	database_bind_text(statement, 2, row->name);
	(void)sqlite3_bind_int64(statement, 3, row->created_ns);
	database_bind_text(statement, 4, row->document);
	return database_run(database, statement, "storing a network", err);
}

int database_delete_network(struct database *database, const char *id, struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_DELETE_NETWORK);

	database_bind_text(statement, 1, id);
	return database_run(database, statement, "removing a network", err);
}

int database_each_network(struct database *database,
			  int (*each)(const struct database_network *row, void *user,
				      struct cay_error *err),
			  void *user, struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_EACH_NETWORK);
	int step, r = 0;

	while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct database_network row = {
			.id = database_column_text(statement, 0),
			.name = database_column_text(statement, 1),
			.created_ns = sqlite3_column_int64(statement, 2),
			.document = database_column_text(statement, 3),
		};

		r = each(&row, user, err);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = database_fail(database, "reading networks", err);
	database_finish(database, statement);
	return r;
}
