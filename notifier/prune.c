#include "notifier/prune.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/pg/retention.h"
#include "kiln_notifier_parts_sql.h"

struct prune {
	struct retention_task task;
	struct retention *retention;
};

static struct metric removed = RETENTION_REMOVED("deliveries"), last_run = RETENTION_LAST_RUN("deliveries");

int prune_start(const struct notifier_settings *settings, const struct pg_settings *pg, struct prune **ret_prune,
				struct error *err)
{
	struct prune *prune = xcalloc(1, sizeof(*prune));
	prune->task = (struct retention_task){.lock = "kiln.retention.deliveries",
										  .days = settings->retention_deliveries_days,
										  .removes = &sql_retention_remove,
										  .removed = &removed,
										  .last_run = &last_run};
	const struct retention_options options = {
		.pg = *pg, .tasks = &prune->task, .tasks_len = 1, .every_s = settings->retention_every_s};
	if (retention_start(&options, &prune->retention, err) < 0) {
		free(prune);
		return -1;
	}
	*ret_prune = prune;
	return 0;
}

void prune_stop(struct prune *prune)
{
	if (prune == NULL)
		return;
	retention_stop(prune->retention);
	free(prune);
}
