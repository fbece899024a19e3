/* The table of KILN_* variables of kiln-migrate. */
#pragma once

#include <stdint.h>

#include "common/base/config.h"

struct migrate_settings {
	struct config_common common; /* first: see common/base/config.h */
	char *database_url;
	int64_t timeout_ms;
	int64_t replication; /* 0: min(3, brokers) */
	char *password_gateway, *password_build_service, *password_notifier;
	char *admin_token_file;
};

extern const struct config_option migrate_options[];
extern const size_t migrate_options_len;
