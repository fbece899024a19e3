/*
 * The first admin token: the file KILN_ADMIN_TOKEN_FILE holds its text ("kiln_" and 43 characters of base64url, a
 * newline), the database its SHA-256.
 *
 *   file  token in the database   what happens
 *   yes   yes                     nothing (a revoked one stays revoked: its row is there)
 *   yes   no                      its hash is inserted: a wiped or another database, or a crash between file and row
 *   no    –                       a new token is made, file first, then row. Also when the database has admin tokens:
 *                                 who runs this owns the database anyway, and nobody is locked out by a lost file. The
 *                                 others stay valid.
 *   unset –                       nothing; a warning when the database has no admin token
 *
 * The file appears whole (link(2) of a temporary one), mode 0600, and is never overwritten. The token is never printed.
 */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"

#define ADMIN_TOKEN_LEN 48

/* `path` may be NULL. */
int admin_token_ensure(struct pg_conn *conn, const char *path, struct error *err) MUST_CHECK;
