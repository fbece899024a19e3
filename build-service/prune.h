/*
 * Retention of what the build service writes: ended builds with their trails, log lines, the audit log, workers
 * that are not there any more.
 */
#pragma once

#include "build-service/service.h"
#include "common/pg/retention.h"

/* Ends with retention_stop. */
int prune_start(struct service *service, struct retention **ret_retention, struct error *err) MUST_CHECK;
