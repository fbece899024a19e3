/* librdkafka configuration that every client shares: brokers, the operator's properties file (TLS, SASL), limits, and
 * the deviations from librdkafka 2.0.2's defaults. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "common/base/compiler.h"
#include "common/base/config.h"
#include "common/base/error.h"

struct kafka_settings {
	const char *brokers;
	const char *properties_file; /* librdkafka "key=value" lines, # comments; NULL = none */
	const char *client_id;       /* the service's name */
	/* Consumers only: a fetch is answered when so many bytes are there, or after so long. 0: at once when there is
	 * anything, after 500 ms when there is nothing. Both together trade delay for far fewer, larger fetches. */
	int fetch_min_bytes, fetch_wait_ms;
};

/* Can the file be read, and does librdkafka know each of its lines? A config_option's check. What is wrong is told
 * without any value; it may be a password. */
int kafka_properties_check(const char *path, struct error *err) MUST_CHECK;

/* For the table of a service whose struct begins with a struct config_common. */
#define KAFKA_CONFIG_OPTION KAFKA_CONFIG_OPTION_BY(kafka_properties_check)
/* The same with another check; NULL: the service calls kafka_properties_check when it has loaded its settings. */
#define KAFKA_CONFIG_OPTION_BY(checked)                                                                                \
	{                                                                                                                  \
		"KILN_KAFKA_CONFIG", CONFIG_STRING, offsetof(struct config_common, kafka_config),                              \
			.check = (checked), .help = "path of a file with librdkafka properties (TLS, SASL)"                        \
	}

/* A new conf (the caller's) with: bootstrap.servers, client.id, socket.nagle.disable, socket.keepalive.enable,
 * message.max.bytes, fetch.message.max.bytes, allow.auto.create.topics=false, reconnect.backoff.max.ms=1000, log_cb
 * into log.h, error_cb (logged once a second at most), then the file's lines, which win. */
int kafka_conf_new(const struct kafka_settings *settings, rd_kafka_conf_t **ret_conf, struct error *err) MUST_CHECK;
/* rd_kafka_conf_set with our error. */
int kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err) MUST_CHECK;
