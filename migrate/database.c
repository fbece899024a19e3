#include "migrate/database.h"

#include <poll.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_migrate_sql.h"

#define RETRY_MS 200
#define SAY_EVERY_MS 5000

static int connect_until(struct pg_conn *conn, int64_t deadline_ms, struct error *err)
{
	int64_t say_ms = clock_boot_ms() + 1000;

	while (pg_connect(conn, err) < 0) {
		if (clock_left_ms(deadline_ms) == 0)
			return error_prefix(err, "Postgres is not there");
		if (clock_boot_ms() >= say_ms) {
			log_info("waiting for Postgres", "error", err->message, NULL);
			say_ms = clock_boot_ms() + SAY_EVERY_MS;
		}
		poll(NULL, 0, RETRY_MS);
	}
	return 0;
}

/* Waited for in Postgres, not polled; lock_timeout is the session's. */
static int lock(struct pg_conn *conn, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *result = NULL;

	if (pg_query(conn, &sql_try_lock, NULL, 0, &result, err) < 0)
		return -1;
	if (pg_bool(result, 0, "locked"))
		return 0;
	log_info("waiting for another kiln-migrate", NULL);
	if (pg_query(conn, &sql_lock, NULL, 0, NULL, err) == 0)
		return 0;
	if (str_equal(err->sqlstate, "55P03"))
		return error_set(err, ERR_TIMEOUT, "another kiln-migrate holds the lock of this database for too long");
	return -1;
}

int database_open(struct pg_conn *conn, int64_t deadline_ms, struct error *err)
{
	if (connect_until(conn, deadline_ms, err) < 0)
		return -1;
	if (lock(conn, err) < 0)
		return -1;
	return pg_run(conn,
				  "SET client_min_messages = warning; "
				  "CREATE TABLE IF NOT EXISTS schema_migrations ("
				  "name text PRIMARY KEY, checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
				  err);
}

static const struct migration_file *find_file(const struct migration_file *files, const char *name)
{
	for (const struct migration_file *file = files; file->name != NULL; file++) {
		if (str_equal(file->name, name))
			return file;
	}
	return NULL;
}

static void checksum_text(const struct migration_file *file, char ret[2 * SHA256_SIZE + 1])
{
	uint8_t digest[SHA256_SIZE];

	sha256(file->data, file->len, digest);
	hex_encode(digest, sizeof(digest), ret);
}

/* Every recorded file is here and the same. ret_last: the newest recorded name, "" when there is none; valid as long as
 * the result. */
static int check_recorded(const PGresult *recorded, const struct migration_file *files, const char **ret_last,
						  struct error *err)
{
	char checksum[2 * SHA256_SIZE + 1];
	const char *last = "";

	for (int row = 0; row < PQntuples(recorded); row++) {
		const char *name = pg_text(recorded, row, "name");
		const struct migration_file *file = find_file(files, name);
		if (file == NULL)
			return error_set(
				err, ERR_CONFLICT,
				"the database has migration %s, which this kiln-migrate does not know: it is older than the database",
				name);
		checksum_text(file, checksum);
		if (!str_equal(checksum, pg_text(recorded, row, "checksum")))
			return error_set(err, ERR_CONFLICT,
							 "migration %s was changed after it was applied: an applied file must stay as it is, a "
							 "change is a new file",
							 name);
		last = name;
	}
	*ret_last = last;
	return 0;
}

static int apply(struct pg_conn *conn, const struct migration_file *file, struct error *err)
{
	char checksum[2 * SHA256_SIZE + 1];
	int64_t start_ms = clock_boot_ms();

	checksum_text(file, checksum);
	if (pg_begin(conn, err) < 0)
		return -1;
	if (pg_run(conn, file->data, err) < 0 ||
		pg_query(conn, &sql_record_migration, PG_PARAMS(file->name, checksum), 2, NULL, err) < 0 ||
		pg_commit(conn, err) < 0) {
		pg_rollback(conn);
		return error_prefix(err, "migration %s", file->name);
	}
	log_info("migration applied", "name", file->name, "duration_ms", LOG_INT(clock_boot_ms() - start_ms), NULL);
	return 0;
}

int database_migrate(struct pg_conn *conn, const struct migration_file *files, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *recorded = NULL;
	const char *last = "";

	if (pg_query(conn, &sql_recorded_migrations, NULL, 0, &recorded, err) < 0 ||
		check_recorded(recorded, files, &last, err) < 0)
		return -1;
	for (const struct migration_file *file = files; file->name != NULL; file++) {
		if (pg_find_row(recorded, "name", file->name) >= 0)
			continue;
		if (strcmp(file->name, last) < 0)
			return error_set(err, ERR_CONFLICT,
							 "migration %s is missing in the database although %s was applied: a new file must have "
							 "the highest number",
							 file->name, last);
		if (apply(conn, file, err) < 0)
			return -1;
	}
	return 0;
}
