/*
 * The main inbox (consumer kiln-build-service): requests, results and worker events, applied by batch.c on a thread of
 * its own; between batches what needs the owner of the partitions: accept deadlines, leases, provisional projects,
 * assignments to be sent again, early results.
 */
#pragma once

#include "build-service/service.h"
#include "common/base/buffer.h"

struct intake;

int intake_start(struct service *service, struct intake **ret_intake, struct error *err) MUST_CHECK;
/* Leaves the group after the batch under way, ends the thread and frees it. Not NULL. */
void intake_stop(struct intake *intake);
/* For /readyz: checks are called until ops_server_stop; what they look at outlives it. */
bool intake_ready(struct intake *intake, struct buffer *why);
