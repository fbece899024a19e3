#include "build-service/prune.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/pg/retention.h"
#include "kiln_build_service_sql.h"

/* A build's log goes first, 500 records at a time: with its build it would all be in one statement, which must end in
 * time. */
enum { TASK_LOGS, TASK_BUILDS, TASK_AUDIT, TASKS };

struct prune {
	struct retention_task tasks[TASKS];
	struct retention *retention;
};

static struct metric removed[TASKS] = {RETENTION_REMOVED("log_records"), RETENTION_REMOVED("builds"),
									   RETENTION_REMOVED("audit_entries")};
static struct metric last_run[TASKS] = {RETENTION_LAST_RUN("log_records"), RETENTION_LAST_RUN("builds"),
										RETENTION_LAST_RUN("audit_entries")};

int prune_start(struct service *service, struct prune **ret_prune, struct error *err)
{
	const struct service_config *config = service->config;
	struct prune *prune = xcalloc(1, sizeof(*prune));
	int64_t logs_days = config->retention_logs_days < config->retention_trail_days ? config->retention_logs_days
																				   : config->retention_trail_days;
	prune->tasks[TASK_LOGS] = (struct retention_task){
		.lock = "kiln.retention.logs", .days = logs_days, .removes = &sql_retention_remove_logs};
	prune->tasks[TASK_BUILDS] = (struct retention_task){.lock = "kiln.retention.builds",
														.days = config->retention_trail_days,
														.find = &sql_retention_find_builds,
														.locks = &sql_lock_builds,
														.removes = &sql_retention_remove_builds};
	prune->tasks[TASK_AUDIT] = (struct retention_task){
		.lock = "kiln.retention.audit", .days = config->retention_trail_days, .removes = &sql_retention_remove_audit};
	for (size_t i = 0; i < TASKS; i++) {
		prune->tasks[i].removed = &removed[i];
		prune->tasks[i].last_run = &last_run[i];
	}
	const struct retention_options options = {.pg = service->pg,
											  .watch = service->watch,
											  .tasks = prune->tasks,
											  .tasks_len = TASKS,
											  .every_s = config->retention_every_s};
	if (retention_start(&options, &prune->retention, err) < 0) {
		free(prune);
		return -1;
	}
	*ret_prune = prune;
	return 0;
}

void prune_stop(struct prune *prune)
{
	retention_stop(prune->retention);
	free(prune);
}
