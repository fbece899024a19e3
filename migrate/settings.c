#include "migrate/settings.h"

#include "common/kafka/config.h"
#include "common/pg/pg.h"

#define FIELD(name) offsetof(struct migrate_settings, name)

const struct config_option migrate_options[] = {
	KAFKA_CONFIG_OPTION,
	{"KILN_DATABASE_URL", CONFIG_STRING, FIELD(database_url), .flags = CONFIG_REQUIRED | CONFIG_SECRET,
	 .check = pg_url_check, .help = "Postgres connection string of the database's owner, who may create roles"},
	{"KILN_MIGRATE_TIMEOUT_MS", CONFIG_INT, FIELD(timeout_ms), .fallback = "60000", .min = 100, .max = 3600000,
	 .help = "how long to wait, in milliseconds, for Postgres, for another kiln-migrate and for Kafka, all together"},
	{"KILN_KAFKA_REPLICATION", CONFIG_INT, FIELD(replication), .fallback = "0", .min = 0, .max = 9,
	 .help = "replicas of new topics, and the number of brokers to wait for; 0 is min(3, brokers that answer)"},
	{"KILN_ROLE_PASSWORD_GATEWAY", CONFIG_STRING, FIELD(password_gateway), .flags = CONFIG_SECRET,
	 .help = "gives the role kiln_gateway LOGIN and this password; unset leaves the role as it is"},
	{"KILN_ROLE_PASSWORD_BUILD_SERVICE", CONFIG_STRING, FIELD(password_build_service), .flags = CONFIG_SECRET,
	 .help = "gives the role kiln_build_service LOGIN and this password"},
	{"KILN_ROLE_PASSWORD_NOTIFIER", CONFIG_STRING, FIELD(password_notifier), .flags = CONFIG_SECRET,
	 .help = "gives the role kiln_notifier LOGIN and this password"},
	{"KILN_ADMIN_TOKEN_FILE", CONFIG_STRING, FIELD(admin_token_file),
	 .help = "file with the first admin token: made when it is not there (mode 0600), never overwritten; unset makes "
			 "no token"},
};
const size_t migrate_options_len = ARRAY_LEN(migrate_options);
