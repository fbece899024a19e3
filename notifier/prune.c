#include "notifier/prune.h"

#include "kiln_notifier_parts_sql.h"

static struct metric removed = RETENTION_REMOVED("deliveries"), last_run = RETENTION_LAST_RUN("deliveries");

int prune_start(const struct notifier_settings *settings, const struct pg_settings *pg,
				struct retention **ret_retention, struct error *err)
{
	const struct retention_task task = {.lock = "kiln.retention.deliveries",
										.days = settings->retention_deliveries_days,
										.removes = &sql_retention_remove,
										.removed = &removed,
										.last_run = &last_run};
	const struct retention_options options = {
		.pg = *pg, .tasks = &task, .tasks_len = 1, .every_s = settings->retention_every_s};
	return retention_start(&options, ret_retention, err);
}
