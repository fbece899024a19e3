/*
 * What the last look at projects and workers has shown: enough to decide about a lone new build without asking the
 * database first (optimistic concurrency control: the transaction verifies it, optimistic_expect.sql). Being out
 * of date costs a transaction, or sends a build through the queue that need not have waited; never more.
 *
 * One thread's.
 */
#pragma once

#include "build-service/matching/matching.h"
#include "common/base/arena.h"

#define LAST_LOOK_PROJECTS 64

struct last_look {
	struct arena arena; /* the workers' */
	struct match_worker *workers;
	size_t workers_len; /* 0: nothing is known */
	char projects[LAST_LOOK_PROJECTS][UUID_TEXT_SIZE];
	size_t projects_len, next; /* the oldest is replaced */
};

void last_look_init(struct last_look *look);
void last_look_release(struct last_look *look);

/* Rows of match_workers.sql. `now` (may be NULL): the same workers with what has been taken from them since. */
void last_look_take_workers(struct last_look *look, const PGresult *rows, const struct match_worker *now);
/* Rows of read_projects.sql: those that are there and have no limit. */
void last_look_take_projects(struct last_look *look, const PGresult *rows);
bool last_look_knows_project(const struct last_look *look, const char *id);
/* Something was not so any more. */
void last_look_forget(struct last_look *look);
