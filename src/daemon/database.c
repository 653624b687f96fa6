/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's lasting state in sqlite: write-ahead log, every commit synced. */
#include "daemon/database.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>

enum { BUSY_MS = 5000 };

enum statement {
	STATEMENT_INSERT,
	STATEMENT_UPDATE,
	STATEMENT_RENAME,
	STATEMENT_DELETE,
	STATEMENT_EACH,
	STATEMENT_GET_META,
	STATEMENT_SET_META,
	STATEMENT_COUNT,
};

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
	[STATEMENT_SET_META] = "INSERT INTO meta(key, value) VALUES(?1, ?2)",
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
};

struct database {
	char *path;
	pthread_mutex_t lock;
	sqlite3 *handle;
	sqlite3_stmt *prepared[STATEMENT_COUNT];
};

static int fail(struct database *database, const char *what, struct cay_error *err)
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
		: fail(database, what, err);
}

static int read_version(struct database *database, int *ret_version, struct cay_error *err)
{
	sqlite3_stmt *statement;
	int r;

	if (sqlite3_prepare_v2(database->handle, "PRAGMA user_version", -1, &statement, NULL) !=
	    SQLITE_OK)
		return fail(database, "reading the version", err);
	r = sqlite3_step(statement) == SQLITE_ROW ? 0 : fail(database, "reading the version", err);
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
			return fail(database, "preparing a statement", err);
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
		return fail(database, "opening", err);
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

/* Returns the statement with the lock held, to be ended with finish(). */
static sqlite3_stmt *begin(struct database *database, enum statement which)
{
	(void)pthread_mutex_lock(&database->lock);
	return database->prepared[which];
}

static void finish(struct database *database, sqlite3_stmt *statement)
{
	(void)sqlite3_reset(statement); /* repeats the error of the step, which was handled */
	(void)sqlite3_clear_bindings(statement);
	(void)pthread_mutex_unlock(&database->lock);
}

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	(void)sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

static int run(struct database *database, sqlite3_stmt *statement, const char *what,
	       struct cay_error *err)
{
	int r = sqlite3_step(statement) == SQLITE_DONE ? 0 : fail(database, what, err);

	finish(database, statement);
	return r;
}

int database_root_id(struct database *database, char ret_id[ID_SIZE], struct cay_error *err)
{
	sqlite3_stmt *statement = begin(database, STATEMENT_GET_META);
	bool found;

	bind_text(statement, 1, "id");
	found = sqlite3_step(statement) == SQLITE_ROW &&
		sqlite3_column_bytes(statement, 0) == ID_LENGTH;
	if (found)
		memcpy(ret_id, sqlite3_column_text(statement, 0), ID_SIZE);
	finish(database, statement);
	if (found)
		return 0;
	id_make(ret_id);
	statement = begin(database, STATEMENT_SET_META);
	bind_text(statement, 1, "id");
	bind_text(statement, 2, ret_id);
	return run(database, statement, "storing the id", err);
}

/* Binds what both INSERT and UPDATE know by the same numbers. */
static void bind_state(sqlite3_stmt *statement, const struct database_container *row)
{
	bind_text(statement, 1, row->id);
	bind_text(statement, 8, row->status);
	(void)sqlite3_bind_int64(statement, 9, row->started_ns);
	(void)sqlite3_bind_int64(statement, 10, row->finished_ns);
	(void)sqlite3_bind_int(statement, 11, row->exit_code);
	(void)sqlite3_bind_int(statement, 12, row->oom_killed);
	bind_text(statement, 13, row->error);
}

int database_insert_container(struct database *database, const struct database_container *row,
			      struct cay_error *err)
{
	sqlite3_stmt *statement = begin(database, STATEMENT_INSERT);

	bind_state(statement, row);
	bind_text(statement, 2, row->name);
	bind_text(statement, 3, row->image_id);
	bind_text(statement, 4, row->image_name);
	(void)sqlite3_bind_int64(statement, 5, row->created_ns);
	(void)sqlite3_bind_int64(statement, 6, row->vm_uid);
	bind_text(statement, 7, row->request);
	return run(database, statement, "storing a container", err);
}

int database_update_container(struct database *database, const struct database_container *row,
			      struct cay_error *err)
{
	sqlite3_stmt *statement = begin(database, STATEMENT_UPDATE);

	bind_state(statement, row);
	return run(database, statement, "storing a container's state", err);
}

int database_rename_container(struct database *database, const char *id, const char *name,
			      struct cay_error *err)
{
	sqlite3_stmt *statement = begin(database, STATEMENT_RENAME);

	bind_text(statement, 1, id);
	bind_text(statement, 2, name);
	return run(database, statement, "renaming a container", err);
}

int database_delete_container(struct database *database, const char *id, struct cay_error *err)
{
	sqlite3_stmt *statement = begin(database, STATEMENT_DELETE);

	bind_text(statement, 1, id);
	return run(database, statement, "removing a container", err);
}

static const char *column_text(sqlite3_stmt *statement, int index)
{
	const unsigned char *text = sqlite3_column_text(statement, index);

	return text ? (const char *)text : "";
}

static struct database_container read_row(sqlite3_stmt *statement)
{
	return (struct database_container){
		.id = column_text(statement, 0),
		.name = column_text(statement, 1),
		.image_id = column_text(statement, 2),
		.image_name = column_text(statement, 3),
		.created_ns = sqlite3_column_int64(statement, 4),
		.vm_uid = (uid_t)sqlite3_column_int64(statement, 5),
		.request = column_text(statement, 6),
		.status = column_text(statement, 7),
		.started_ns = sqlite3_column_int64(statement, 8),
		.finished_ns = sqlite3_column_int64(statement, 9),
		.exit_code = sqlite3_column_int(statement, 10),
		.oom_killed = sqlite3_column_int(statement, 11) != 0,
		.error = column_text(statement, 12),
	};
}

int database_each_container(struct database *database,
			    int (*each)(const struct database_container *row, void *user,
					struct cay_error *err),
			    void *user, struct cay_error *err)
{
	sqlite3_stmt *statement = begin(database, STATEMENT_EACH);
	int step, r = 0;

	while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
		struct database_container row = read_row(statement);

		r = each(&row, user, err);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = fail(database, "reading containers", err);
	finish(database, statement);
	return r;
}
