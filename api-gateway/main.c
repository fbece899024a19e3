/* kiln-gateway: the REST API. Read this as a table of contents. */
#include "api-gateway/builds/accept.h"
#include "api-gateway/builds/build_reads.h"
#include "api-gateway/callers/caches.h"
#include "api-gateway/config.h"
#include "api-gateway/http/cors.h"
#include "api-gateway/requests/downloads.h"
#include "api-gateway/gateway.h"
#include "api-gateway/builds/key_index.h"
#include "api-gateway/builds/key_lookups.h"
#include "api-gateway/builds/own_records.h"
#include "api-gateway/http/problem.h"
#include "api-gateway/callers/rate_limit.h"
#include "api-gateway/builds/recent_builds.h"
#include "api-gateway/routes.h"
#include "api-gateway/server.h"
#include "api-gateway/callers/shared_map.h"
#include "api-gateway/streams/streams.h"
#include "api-gateway/builds/tail.h"
#include "api-gateway/http/tls.h"
#include "api-gateway/streams/topic_tail.h"
#include "api-gateway/requests/workers.h"
#include "common/artifacts/artifact_store.h"
#include "common/model/prices.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/base/str.h"
#include "common/http/address_list.h"
#include "common/http/ops_server.h"
#include "common/json/json_pool.h"
#include "common/kafka/read_barrier.h"
#include "common/kafka/topics.h"
#include "kiln_schemas.h"

#define PRODUCER_DRAIN_MS 2000
#define TLS_LOOK_MS 1000 /* between looks at the certificate */
#define MAX_QUEUED_MESSAGES 20000
#define BURSTS_UNDER_WAY                                                                                               \
	3 /* of a partition's build requests: few requests to the broker, and a lone POST hardly ever waits */
#define MAX_WAITING_BYTES (64UL * 1024 * 1024) /* as much as the producer itself takes */

static struct gateway_config config;
static struct gateway gateway = {.config = &config};

static const struct kafka_settings *kafka(void)
{
	static struct kafka_settings settings;
	settings = (struct kafka_settings){
		.brokers = config.common.kafka_brokers,
		.properties_file = config.common.kafka_config,
		.client_id = "kiln-gateway",
	};
	return &settings;
}

static int find_schema(const char *name, const struct schema **ret, struct error *err)
{
	*ret = schema_find(gateway.schemas, name);
	return *ret != NULL ? 0 : error_set(err, ERR_INTERNAL, "there is no schema %s", name);
}

/* What bodies and problems look like: embedded files. */
static int load_contract(struct error *err)
{
	struct body_schemas *bodies = &gateway.bodies;
	if (problems_load(kiln_schema_files, err) < 0 || schema_set_load(kiln_schema_files, &gateway.schemas, err) < 0)
		return -1;
	if (find_schema("build-spec.json", &bodies->build_spec, err) < 0 ||
		find_schema("rest/create-and-build.json", &bodies->create_and_build, err) < 0 ||
		find_schema("rest/project-create.json", &bodies->project_create, err) < 0 ||
		find_schema("rest/project-patch.json", &bodies->project_patch, err) < 0 ||
		find_schema("rest/template-create.json", &bodies->template_create, err) < 0 ||
		find_schema("rest/token-create.json", &bodies->token_create, err) < 0 ||
		find_schema("rest/nothing.json", &bodies->nothing, err) < 0)
		return -1;
	return 0;
}

/* Where git remotes and webhooks may be, what models cost, who is believed, and whose pages may ask: gateway_options
 * has checked the texts. */
static int make_guards(struct error *err)
{
	if (address_guard_new(config.git_allow, &gateway.git_guard, err) < 0 ||
		address_guard_new(config.network_allow, &gateway.network_guard, err) < 0 ||
		address_guard_new(config.webhook_allow, &gateway.webhook_guard, err) < 0 ||
		address_list_new(config.trusted_proxies, &gateway.trusted_proxies, err) < 0)
		return -1;
	if (config.model_prices != NULL && model_prices_new(config.model_prices, &gateway.model_prices, err) < 0)
		return -1;
	return cors_new(config.cors_origins, &gateway.cors, err);
}

static int open_artifacts(struct error *err)
{
	if (config.artifacts_dir == NULL)
		return 0;
	if (artifact_directory_new(config.artifacts_dir, &gateway.artifacts, err) < 0)
		return error_prefix(err, "KILN_ARTIFACTS_DIR");
	return downloads_start(&gateway, &gateway.downloads, err);
}

/* Kafka and Postgres may be away: all of these begin without them and find them later. */
static int start_parts(struct error *err)
{
	const struct kafka_producer_options options = {
		.message_timeout_ms = ACCEPT_MESSAGE_TIMEOUT_MS,
		.linger_ms = 0,
		.max_queued_messages = MAX_QUEUED_MESSAGES,
		.unhurried = true,
		.reported = accept_reported,
		.reported_ctx = &gateway,
	};
	const size_t partitions = (size_t)topic_find(TOPIC_BUILD_REQUESTS)->partitions;
	gateway.recent = recent_builds_new(partitions, (size_t)config.recent_bytes);
	gateway.build_cache = shared_map_new((size_t)config.cached_builds, SIZE_MAX);
	gateway.own = own_records_new();
	gateway.keys = key_index_new(partitions, (size_t)config.recent_keys);
	if (kafka_producer_new(kafka(), &options, &gateway.producer, err) < 0)
		return -1;
	const struct bursts_limits limits = {.under_way = BURSTS_UNDER_WAY,
										 .waiting = MAX_QUEUED_MESSAGES,
										 .waiting_bytes = MAX_WAITING_BYTES,
										 .waiting_ms = ACCEPT_DEADLINE_MS};
	gateway.bursts = bursts_new(gateway.producer, &limits);
	gateway.barriers = read_barriers_new(gateway.producer, TOPIC_BUILD_REQUESTS, GATEWAY_SOURCE);
	if (caches_start(&gateway, &gateway.caches, err) < 0 ||
		key_lookups_start(&gateway, &gateway.key_lookups, err) < 0 || tail_start(&gateway, kafka(), err) < 0)
		return -1;
	if (workers_start(&gateway, &gateway.workers, err) < 0 ||
		build_reads_start(&gateway, &gateway.build_reads, err) < 0)
		return -1;
	rate_limit_start(&gateway);
	if (open_artifacts(err) < 0)
		return -1;
	return streams_start(&gateway, kafka(), err);
}

