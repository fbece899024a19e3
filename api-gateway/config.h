/* What the gateway is told by its environment. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/config.h"

#define GATEWAY_BODY_MAX 4194304                               /* the most that KILN_MAX_BODY_BYTES may be */
#define GATEWAY_WRITTEN_MAX JSON_WRITTEN_MAX(GATEWAY_BODY_MAX) /* and what its tree comes to: common/json/json.h */

struct gateway_config {
	struct config_common common; /* first: service_start fills it */
	char *listen;
	char *trusted_proxies;
	char *tls_cert_file;
	char *tls_key_file;
	int64_t threads; /* 0: one per core */
	int64_t workers;
	int64_t worker_queue;
	int64_t max_connections;
	int64_t max_body_bytes;
	int64_t max_unread_bytes;
	int64_t max_request_rate;
	int64_t max_request_rate_per_token;
	int64_t max_auth_failures;
	int64_t header_timeout_ms;
	int64_t body_timeout_ms;
	int64_t idle_timeout_ms;
	int64_t write_timeout_ms;
	int64_t request_timeout_ms;
	int64_t drain_delay_ms;
	int64_t recent_bytes;
	int64_t recent_minutes;
	int64_t cached_builds;
	int64_t max_streams;
	int64_t max_streams_per_token;
	int64_t stream_buffer_bytes;
	int64_t stream_heartbeat_ms;
	int64_t worker_fresh_ms; /* the build service's */
	int64_t stream_stall_ms;
	int64_t max_downloads;
	int64_t max_downloads_per_token;
	int64_t max_wait_s;
	int64_t max_waits;
	int64_t max_waits_per_token;
	int64_t recent_keys;
	bool access_log;
	char *database_url;
	char *git_base_url;
	char *git_base_credential;
	char *git_allow, *network_allow;
	char *webhook_allow;
	char *model_prices; /* the executors'; NULL: not known here */
	char *cors_origins;
	char *artifacts_dir; /* NULL: artifacts cannot be had here */
};

extern const struct config_option gateway_options[];
extern const size_t gateway_options_len;

/* "host:port" or "[v6]:port" → both parts, heap. */
int config_split_address(const char *listen, char **ret_host, char **ret_port, struct error *err) MUST_CHECK;
/* Values as they are used: the base URL without a trailing slash. */
void config_tidy(struct gateway_config *config);
