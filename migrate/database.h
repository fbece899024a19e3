/*
 * The schema: numbered files, each in a transaction of its own, recorded with their SHA-256. Under a session's advisory
 * lock, so that of several kiln-migrate at once one works and the others find everything done. An applied file that has
 * changed, a recorded file that this binary does not have, and a new file numbered below an applied one are refused:
 * the database is then not what the files say.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"
#include "migrate/migrations.h"

/* Waits for Postgres, then for the lock, until the deadline (clock_boot_ms). The lock is held until the connection
 * closes. */
int database_open(struct pg_conn *conn, int64_t deadline_ms, struct error *err) MUST_CHECK;

/* Applies what is missing of `files` (ends with name NULL). */
int database_migrate(struct pg_conn *conn, const struct migration_file *files, struct error *err) MUST_CHECK;
