#include "build-service/config.h"

#include "common/base/compiler.h"
#include "common/http/address_url.h"
#include "common/kafka/config.h"
#include "common/pg/pg.h"

#define FIELD(name) offsetof(struct service_config, name)

const struct config_option service_options[] = {
	KAFKA_CONFIG_OPTION,
	{"KILN_DATABASE_URL", CONFIG_STRING, FIELD(database_url), .flags = CONFIG_REQUIRED | CONFIG_SECRET,
	 .check = pg_url_check, .help = "libpq connection string of the database"},
	{"KILN_GIT_BASE_URL", CONFIG_STRING, FIELD(git_base_url), .check = url_check_git_base,
	 .help = "as the gateway's: where projects without a git_url are, for what is told of one that is removed"},
	{"KILN_LEASE_MS", CONFIG_INT, FIELD(lease_ms), .fallback = "30000", .min = 1000, .max = 600000,
	 .help =
		 "milliseconds without a heartbeat after which a worker's attempts are lost; workers stop theirs after 20 s"},
	{"KILN_ACCEPT_DEADLINE_MS", CONFIG_INT, FIELD(accept_deadline_ms), .fallback = "5000", .min = 100, .max = 600000,
	 .help = "milliseconds in which a worker must accept an attempt"},
	{"KILN_WORKER_FRESH_MS", CONFIG_INT, FIELD(worker_fresh_ms), .fallback = "8000", .min = 500, .max = 600000,
	 .help = "milliseconds after its last heartbeat in which a worker is given attempts"},
	{"KILN_DISPATCH_TIMER_MS", CONFIG_INT, FIELD(dispatch_timer_ms), .fallback = "1000", .min = 100, .max = 3600000,
	 .help = "milliseconds between two looks at what waits for its time: retries, queue time-outs, what a crash left"},
	{"KILN_MAX_LOSSES", CONFIG_INT, FIELD(max_losses), .fallback = "3", .min = 1, .max = 100,
	 .help = "attempts of a build that may be lost with their worker before it fails"},
	{"KILN_RETRY_BACKOFF_MS", CONFIG_INT, FIELD(retry_backoff_ms), .fallback = "2000", .min = 10, .max = 300000,
	 .help = "milliseconds before the second try of a build; doubles with each"},
	{"KILN_SETTLE_LIMIT_S", CONFIG_INT, FIELD(settle_limit_s), .fallback = "3600", .min = 1, .max = 604800,
	 .help = "seconds in which the fate of an interrupted push must be found out"},
	{"KILN_PROVISIONAL_S", CONFIG_INT, FIELD(provisional_s), .fallback = "600", .min = 1, .max = 86400,
	 .help = "age in seconds at which a project whose first build never came is removed"},
	{"KILN_RETENTION_TRAIL_DAYS", CONFIG_INT, FIELD(retention_trail_days), .fallback = "400", .min = 31, .max = 36500,
	 .help = "days after which an ended build goes with its trail, and entries of the audit log; longer than any topic "
			 "is kept"},
	{"KILN_RETENTION_LOGS_DAYS", CONFIG_INT, FIELD(retention_logs_days), .fallback = "30", .min = 4, .max = 36500,
	 .help = "days after which log lines go; those of a build go with its trail at the latest"},
	{"KILN_RETENTION_WORKERS_DAYS", CONFIG_INT, FIELD(retention_workers_days), .fallback = "30", .min = 2, .max = 36500,
	 .help =
		 "days after which a worker that was lost or has said goodbye is forgotten; longer than its words are kept"},
	{"KILN_RETENTION_EVERY_S", CONFIG_INT, FIELD(retention_every_s), .fallback = "60", .min = 1, .max = 86400,
	 .help = "seconds between two looks for what is too old"},
	{"KILN_BATCH_RECORDS", CONFIG_INT, FIELD(batch_records), .fallback = "1000", .min = 1, .max = 10000,
	 .help = "records of Kafka that are applied in one transaction, at most"},
};
const size_t service_options_len = ARRAY_LEN(service_options);
