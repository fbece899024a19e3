/* Retention of deliveries: those that have ended and are too old go, with their attempts. */
#pragma once

#include "common/pg/pg.h"
#include "common/pg/retention.h"
#include "notifier/settings.h"

/* Ends with retention_stop. */
int prune_start(const struct notifier_settings *settings, const struct pg_settings *pg,
				struct retention **ret_retention, struct error *err) MUST_CHECK;
