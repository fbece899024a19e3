/*
 * Provisional projects whose first build never came (docs/contract.md, When something is away): removed when they are
 * old enough and all request partitions have been applied up to ends that were asked for after that, for any build of
 * the project makes it permanent; and told as project.deleted, for they were told as project.created. On the inbox's
 * thread.
 */
#pragma once

#include "build-service/barrier.h"
#include "build-service/service.h"
#include "common/pg/rows.h"

struct projects_reaper {
	struct service *service;
	int64_t next_ms;
	struct rows projects; /* a round: they wait for the barrier */
	struct barrier barrier;
	struct partitions waits; /* of the round */
};

void projects_reaper_init(struct projects_reaper *reaper, struct service *service);
void projects_reaper_release(struct projects_reaper *reaper);
int projects_reaper_tick(struct projects_reaper *reaper, struct pg_conn *conn, struct error *err) MUST_CHECK;
