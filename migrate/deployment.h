/* The one row of `deployment`: the secret that keys ids made from an Idempotency-Key. */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"

int deployment_insert(struct pg_conn *conn, struct error *err) MUST_CHECK;
