/*
 * Retention of what the build service writes: ended builds with their trails, log lines, the audit log. A thread of its
 * own (common/pg/retention.h).
 */
#pragma once

#include "build-service/service.h"

struct prune;

int prune_start(struct service *service, struct prune **ret_prune, struct error *err) MUST_CHECK;
void prune_stop(struct prune *prune);
