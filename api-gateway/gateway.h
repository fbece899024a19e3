/* What the parts of the gateway share. Made by main, in this order; constant after the loops have started. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "api-gateway/config.h"
#include "api-gateway/requests/send_limits.h"
#include "api-gateway/requests/wait_limit.h"
#include "common/base/list.h"
#include "common/http/address_guard.h"
#include "common/json/schema.h"
#include "common/kafka/bursts.h"
#include "common/kafka/producer.h"

struct address_list;
struct admission;
struct artifact_store;
struct build_reads;
struct caches;
struct cors;
struct downloads;
struct guesses;
struct key_index;
struct key_lookups;
struct own_records;
struct read_barriers;
struct recent_builds;
struct shared_map;
struct streams;
struct tls;
struct topic_tail;
struct workers;

/* The bodies that clients send, by their schema. */
struct body_schemas {
	const struct schema *build_spec;
	const struct schema *create_and_build;
	const struct schema *project_create;
	const struct schema *project_patch;
	const struct schema *template_create;
	const struct schema *token_create;
	const struct schema *nothing;
};

struct gateway {
	const struct gateway_config *config;
	struct schema_set *schemas;
	struct body_schemas bodies;
	struct address_guard *git_guard;
	struct address_guard *network_guard;
	struct address_guard *webhook_guard;
	struct model_prices *model_prices; /* NULL: not known here */
	struct address_list *trusted_proxies;
	struct cors *cors; /* NULL: off */
	struct tls *tls;   /* NULL: off */
	struct kafka_producer *producer;
	struct bursts *bursts;          /* of build requests, before the producer */
	struct list_node acknowledged;  /* accept.c */
	struct own_records *own;        /* of accept.c, for the tail */
	struct read_barriers *barriers; /* of the requests' partitions */
	struct caches *caches;
	struct recent_builds *recent;
	struct shared_map *build_cache; /* build_cache.h */
	struct topic_tail *tail;        /* of the requests */
	struct key_index *keys;
	struct key_lookups *key_lookups;
	struct workers *workers;
	struct send_limits sends;     /* of workers, for Kafka (record_send.h) */
	struct wait_limit proofs;     /* as well, for a proof (build_lookup.h) */
	struct wait_limit applied;    /* as well, for all requests to be applied (build_lookup.h) */
	struct send_limits log_waits; /* as well, for the log store, by the log's partitions (log_progress.h) */
	struct build_reads *build_reads;
	struct streams *streams;
	struct artifact_store *artifacts; /* NULL: there is none here */
	struct downloads *downloads;      /* NULL as well */
	struct admission *admission;      /* NULL: no limit (rate_limit.h) */
	struct guesses *guesses;          /* as well */
	_Atomic bool draining;
};

/* How long a POST may wait for Kafka: the answer comes within 2 s in any case. Failed messages are reported up to 1 s
 * after message.timeout.ms (librdkafka looks once a second), so that it mostly says "never sent" where that is sure. */
#define ACCEPT_MESSAGE_TIMEOUT_MS 900
#define ACCEPT_DEADLINE_MS 1950

#define GATEWAY_SOURCE "/kiln/gateway"
