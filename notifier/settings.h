/* The table of KILN_* variables of kiln-notifier. */
#pragma once

#include <stdint.h>

#include "common/base/config.h"

struct notifier_settings {
	struct config_common common; /* first: see common/base/config.h */
	char *database_url;
	char *webhook_allow;
	char *webhook_schedule;
	int64_t retention_deliveries_days;
	int64_t retention_every_s;
	int64_t webhook_timeout_ms;
	int64_t webhook_in_flight;
	int64_t webhook_per_host;
};

extern const struct config_option notifier_options[];
extern const size_t notifier_options_len;
