/*
 * One table per service: name, type, bounds, default, help. The parser, `--help`, docs and the start-up dump come from
 * it.
 *
 *     struct gateway_config { char *listen; int64_t threads; bool text; };
 *     static const struct config_option options[] = {
 *         {"KILN_LISTEN", CONFIG_STRING, offsetof(struct gateway_config, listen),
 *          .fallback = "127.0.0.1:8080", .help = "address and port"},
 *         …
 *     };
 *
 * Values come from the environment only; an empty value is as good as none. Every wrong or missing value is reported,
 * all at once, then load fails: also what only the service can judge, by .check. What other hosts are like, and files
 * that change while it runs, is no matter of the settings: whoever uses them finds it out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

enum config_type {
	CONFIG_STRING, /* char *, heap; NULL when unset and without fallback */
	CONFIG_INT,    /* int64_t within [min, max] */
	CONFIG_BOOL,   /* bool */
	CONFIG_LIST,   /* char **, comma-separated, NULL-terminated, never NULL */
	CONFIG_ENUM,   /* int64_t: index into .choices */
};

enum config_flags {
	CONFIG_REQUIRED = 1,
	CONFIG_SECRET = 2, /* never dumped or logged */
};

struct config_option {
	const char *name; /* KILN_… */
	enum config_type type;
	size_t offset; /* of the field in the service's struct */
	const char *fallback;
	int64_t min, max;           /* CONFIG_INT */
	const char *const *choices; /* CONFIG_ENUM: NULL-terminated */
	unsigned flags;
	/* What the type does not say of a value, given or default, as it is written (of a CONFIG_LIST all of it); NULL:
	 * nothing. It changes nothing and waits for nothing; it may look at a file that the value names. 0, or -1 with what
	 * is wrong, without the variable's name and, when it is a secret, without the value. */
	int (*check)(const char *value, struct error *err);
	const char *help; /* one sentence with the unit */
};

/* The options that every service has: KILN_LOG_LEVEL, KILN_LOG_FORMAT, KILN_OPS_ADDRESS (127.0.0.1), KILN_OPS_PORT
 * (0 = any free port, logged at start), KILN_KAFKA_BROKERS, KILN_DRAIN_TIMEOUT_MS. A service embeds this as its struct's
 * FIRST member and passes only its own options; the common ones are loaded and listed with them. KILN_KAFKA_CONFIG is in
 * each service's own table (KAFKA_CONFIG_OPTION), since only common/kafka can judge it.
 */
struct config_common {
	int64_t log_level;  /* enum log_level */
	int64_t log_format; /* enum log_format */
	char *ops_address;
	int64_t ops_port;
	char *kafka_brokers; /* required */
	char *kafka_config;  /* path of a librdkafka properties file, or NULL */
	int64_t drain_timeout_ms;
};

/* Fills `config` (zeroed by the caller). On failure err names every bad variable (one per line in the message, as many
 * as fit) and the content is released. */
int config_load(const struct config_option *options, size_t count, void *config, struct error *err) MUST_CHECK;
void config_release(const struct config_option *options, size_t count, void *config);
/* For rules between several variables, which come after config_load: says on stderr what is wrong, in the same form,
 * and exits with 2. */
NORETURN void config_refuse(const char *name, const struct error *err);
/* The --help text: usage line by the caller, then the table. */
void config_print_help(const struct config_option *options, size_t count, FILE *out);

/*
 * What every main() begins with: handles --help and --version (prints, exits 0), unknown arguments (exit 2), refuses to
 * run as root (exit 1; KILN_ALLOW_ROOT=1 is for tests in containers only), loads the config (exit 2 with the messages
 * on stderr), keeps malloc's footprint small, and initialises the log (at level debug every value but secrets is
 * logged). Returns only when the service may start. signals_init comes after it: its thread logs.
 */
void service_start(const char *name, const char *summary, const struct config_option *options, size_t count,
				   void *config, int argc, char **argv);

/* The version that --version prints and kiln_build_info shows. */
extern const char kiln_version[];
