/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's lasting state in sqlite: write-ahead log, every commit synced. */
#include "daemon/database-internal.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>

enum { BUSY_MS = 5000 };

static const char *const statements[] = {
	[STATEMENT_INSERT] =
		"INSERT INTO containers(id, name, image_id, image_name, created_ns, vm_uid, request,"
		" status, started_ns, finished_ns, exit_code, oom_killed, error)"
		" VALUES(?1, ?2, ?3, ?4, ?5, nullif(?6, 0), ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
	[STATEMENT_UPDATE] =
		"UPDATE containers SET status = ?8, started_ns = ?9, finished_ns = ?10,"
		" exit_code = ?11, oom_killed = ?12, error = ?13 WHERE id = ?1",
	[STATEMENT_RENAME] = "UPDATE containers SET name = ?2 WHERE id = ?1",
	[STATEMENT_DELETE] = "DELETE FROM containers WHERE id = ?1",
	[STATEMENT_EACH] =
		"SELECT id, name, image_id, image_name, created_ns, coalesce(vm_uid, 0), request,"
		" status, started_ns, finished_ns, exit_code, oom_killed, error"
		" FROM containers ORDER BY created_ns, id",
	[STATEMENT_GET_META] = "SELECT value FROM meta WHERE key = ?1",
	[STATEMENT_SET_META] = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)",
	[STATEMENT_STORE_ENDPOINT] =
		"INSERT OR REPLACE INTO endpoints(container_id, network, position, id, config, mac,"
		" ipv4, ipv6) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[STATEMENT_DELETE_ENDPOINT] =
		"DELETE FROM endpoints WHERE container_id = ?1 AND network = ?2",
	[STATEMENT_EACH_ENDPOINT] =
		"SELECT container_id, network, position, id, config, mac, ipv4, ipv6"
		" FROM endpoints ORDER BY container_id, position",
	[STATEMENT_STORE_NETWORK] =
		"INSERT OR REPLACE INTO networks(id, name, created_ns, document)"
		" VALUES(?1, ?2, ?3, ?4)",
	[STATEMENT_DELETE_NETWORK] = "DELETE FROM networks WHERE id = ?1",
	[STATEMENT_EACH_NETWORK] =
		"SELECT id, name, created_ns, document FROM networks ORDER BY created_ns, id",
	[STATEMENT_STORE_VOLUME] =
		"INSERT OR REPLACE INTO volumes(name, created_ns, document) VALUES(?1, ?2, ?3)",
	[STATEMENT_DELETE_VOLUME] = "DELETE FROM volumes WHERE name = ?1",
	[STATEMENT_EACH_VOLUME] =
		"SELECT name, created_ns, document FROM volumes ORDER BY created_ns, name",
};
static_assert(ARRAY_SIZE(statements) == STATEMENT_COUNT, "every statement has its text");