static _Atomic bool warm; /* the first record to each topic is as quick as any */

static bool kafka_is_ready(void *ctx, struct buffer *why)
{
	(void)ctx;
	if (!kafka_producer_ready(gateway.producer, why))
		return false;
	if (!warm)
		(void)buffer_append_str(why, "the topics' partitions are not known yet"); /* cut when it does not fit */
	return warm;
}

static bool postgres_is_ready(void *ctx, struct buffer *why)
{
	(void)ctx;
	bool up = caches_database_up(gateway.caches);
	if (!up)
		(void)buffer_append_str(why, "the database does not answer"); /* cut when it does not fit */
	return up;
}

static bool tail_is_ready(void *ctx, struct buffer *why)
{
	(void)ctx;
	bool ready = topic_tail_ready(gateway.tail);
	if (!ready)
		(void)buffer_append_str(why,
								"kiln.build.requests is not read up to its end yet"); /* cut when it does not fit */
	return ready;
}

static int start_ops(struct error *err)
{
	static const struct ops_check checks[] = {
		{"kafka", kafka_is_ready, NULL},
		{"postgres", postgres_is_ready, NULL},
		{"tail", tail_is_ready, NULL},
	};
	return ops_server_start(config.common.ops_address, config.common.ops_port, checks, ARRAY_LEN(checks), err);
}

/* The first record to a topic would otherwise wait for metadata, up to a second: longer than ACCEPT_MESSAGE_TIMEOUT_MS.
 * All topics that the gateway writes to; it is not ready before. */
static void warm_up(void)
{
	static const char *const topics[] = {TOPIC_BUILD_REQUESTS, TOPIC_WORKER_EVENTS};
	while (!signals_draining()) {
		struct error err = ERROR_INIT;
		if (kafka_producer_warm_up(gateway.producer, topics, ARRAY_LEN(topics), clock_boot_ms() + 1000, &err) == 0) {
			log_info("kafka answers", NULL);
			warm = true;
			return;
		}
		(void)signals_wait(clock_boot_ms() + 500); /* looked at above */
	}
}

static void serve_until_drain(void)
{
	unsigned hangups = signals_hangups();
	while (!signals_wait(gateway.tls != NULL ? clock_boot_ms() + TLS_LOOK_MS : -1)) {
		unsigned now = signals_hangups();
		tls_look(gateway.tls, now != hangups);
		hangups = now;
	}
}

static int run(struct error *err)
{
	struct server *server;
	if (tls_new(config.tls_cert_file, config.tls_key_file, &gateway.tls, err) < 0 || load_contract(err) < 0 ||
		make_guards(err) < 0 || start_parts(err) < 0 || start_ops(err) < 0 || server_start(&gateway, &server, err) < 0)
		return -1;
	log_info("listening", "address", config.listen, "port", LOG_INT(server_port(server)), NULL);
	warm_up();
	serve_until_drain();
	server_leave(server); /* /readyz says so already */
	clock_pause_ms(config.drain_delay_ms);
	server_drain(server, clock_boot_ms() + config.common.drain_timeout_ms);
	ops_server_stop(); /* its checks ask what ends below */
	build_reads_stop(gateway.build_reads);
	workers_stop(gateway.workers); /* they ask the tails */
	key_lookups_stop(gateway.key_lookups);
	downloads_stop(gateway.downloads);
	artifact_store_free(gateway.artifacts);
	streams_stop(&gateway);
	tail_stop(&gateway);
	caches_stop(gateway.caches);
	kafka_producer_free(gateway.producer, PRODUCER_DRAIN_MS);
	bursts_free(gateway.bursts);
	read_barriers_free(gateway.barriers);
	own_records_free(gateway.own);
	recent_builds_free(gateway.recent);
	shared_map_free(gateway.build_cache);
	key_index_free(gateway.keys);
	rate_limit_stop(&gateway);
	cors_free(gateway.cors);
	address_list_free(gateway.trusted_proxies);
	tls_free(gateway.tls);
	return 0;
}

int main(int argc, char **argv)
{
	/* For tools that compare the routes with the published contract: needs no configuration. */
	if (argc == 2 && str_equal(argv[1], "--routes")) {
		routes_print(stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	service_start("kiln-gateway", "the REST API of Kiln", gateway_options, gateway_options_len, &config, argc, argv);
	config_tidy(&config);
	signals_init();
	json_pool_prepare();
	accept_start(&gateway);
	struct error err = ERROR_INIT;
	if (run(&err) < 0) {
		log_error("cannot start", "error", err.message, NULL);
		return 1;
	}
	log_info("stopped", NULL);
	return 0;
}
