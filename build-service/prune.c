#include "build-service/prune.h"

#include "kiln_build_service_sql.h"

/* A build's log goes first, 500 records at a time: with its build it would all be in one statement, which must end in
 * time. */
enum { TASK_LOGS, TASK_BUILDS, TASK_AUDIT, TASK_WORKERS, TASKS };

static struct metric removed[TASKS] = {RETENTION_REMOVED("log_records"), RETENTION_REMOVED("builds"),
									   RETENTION_REMOVED("audit_entries"), RETENTION_REMOVED("workers")};
static struct metric last_run[TASKS] = {RETENTION_LAST_RUN("log_records"), RETENTION_LAST_RUN("builds"),
										RETENTION_LAST_RUN("audit_entries"), RETENTION_LAST_RUN("workers")};

int prune_start(struct service *service, struct retention **ret_retention, struct error *err)
{
	const struct service_config *config = service->config;
	int64_t trail_days = config->retention_trail_days, logs_days = config->retention_logs_days;
	const struct retention_task tasks[TASKS] = {
		[TASK_LOGS] = {.lock = "kiln.retention.logs",
					   .days = logs_days < trail_days ? logs_days : trail_days,
					   .removes = &sql_retention_remove_logs,
					   .removed = &removed[TASK_LOGS],
					   .last_run = &last_run[TASK_LOGS]},
		[TASK_BUILDS] = {.lock = "kiln.retention.builds",
						 .days = trail_days,
						 .find = &sql_retention_find_builds,
						 .locks = &sql_lock_builds,
						 .removes = &sql_retention_remove_builds,
						 .removed = &removed[TASK_BUILDS],
						 .last_run = &last_run[TASK_BUILDS]},
		[TASK_AUDIT] = {.lock = "kiln.retention.audit",
						.days = trail_days,
						.removes = &sql_retention_remove_audit,
						.removed = &removed[TASK_AUDIT],
						.last_run = &last_run[TASK_AUDIT]},
		/* The row is what fences an earlier start of the worker, and a clone; longer than the topic is kept, which a
		 * restore or a rewind reads again. */
		[TASK_WORKERS] = {.lock = "kiln.retention.workers",
						  .days = config->retention_workers_days,
						  .find = &sql_retention_find_workers,
						  .locks = &sql_lock_workers,
						  .removes = &sql_retention_remove_workers,
						  .removed = &removed[TASK_WORKERS],
						  .last_run = &last_run[TASK_WORKERS]},
	};
	const struct retention_options options = {.pg = service->pg,
											  .watch = service->watch,
											  .tasks = tasks,
											  .tasks_len = TASKS,
											  .every_s = config->retention_every_s};
	return retention_start(&options, ret_retention, err);
}
