/* Retention of deliveries: those that have ended and are too old go, with their attempts. A thread of its own
 * (common/pg/retention.h). */
#pragma once

#include "common/pg/pg.h"
#include "notifier/settings.h"

struct prune;

int prune_start(const struct notifier_settings *settings, const struct pg_settings *pg, struct prune **ret_prune,
				struct error *err) MUST_CHECK;
void prune_stop(struct prune *prune); /* NULL is allowed */