/* migrations[n] brings a file of version n to version n + 1. They are never edited, only added. */
static const char *const migrations[] = {
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE containers("
	" id TEXT PRIMARY KEY,"
	" name TEXT NOT NULL UNIQUE,"
	" image_id TEXT NOT NULL,"
	" image_name TEXT NOT NULL,"
	" created_ns INTEGER NOT NULL,"
	" vm_uid INTEGER UNIQUE,"
	" request TEXT NOT NULL,"
	" status TEXT NOT NULL,"
	" started_ns INTEGER NOT NULL,"
	" finished_ns INTEGER NOT NULL,"
	" exit_code INTEGER NOT NULL,"
	" oom_killed INTEGER NOT NULL,"
	" error TEXT NOT NULL);",

	/* Containers that were made before there were networks are on the default one. */
	"CREATE TABLE networks("
	" id TEXT PRIMARY KEY,"
	" name TEXT NOT NULL UNIQUE,"
	" created_ns INTEGER NOT NULL,"
	" document TEXT NOT NULL);"
	"CREATE TABLE endpoints("
	" container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,"
	" network TEXT NOT NULL,"
	" position INTEGER NOT NULL,"
	" id TEXT NOT NULL,"
	" config TEXT NOT NULL,"
	" mac TEXT NOT NULL,"
	" ipv4 TEXT NOT NULL,"
	" ipv6 TEXT NOT NULL,"
	" PRIMARY KEY(container_id, network));"
	"INSERT INTO endpoints SELECT id, 'bridge', 0, lower(hex(randomblob(32))), '{}', '', '', ''"
	" FROM containers WHERE json_valid(request)"
	" AND coalesce(json_extract(request, '$.HostConfig.NetworkMode'), '')"
	" IN ('', 'default', 'bridge');",

	"CREATE TABLE volumes("
	" name TEXT PRIMARY KEY,"
	" created_ns INTEGER NOT NULL,"
	" document TEXT NOT NULL) WITHOUT ROWID;",
};

int database_fail(struct database *database, const char *what, struct cay_error *err)
{
	enum cay_code code = CAY_INTERNAL;
	int errnum = EIO;

	switch (sqlite3_errcode(database->handle) & 0xff) {
	case SQLITE_FULL:
		code = CAY_NO_SPACE;
		errnum = ENOSPC;
		break;
	case SQLITE_NOMEM:
		code = CAY_NO_SPACE;
		errnum = ENOMEM;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = CAY_CORRUPT;
		errnum = EBADMSG;
		break;
	case SQLITE_CONSTRAINT:
		code = CAY_EXISTS;
		errnum = EEXIST;
		break;
	case SQLITE_BUSY:
		code = CAY_TIMEOUT;
		errnum = EBUSY;
		break;
	default:
		break;
	}
	return cay_error_set(err, code, errnum, "%s in %s: %s", what, database->path,
			     sqlite3_errmsg(database->handle));
}

static int execute(struct database *database, const char *sql, const char *what,
		   struct cay_error *err)
{
	return sqlite3_exec(database->handle, sql, NULL, NULL, NULL) == SQLITE_OK
		? 0
		: database_fail(database, what, err);
}

static int read_version(struct database *database, int *ret_version, struct cay_error *err)
{
	sqlite3_stmt *statement;
	int r;

	if (sqlite3_prepare_v2(database->handle, "PRAGMA user_version", -1, &statement, NULL) !=
	    SQLITE_OK)
		return database_fail(database, "reading the version", err);
	r = sqlite3_step(statement) == SQLITE_ROW
		? 0
		: database_fail(database, "reading the version", err);
	if (r == 0)
		*ret_version = sqlite3_column_int(statement, 0);
	(void)sqlite3_finalize(statement);
	return r;
}

static int migrate(struct database *database, struct cay_error *err)
{
	int version = 0, r = read_version(database, &version, err);

	if (r < 0)
		return r;
	if (version < 0 || version > (int)ARRAY_SIZE(migrations))
		return cay_error_set(
			err, CAY_UNSUPPORTED, ENOTSUP,
			"%s has version %d, which a newer cay wrote; this one knows up "
			"to %zu",
			database->path, version, ARRAY_SIZE(migrations));
	for (; version < (int)ARRAY_SIZE(migrations); version++) {
		_cleanup_free_ char *sql = xasprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d;"
						     " COMMIT",
						     migrations[version], version + 1);

		r = execute(database, sql, "setting up tables", err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int prepare_all(struct database *database, struct cay_error *err)
{
	for (int i = 0; i < STATEMENT_COUNT; i++)
		if (sqlite3_prepare_v3(database->handle, statements[i], -1,
				       SQLITE_PREPARE_PERSISTENT, &database->prepared[i],
				       NULL) != SQLITE_OK)
			return database_fail(database, "preparing a statement", err);
	return 0;
}

int database_open(const char *path, struct database **ret_database, struct cay_error *err)
{
	_cleanup_(database_close_p) struct database *database = xcalloc(1, sizeof(*database));
	int r;

	database->path = xstrdup(path);
	(void)pthread_mutex_init(&database->lock, NULL);
	if (sqlite3_open_v2(path, &database->handle,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		return database_fail(database, "opening", err);
	(void)sqlite3_busy_timeout(database->handle, BUSY_MS);
	/* The whole of a usual database fits in a cache of 256 KiB. */
	r = execute(database,
		    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		    "PRAGMA cache_size = -256; PRAGMA foreign_keys = ON;",
		    "setting up", err);
	if (r == 0)
		r = migrate(database, err);
	if (r == 0)
		r = prepare_all(database, err);
	if (r < 0)
		return r;
	*ret_database = TAKE_PTR(database);
	return 0;
}

void database_close(struct database *database)
{
	if (!database)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(database->prepared[i]);
	(void)sqlite3_close(database->handle);
	(void)pthread_mutex_destroy(&database->lock);
	free(database->path);
	free(database);
}

sqlite3_stmt *database_begin(struct database *database, enum database_statement which)
{
	(void)pthread_mutex_lock(&database->lock);
	return database->prepared[which];
}

static void reset(sqlite3_stmt *statement)
{
	(void)sqlite3_reset(statement); /* repeats the error of the step, which was handled */
	(void)sqlite3_clear_bindings(statement);
}

void database_finish(struct database *database, sqlite3_stmt *statement)
{
	reset(statement);
	(void)pthread_mutex_unlock(&database->lock);
}

void database_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	(void)sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

int database_run(struct database *database, sqlite3_stmt *statement, const char *what,
		 struct cay_error *err)
{
	int r = sqlite3_step(statement) == SQLITE_DONE ? 0 : database_fail(database, what, err);

	database_finish(database, statement);
	return r;
}

const char *database_column_text(sqlite3_stmt *statement, int index)
{
	const unsigned char *text = sqlite3_column_text(statement, index);

	return text ? (const char *)text : "";
}

int database_get_meta(struct database *database, const char *key, char *ret_value, size_t size,
		      struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_GET_META);
	int step, r = 0;

	database_bind_text(statement, 1, key);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW && (size_t)sqlite3_column_bytes(statement, 0) < size) {
		(void)snprintf(ret_value, size, "%s", database_column_text(statement, 0));
		r = 1;
	} else if (step != SQLITE_ROW && step != SQLITE_DONE) {
		r = database_fail(database, "reading a value", err);
	}
	database_finish(database, statement);
	return r;
}

int database_set_meta(struct database *database, const char *key, const char *value,
		      struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_SET_META);

	database_bind_text(statement, 1, key);
	database_bind_text(statement, 2, value);
	return database_run(database, statement, "storing a value", err);
}

int database_root_id(struct database *database, char ret_id[ID_SIZE], struct cay_error *err)
{
	int r = database_get_meta(database, "id", ret_id, ID_SIZE, err);

	if (r != 0)
		return MIN(r, 0);
	id_make(ret_id);
	return database_set_meta(database, "id", ret_id, err);
}

/* Binds what both INSERT and UPDATE know by the same numbers. */
static void bind_state(sqlite3_stmt *statement, const struct database_container *row)
{
	database_bind_text(statement, 1, row->id);
	database_bind_text(statement, 8, row->status);
	(void)sqlite3_bind_int64(statement, 9, row->started_ns);
	(void)sqlite3_bind_int64(statement, 10, row->finished_ns);
	(void)sqlite3_bind_int(statement, 11, row->exit_code);
	(void)sqlite3_bind_int(statement, 12, row->oom_killed);
	database_bind_text(statement, 13, row->error);
}

static int step_once(struct database *database, sqlite3_stmt *statement, const char *what,
		     struct cay_error *err)
{
	int r = sqlite3_step(statement) == SQLITE_DONE ? 0 : database_fail(database, what, err);

	reset(statement);
	return r;
}

static int insert_rows(struct database *database, const struct database_container *row,
		       const struct database_endpoint *endpoints, size_t endpoint_count,
		       struct cay_error *err)
{
	sqlite3_stmt *statement = database->prepared[STATEMENT_INSERT];
	int r;

	bind_state(statement, row);
	database_bind_text(statement, 2, row->name);
	database_bind_text(statement, 3, row->image_id);
	database_bind_text(statement, 4, row->image_name);
	(void)sqlite3_bind_int64(statement, 5, row->created_ns);
	(void)sqlite3_bind_int64(statement, 6, row->vm_uid);
	database_bind_text(statement, 7, row->request);
	r = step_once(database, statement, "storing a container", err);
	statement = database->prepared[STATEMENT_STORE_ENDPOINT];
	for (size_t i = 0; r == 0 && i < endpoint_count; i++) {
		database_bind_endpoint(statement, &endpoints[i]);
		r = step_once(database, statement, "storing a container's networks", err);
	}
	return r;
}

/* With the lock held, outside of a transaction: whether a commit waits for the disk. */
static void set_lasting(struct database *database, bool lasting)
{
	/* In WAL mode "NORMAL" leaves out exactly that. A failure leaves it as it was. */
	(void)sqlite3_exec(database->handle,
			   lasting ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
			   NULL, NULL, NULL);
}

int database_insert_container(struct database *database, const struct database_container *row,
			      const struct database_endpoint *endpoints, size_t endpoint_count,
			      struct cay_error *err)
{
	int r;

	(void)pthread_mutex_lock(&database->lock);
	if (row->fleeting)
		set_lasting(database, false);
	r = execute(database, "BEGIN IMMEDIATE", "storing a container", err);
	if (r == 0) {
		r = insert_rows(database, row, endpoints, endpoint_count, err);
		if (r == 0)
			r = execute(database, "COMMIT", "storing a container", err);
		if (r < 0 && !sqlite3_get_autocommit(database->handle))
			(void)sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
	}
	if (row->fleeting)
		set_lasting(database, true);
	(void)pthread_mutex_unlock(&database->lock);
	return r;
}

static int run_container(struct database *database, sqlite3_stmt *statement, bool fleeting,
			 const char *what, struct cay_error *err)
{
	int r;

	if (fleeting)
		set_lasting(database, false);
	r = sqlite3_step(statement) == SQLITE_DONE ? 0 : database_fail(database, what, err);
	if (fleeting) {
		(void)sqlite3_reset(statement); /* its transaction must be over */
		set_lasting(database, true);
	}
	database_finish(database, statement);
	return r;
}

int database_update_container(struct database *database, const struct database_container *row,
			      struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_UPDATE);

	bind_state(statement, row);
	return run_container(database, statement, row->fleeting, "storing a container's state",
			     err);
}

int database_rename_container(struct database *database, const char *id, const char *name,
			      struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_RENAME);

	database_bind_text(statement, 1, id);
	database_bind_text(statement, 2, name);
	return database_run(database, statement, "renaming a container", err);
}

