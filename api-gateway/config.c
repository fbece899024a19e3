#include "api-gateway/config.h"

#include "api-gateway/callers/admission.h"
#include "api-gateway/http/cors.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/alloc.h"
#include "common/base/compiler.h"
#include "common/base/str.h"
#include "common/http/address_guard.h"
#include "common/http/address_list.h"
#include "common/http/address_url.h"
#include "common/kafka/config.h"
#include "common/model/prices.h"
#include "common/pg/pg.h"

#define FIELD(name) offsetof(struct gateway_config, name)

static int check_listen(const char *value, struct error *err)
{
	CLEANUP(free_p) char *host = NULL;
	CLEANUP(free_p) char *port = NULL;
	return config_split_address(value, &host, &port, err);
}

static int check_credential(const char *value, struct error *err)
{
	return str_is_name(value, strlen(value)) ? 0
											 : error_set(err, ERR_INVALID, "\"%.100s\" is no credential's name", value);
}

const struct config_option gateway_options[] = {
	KAFKA_CONFIG_OPTION,
	{"KILN_LISTEN", CONFIG_STRING, FIELD(listen), .fallback = "127.0.0.1:8080", .check = check_listen,
	 .help = "address and port of the API; HTTP/1.1, plain unless there is a certificate"},
	{"KILN_TRUSTED_PROXIES", CONFIG_STRING, FIELD(trusted_proxies), .check = address_list_check,
	 .help = "addresses and CIDRs of the proxies in front, separated by commas: their X-Forwarded-For tells the "
			 "client's address. Unset: nobody's does, it is the connection's"},
	{"KILN_TLS_CERT_FILE", CONFIG_STRING, FIELD(tls_cert_file),
	 .help = "PEM file of the certificate and its chain: the API speaks TLS 1.2 and 1.3. Read again when it changes, "
			 "and on "
			 "SIGHUP; one that cannot be used is refused and logged, and the old one stays"},
	{"KILN_TLS_KEY_FILE", CONFIG_STRING, FIELD(tls_key_file), .help = "PEM file of its key"},
	{"KILN_THREADS", CONFIG_INT, FIELD(threads), .fallback = "0", .min = 0, .max = 256,
	 .help = "event loops; 0 is one per core"},
	{"KILN_WORKERS", CONFIG_INT, FIELD(workers), .fallback = "8", .min = 1, .max = 256,
	 .help = "threads for requests that need Postgres, each with at most one connection"},
	{"KILN_WORKER_QUEUE", CONFIG_INT, FIELD(worker_queue), .fallback = "512", .min = 1, .max = 65536,
	 .help = "requests that may wait for such a thread; more are 503"},
	{"KILN_MAX_CONNECTIONS", CONFIG_INT, FIELD(max_connections), .fallback = "10000", .min = 1, .max = 1000000,
	 .help =
		 "open client connections; one more takes the place of one that waits for a request or its body, or is 503. "
		 "The limit of open files is raised to fit, as far as allowed"},
	{"KILN_MAX_BODY_BYTES", CONFIG_INT, FIELD(max_body_bytes), .fallback = "1048576", .min = 1024,
	 .max = GATEWAY_BODY_MAX, .help = "longest request body; a longer one is 413"},
	{"KILN_MAX_UNREAD_BYTES", CONFIG_INT, FIELD(max_unread_bytes), .fallback = "268435456", .min = 4194304,
	 .max = 1099511627776,
	 .help = "memory for requests that are not whole yet, looked at every second; the largest of more are 503"},
	{"KILN_MAX_REQUEST_RATE", CONFIG_INT, FIELD(max_request_rate), .fallback = "0", .min = 0, .max = ADMISSION_MAX_RATE,
	 .help = "requests per second, with valid tokens; when more come, each token has a fair share; 0: no limit"},
	{"KILN_MAX_REQUEST_RATE_PER_TOKEN", CONFIG_INT, FIELD(max_request_rate_per_token), .fallback = "0", .min = 0,
	 .max = ADMISSION_MAX_RATE, .help = "requests per second of one token, however idle the gateway; 0: no limit"},
	{"KILN_MAX_AUTH_FAILURES", CONFIG_INT, FIELD(max_auth_failures), .fallback = "600", .min = 0, .max = 1000000,
	 .help = "unknown tokens per minute from a client's address; more are 429, known ones are served; 0: no limit"},
	{"KILN_HEADER_TIMEOUT_MS", CONFIG_INT, FIELD(header_timeout_ms), .fallback = "10000", .min = 100, .max = 600000,
	 .help = "milliseconds for a request's header to arrive; then it is 408"},
	{"KILN_BODY_TIMEOUT_MS", CONFIG_INT, FIELD(body_timeout_ms), .fallback = "30000", .min = 100, .max = 600000,
	 .help = "milliseconds for the body to arrive after its header; then it is 408"},
	{"KILN_IDLE_TIMEOUT_MS", CONFIG_INT, FIELD(idle_timeout_ms), .fallback = "60000", .min = 100, .max = 3600000,
	 .help = "milliseconds for which a connection is kept after an answer"},
	{"KILN_WRITE_TIMEOUT_MS", CONFIG_INT, FIELD(write_timeout_ms), .fallback = "30000", .min = 100, .max = 600000,
	 .help = "milliseconds for a client to take an answer (of an artifact, each 128 KiB), streams apart; then the "
			 "connection "
			 "is reset"},
	{"KILN_REQUEST_TIMEOUT_MS", CONFIG_INT, FIELD(request_timeout_ms), .fallback = "10000", .min = 100, .max = 600000,
	 .help = "milliseconds from a request's arrival to its answer; then it is 503"},
	{"KILN_DRAIN_DELAY_MS", CONFIG_INT, FIELD(drain_delay_ms), .fallback = "500", .min = 0, .max = 600000,
	 .help = "milliseconds after SIGTERM in which it is not ready any more but serves as before, each connection once: "
			 "longer than whoever shares out requests takes to notice"},
	{"KILN_RECENT_BYTES", CONFIG_INT, FIELD(recent_bytes), .fallback = "8388608", .min = 65536, .max = 17179869184,
	 .help = "memory for builds that were accepted but are not in Postgres yet"},
	{"KILN_RECENT_MINUTES", CONFIG_INT, FIELD(recent_minutes), .fallback = "5", .min = 0, .max = 1440,
	 .help = "how far back the gateway reads the request topic when it starts; what Postgres lacks it reads anyway"},
	{"KILN_CACHED_BUILDS", CONFIG_INT, FIELD(cached_builds), .fallback = "4096", .min = 1, .max = 1000000,
	 .help = "ended builds whose GET is answered from memory for a second after they were read; 16 KiB each at most"},
	{"KILN_MAX_STREAMS", CONFIG_INT, FIELD(max_streams), .fallback = "8000", .min = 0, .max = 1000000,
	 .help = "open event streams; more are 503. Each takes one of KILN_MAX_CONNECTIONS too"},
	{"KILN_MAX_STREAMS_PER_TOKEN", CONFIG_INT, FIELD(max_streams_per_token), .fallback = "1000", .min = 0,
	 .max = 1000000, .help = "of them with the same token; more are 429"},
	{"KILN_STREAM_BUFFER_BYTES", CONFIG_INT, FIELD(stream_buffer_bytes), .fallback = "262144", .min = 4096,
	 .max = 67108864,
	 .help = "what may wait in memory for a stream's reader; what it is further behind comes from the store"},
	{"KILN_STREAM_HEARTBEAT_MS", CONFIG_INT, FIELD(stream_heartbeat_ms), .fallback = "15000", .min = 1000,
	 .max = 3600000, .help = "milliseconds between the comments that keep a quiet stream alive"},
	{"KILN_STREAM_STALL_MS", CONFIG_INT, FIELD(stream_stall_ms), .fallback = "30000", .min = 1000, .max = 3600000,
	 .help = "milliseconds in which a stream's reader must take what it is given, 256 KiB at most; else it is cut, and "
			 "may resume"},
	{"KILN_MAX_DOWNLOADS", CONFIG_INT, FIELD(max_downloads), .fallback = "256", .min = 0, .max = 100000,
	 .help = "artifacts that may be sent at once, each with 128 KiB of memory; more are 503"},
	{"KILN_MAX_DOWNLOADS_PER_TOKEN", CONFIG_INT, FIELD(max_downloads_per_token), .fallback = "64", .min = 0,
	 .max = 100000, .help = "of them with the same token; more are 429"},
	{"KILN_MAX_WAIT_S", CONFIG_INT, FIELD(max_wait_s), .fallback = "30", .min = 0, .max = 600,
	 .help = "longest `Prefer: wait` that is applied, in seconds; less than the time-out of any proxy in front"},
	{"KILN_MAX_WAITS", CONFIG_INT, FIELD(max_waits), .fallback = "1000", .min = 0, .max = 1000000,
	 .help = "requests that may wait so for a build, with 64 KiB of bodies each on average; more are answered at once"},
	{"KILN_MAX_WAITS_PER_TOKEN", CONFIG_INT, FIELD(max_waits_per_token), .fallback = "250", .min = 0, .max = 1000000,
	 .help = "of them with the same token"},
	{"KILN_WORKER_FRESH_MS", CONFIG_INT, FIELD(worker_fresh_ms), .fallback = "8000", .min = 500, .max = 600000,
	 .help = "as the build service's: milliseconds after its last heartbeat in which a worker is given attempts"},
	{"KILN_RECENT_KEYS", CONFIG_INT, FIELD(recent_keys), .fallback = "50000", .min = 1, .max = 100000000,
	 .help = "builds with an Idempotency-Key whose bodies are told apart without Postgres; about 110 bytes each"},
	{"KILN_ACCESS_LOG", CONFIG_BOOL, FIELD(access_log), .fallback = "true", .help = "one log line per request"},
	{"KILN_DATABASE_URL", CONFIG_STRING, FIELD(database_url), .flags = CONFIG_REQUIRED | CONFIG_SECRET,
	 .check = pg_url_check, .help = "Postgres connection string of the role kiln_gateway"},
	{"KILN_GIT_BASE_URL", CONFIG_STRING, FIELD(git_base_url), .check = url_check_git_base,
	 .help = "projects without a git_url are at this URL/{name}.git; unset: git_url is required"},
	{"KILN_GIT_BASE_CREDENTIAL", CONFIG_STRING, FIELD(git_base_credential), .check = check_credential,
	 .help = "name of the credential for KILN_GIT_BASE_URL"},
	{"KILN_GIT_ALLOW", CONFIG_STRING, FIELD(git_allow), .check = address_guard_check,
	 .help = "private destinations that a git_url may name: CIDRs, addresses or host names, each with :port if wanted"},
	{"KILN_NETWORK_ALLOW", CONFIG_STRING, FIELD(network_allow), .check = address_guard_check,
	 .help = "private destinations that a project's network.allow may name, in the same form: what executors have"},
	{"KILN_WEBHOOK_ALLOW", CONFIG_STRING, FIELD(webhook_allow), .check = address_guard_check,
	 .help = "private destinations that a callback_url may name, in the same form"},
	{"KILN_MODEL_PRICES", CONFIG_STRING, FIELD(model_prices), .check = model_prices_check,
	 .help = "the executors' KILN_MODEL_PRICES: a build's budget with a model that has no price is refused at once. "
			 "Unset: it fails at the worker"},
	{"KILN_CORS_ORIGINS", CONFIG_STRING, FIELD(cors_origins), .check = cors_check,
	 .help =
		 "origins whose pages may use the API from a browser, such as https://app.example.org, separated by commas; "
		 "* is all. Unset: none"},
	{"KILN_ARTIFACTS_DIR", CONFIG_STRING, FIELD(artifacts_dir), .check = artifact_directory_check,
	 .help =
		 "directory of the artifact store, which executors and gateways share; unset: artifacts cannot be had here"},
};
const size_t gateway_options_len = ARRAY_LEN(gateway_options);

int config_split_address(const char *listen, char **ret_host, char **ret_port, struct error *err)
{
	const char *colon = strrchr(listen, ':');
	struct error reason = ERROR_INIT;
	int64_t port;
	if (colon == NULL || str_parse_int(colon + 1, strlen(colon + 1), 0, 65535, &port, &reason) < 0)
		return error_set(err, ERR_INVALID, "\"%.100s\" is not host:port", listen);
	size_t host_len = (size_t)(colon - listen);
	const char *host = listen;
	if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
		host++;
		host_len -= 2;
	} else if (memchr(host, ':', host_len) != NULL) {
		return error_set(err, ERR_INVALID, "put the IPv6 address in brackets");
	}
	*ret_host = host_len > 0 ? xstrndup(host, host_len) : NULL; /* NULL: all addresses */
	*ret_port = xstrdup(colon + 1);
	return 0;
}

void config_tidy(struct gateway_config *config)
{
	char *base = config->git_base_url;
	size_t len = base != NULL ? strlen(base) : 0;
	while (len > 0 && base[len - 1] == '/')
		base[--len] = '\0';
}
