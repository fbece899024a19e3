#include "common/base/config.h"

#include "common/base/alloc.h"
#include "common/base/config_internal.h"
#include "common/base/listen.h"
#include "common/base/str.h"
#include "common/base/utf8.h"

#define QUOTE_BYTES 40 /* of a wrong value */

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

const struct config_option config_common_options[] = {
	{"KILN_LOG_LEVEL", CONFIG_ENUM, offsetof(struct config_common, log_level), .fallback = "info",
	 .choices = log_levels, .help = "lines below this level are not written"},
	{"KILN_LOG_FORMAT", CONFIG_ENUM, offsetof(struct config_common, log_format), .fallback = "json",
	 .choices = log_formats, .help = "form of the lines on standard error"},
	{"KILN_OPS_ADDRESS", CONFIG_STRING, offsetof(struct config_common, ops_address), .fallback = "127.0.0.1",
	 .check = listen_check_address, .help = "address of the port for health and metrics"},
	{"KILN_OPS_PORT", CONFIG_INT, offsetof(struct config_common, ops_port), .fallback = "0", .min = 0, .max = 65535,
	 .help = "port for health and metrics; 0 takes any free one and logs it"},
	{"KILN_KAFKA_BROKERS", CONFIG_STRING, offsetof(struct config_common, kafka_brokers), .flags = CONFIG_REQUIRED,
	 .help = "Kafka bootstrap servers, host:port, comma-separated"},
	{"KILN_DRAIN_TIMEOUT_MS", CONFIG_INT, offsetof(struct config_common, drain_timeout_ms), .fallback = "30000",
	 .min = 0, .max = 86400000, .help = "milliseconds that a drain may take before the process ends anyway"},
};
const size_t config_common_count = ARRAY_LEN(config_common_options);

const struct config_option *config_option_at(const struct config_option *options, size_t count, size_t index)
{
	CHECK(index < config_common_count + count);
	return index < config_common_count ? &config_common_options[index] : &options[index - config_common_count];
}

static void *field(const struct config_option *option, void *config)
{
	return (char *)config + option->offset;
}

static int parse_enum(const struct config_option *option, const char *text, int64_t *ret_value, struct error *err)
{
	char names[256] = "";
	for (int64_t i = 0; option->choices[i] != NULL; i++) {
		if (strcmp(text, option->choices[i]) == 0) {
			*ret_value = i;
			return 0;
		}
		size_t used = strlen(names);
		(void)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "", option->choices[i]);
	}
	return error_set(err, ERR_INVALID, "not one of %s", names);
}

static int parse_value(const struct config_option *option, const char *text, void *config, struct error *err)
{
	void *at = field(option, config);
	switch (option->type) {
	case CONFIG_STRING:
		*(char **)at = xstrdup(text);
		return 0;
	case CONFIG_LIST:
		*(char ***)at = strv_split(text, ',');
		return 0;
	case CONFIG_INT:
		return text == NULL ? 0 : str_parse_int(text, strlen(text), option->min, option->max, at, err);
	case CONFIG_BOOL:
		return text == NULL ? 0 : str_parse_bool(text, at, err);
	case CONFIG_ENUM:
		return text == NULL ? 0 : parse_enum(option, text, at, err);
	}
	return error_set(err, ERR_INTERNAL, "%s: unknown type", option->name);
}

static int load_option(const struct config_option *option, void *config, struct error *err)
{
	const char *text = getenv(option->name);
	if (text != NULL && *text == '\0')
		text = NULL; /* "KILN_X=" in an environment file means unset */
	if (text == NULL && (option->flags & CONFIG_REQUIRED) != 0)
		return error_set(err, ERR_INVALID, "%s: required", option->name);
	struct error reason = ERROR_INIT;
	if (text != NULL && !str_is_utf8(text, strlen(text)))
		return error_set(err, ERR_INVALID, "%s: not valid UTF-8", option->name);
	const char *value = text != NULL ? text : option->fallback;
	bool parsed = parse_value(option, value, config, &reason) == 0;
	bool checked = parsed && option->check != NULL && value != NULL;
	if (parsed && (!checked || option->check(value, &reason) == 0))
		return 0;
	if (text == NULL)
		return error_set(err, ERR_INTERNAL, "%s: bad default: %s", option->name, reason.message);
	/* A check quotes what it means: a part, perhaps, of something long; of a secret nothing is quoted. */
	if (checked || (option->flags & CONFIG_SECRET) != 0)
		return error_set(err, ERR_INVALID, "%s: %s", option->name, reason.message);
	size_t shown = utf8_cut(text, strlen(text), QUOTE_BYTES);
	return error_set(err, ERR_INVALID, "%s: %s (is \"%.*s\")", option->name, reason.message, (int)shown, text);
}

/* One line more in the message, or a count of those that do not fit. */
static void add_problem(struct error *err, const struct error *problem, size_t *dropped)
{
	static const size_t tail_len = sizeof("\nand 999 more") - 1;
	size_t used = strlen(err->message), len = strlen(problem->message);
	if (*dropped > 0 || used + 1 + len + tail_len >= sizeof(err->message)) {
		if (err->kind == ERR_NONE) { /* the first always goes in */
			*err = *problem;
			return;
		}
		(*dropped)++;
		return;
	}
	(void)snprintf(err->message + used, sizeof(err->message) - used, "%s%s", used > 0 ? "\n" : "", problem->message);
	err->kind = problem->kind;
}

int config_load(const struct config_option *options, size_t count, void *config, struct error *err)
{
	struct error all = ERROR_INIT;
	size_t dropped = 0;
	for (size_t i = 0; i < config_common_count + count; i++) {
		struct error problem = ERROR_INIT;
		if (load_option(config_option_at(options, count, i), config, &problem) < 0)
			add_problem(&all, &problem, &dropped);
	}
	if (all.kind == ERR_NONE)
		return 0;
	config_release(options, count, config);
	if (dropped > 0) {
		size_t used = strlen(all.message);
		(void)snprintf(all.message + used, sizeof(all.message) - used, "\nand %zu more", dropped);
	}
	*err = all;
	return -1;
}

void config_release(const struct config_option *options, size_t count, void *config)
{
	for (size_t i = 0; i < config_common_count + count; i++) {
		const struct config_option *option = config_option_at(options, count, i);
		void *at = field(option, config);
		if (option->type == CONFIG_STRING) {
			char **text = at;
			if (*text != NULL && (option->flags & CONFIG_SECRET) != 0)
				explicit_bzero(*text, strlen(*text));
			free(*text);
			*text = NULL;
		} else if (option->type == CONFIG_LIST) {
			strv_free(*(char ***)at);
			*(char ***)at = NULL;
		}
	}
}