int database_delete_container(struct database *database, const char *id, bool fleeting,
			      struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_DELETE);

	database_bind_text(statement, 1, id);
	return run_container(database, statement, fleeting, "removing a container", err);
}

static struct database_container read_row(sqlite3_stmt *statement)
{
	return (struct database_container){
		.id = database_column_text(statement, 0),
		.name = database_column_text(statement, 1),
		.image_id = database_column_text(statement, 2),
		.image_name = database_column_text(statement, 3),
		.created_ns = sqlite3_column_int64(statement, 4),
		.vm_uid = (uid_t)sqlite3_column_int64(statement, 5),
		.request = database_column_text(statement, 6),
		.status = database_column_text(statement, 7),
		.started_ns = sqlite3_column_int64(statement, 8),
		.finished_ns = sqlite3_column_int64(statement, 9),
		.exit_code = sqlite3_column_int(statement, 10),
		.oom_killed = sqlite3_column_int(statement, 11) != 0,
		.error = database_column_text(statement, 12),
	};
}

int database_each_container(struct database *database,
			    int (*each)(const struct database_container *row, void *user,
					struct cay_error *err),
			    void *user, struct cay_error *err)
{
	sqlite3_stmt *statement = database_begin(database, STATEMENT_EACH);
	int step, r = 0;

	while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
		struct database_container row = read_row(statement);

		r = each(&row, user, err);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = database_fail(database, "reading containers", err);
	database_finish(database, statement);
	return r;
}
