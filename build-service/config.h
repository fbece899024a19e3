/* KILN_* variables of the build service. */
#pragma once

#include "common/base/config.h"

struct service_config {
	struct config_common common; /* first */
	char *database_url;
	char *git_base_url; /* NULL: none */
	int64_t lease_ms;
	int64_t accept_deadline_ms;
	int64_t worker_fresh_ms;
	int64_t dispatch_timer_ms;
	int64_t max_losses;
	int64_t retry_backoff_ms;
	int64_t settle_limit_s;
	int64_t provisional_s;
	int64_t retention_trail_days;
	int64_t retention_logs_days;
	int64_t retention_workers_days;
	int64_t retention_every_s;
	int64_t batch_records;
};

extern const struct config_option service_options[];
extern const size_t service_options_len;
