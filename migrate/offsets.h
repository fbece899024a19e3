/* Who reads which topic through an inbox, and the offset rows that they need: 0 for each partition that has none. */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/pg/pg.h"

int offsets_insert(struct pg_conn *conn, struct error *err) MUST_CHECK;
