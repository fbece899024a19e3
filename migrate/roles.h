/* The services' roles (migrations/0001_roles.sql) get LOGIN and the password that kiln-migrate was told. */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"
#include "migrate/settings.h"

int roles_set_passwords(struct pg_conn *conn, const struct migrate_settings *settings, int64_t deadline_ms,
						struct error *err) MUST_CHECK;
