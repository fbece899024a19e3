/*
 * The gateway's own tail of kiln.build.requests: all partitions into recent_builds and key_index, from some minutes
 * back, and from what Postgres lacks, if that is more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/gateway.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/config.h"

int tail_start(struct gateway *gateway, const struct kafka_settings *settings, struct error *err) MUST_CHECK;
/* Ends the thread and frees it. Harmless when it was not started. */
void tail_stop(struct gateway *gateway);

/* The partition of a build's requests. */
int32_t tail_partition(const char *build_id);
