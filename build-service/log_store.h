/*
 * kiln.build.logs into build_logs: an inbox of its own (consumer kiln-log-store), so that a flood of logs never delays
 * a build. A record's place is (build, attempt, first line): repeats land on it. Each is packed (common/pack/pack.h).
 */
#pragma once

#include "build-service/service.h"
#include "common/base/buffer.h"

struct log_store;

int log_store_start(struct service *service, struct log_store **ret_store, struct error *err) MUST_CHECK;
/* Leaves the group after the batch under way, ends the thread and frees it. Not NULL. */
void log_store_stop(struct log_store *store);
/* For /readyz: checks are called until ops_server_stop; what they look at outlives it. */
bool log_store_ready(struct log_store *store, struct buffer *why);
