/*
 * Projects whose parked builds may have room now: a place was given back, a build that had come back into the line has
 * left it, or a limit was raised. Whoever commits that notes it, and wakes the dispatcher, which brings as many builds
 * back into the common line as there is room for (sql/unpark.sql). It looks without the match's lock: a match under way
 * may park a build of such a project after that look. So who parks a build notes its project, too, behind his commit: of
 * the two looks, the later one sees both (tests/model/parked.pml).
 *
 * What is lost with the process, or cannot be known (the outcome of a commit, a project that a restore has not brought
 * back yet), the dispatcher's timer finds: it looks at all projects.
 *
 * Any thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "build-service/build_set.h"
#include "common/base/map.h"
#include "common/pg/rows.h"

/* Projects that are kept by name. With more of them, all projects are looked at. */
#define VACANCIES_MAX 1024

struct vacancies {
	pthread_mutex_t lock;
	struct map *projects; /* by id; the values say nothing */
	bool all;
};

void vacancies_init(struct vacancies *vacancies);
void vacancies_release(struct vacancies *vacancies);

/* A project's id. */
void vacancies_add(struct vacancies *vacancies, const char *project_id);
/* Those of the set's last store: after its commit. */
void vacancies_add_set(struct vacancies *vacancies, const struct build_set *set);
void vacancies_add_all(struct vacancies *vacancies);

/* Takes what was noted: into rows of one column, which are cleared before. Returns whether all projects are to be
 * looked at; then there are no rows. */
bool vacancies_take(struct vacancies *vacancies, struct rows *ret_projects);
