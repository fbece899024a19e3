#include "notifier/settings.h"

#include "common/http/address_guard.h"
#include "common/kafka/config.h"
#include "common/pg/pg.h"
#include "notifier/schedule.h"

#define FIELD(name) offsetof(struct notifier_settings, name)

const struct config_option notifier_options[] = {
	KAFKA_CONFIG_OPTION,
	{"KILN_DATABASE_URL", CONFIG_STRING, FIELD(database_url), .flags = CONFIG_REQUIRED | CONFIG_SECRET,
	 .check = pg_url_check, .help = "Postgres connection string of the role kiln_notifier"},
	{"KILN_WEBHOOK_ALLOW", CONFIG_STRING, FIELD(webhook_allow), .check = address_guard_check,
	 .help = "CIDRs, addresses and host names, each with an optional :port, that webhooks may go to although they are "
			 "not public"},
	{"KILN_WEBHOOK_SCHEDULE", CONFIG_STRING, FIELD(webhook_schedule),
	 .fallback = "0,5,300,1800,7200,18000,36000,50400,72000,86400", .check = schedule_check,
	 .help = "seconds before each attempt, from the event and then from the attempt before; their number is the number "
			 "of attempts"},
	{"KILN_RETENTION_DELIVERIES_DAYS", CONFIG_INT, FIELD(retention_deliveries_days), .fallback = "400", .min = 31,
	 .max = 36500, .help = "days after which deliveries that have ended go; longer than the events' topic is kept"},
	{"KILN_RETENTION_EVERY_S", CONFIG_INT, FIELD(retention_every_s), .fallback = "60", .min = 1, .max = 86400,
	 .help = "seconds between two looks for what is too old"},
	{"KILN_WEBHOOK_TIMEOUT_MS", CONFIG_INT, FIELD(webhook_timeout_ms), .fallback = "15000", .min = 100, .max = 60000,
	 .help = "milliseconds that one attempt may take"},
	{"KILN_WEBHOOK_IN_FLIGHT", CONFIG_INT, FIELD(webhook_in_flight), .fallback = "64", .min = 1, .max = 512,
	 .help = "attempts under way at once"},
	{"KILN_WEBHOOK_PER_HOST", CONFIG_INT, FIELD(webhook_per_host), .fallback = "8", .min = 1, .max = 512,
	 .help = "attempts under way at once to one host and port, so that a slow one does not hold up the others"},
};
const size_t notifier_options_len = ARRAY_LEN(notifier_options);
