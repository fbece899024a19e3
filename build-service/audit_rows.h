/* Rows of audit_log: who asked for a cancel, written with what came of it. */
#pragma once

#include "build-service/requests.h"
#include "common/pg/rows.h"

#define AUDIT_COLUMNS 7 /* of insert_audit.sql */

/* Nothing is added for a record that does not say whose it is and where it came from (a gateway older than the audit).
 * Texts are copied. */
void audit_rows_add_cancel(struct rows *rows, const struct request *request);
