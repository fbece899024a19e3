#include "common/kafka/config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_private.h"
#include "common/kafka/topics.h"

#define PROPERTIES_MAX_LINES 1000

static void conf_free(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_destroy(conf);
}
DEFINE_CLEANUP(rd_kafka_conf_t, conf_free)

static void file_p(FILE **file)
{
	if (*file != NULL)
		(void)fclose(*file); /* was only read */
}

/* librdkafka's syslog levels. */
static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
	const char *name = rd_kafka_name(handle);
	/* CONFWARN: about our own settings, for instance that enable.gapless.guarantee is experimental. */
	bool ours = strcmp(facility, "CONFWARN") == 0;
	if (level <= 3)
		log_warn("kafka", "client", name, "facility", facility, "text", text, NULL);
	else if (level <= 5 && !ours)
		log_info("kafka", "client", name, "facility", facility, "text", text, NULL);
	else
		log_debug("kafka", "client", name, "facility", facility, "text", text, NULL);
}

static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
	(void)opaque;
	kafka_log_error(handle, code, reason);
}

void kafka_log_error(rd_kafka_t *handle, int code, const char *reason)
{
	static _Atomic int64_t next_ms;
	static _Atomic int64_t left_out;
	int64_t now_ms = clock_boot_ms();
	int64_t due_ms = atomic_load(&next_ms);
	if (now_ms < due_ms || !atomic_compare_exchange_strong(&next_ms, &due_ms, now_ms + 1000)) {
		atomic_fetch_add(&left_out, 1);
		return;
	}
	log_warn("kafka error", "client", rd_kafka_name(handle), "code", rd_kafka_err2name((rd_kafka_resp_err_t)code),
			 "error", reason, "left_out", LOG_INT(atomic_exchange(&left_out, 0)), NULL);
}

int kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err)
{
	char text[256];
	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
		return error_set(err, ERR_INVALID, "librdkafka setting %s: %s", name, text);
	return 0;
}

/* Trims blanks at both ends in place. */
static char *trim(char *text)
{
	text += strspn(text, " \t\r\n");
	size_t len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
	return text;
}

/* Never puts a value into a message: it may be a password. */
static int read_properties(rd_kafka_conf_t *conf, const char *path, struct error *err)
{
	CLEANUP(file_p) FILE *file = fopen(path, "re");
	if (file == NULL)
		return error_set_errno(err, errno, "%s", path);
	char line[8192];
	for (int number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
		if (number > PROPERTIES_MAX_LINES)
			return error_set(err, ERR_LIMIT, "%s: more than %d lines", path, PROPERTIES_MAX_LINES);
		if (strlen(line) == sizeof(line) - 1)
			return error_set(err, ERR_LIMIT, "%s:%d: line too long", path, number);
		char *name = trim(line);
		if (name[0] == '\0' || name[0] == '#')
			continue;
		char *equals = strchr(name, '=');
		if (equals == NULL)
			return error_set(err, ERR_INVALID, "%s:%d: not key=value", path, number);
		*equals = '\0';
		if (kafka_conf_set(conf, trim(name), trim(equals + 1), err) < 0)
			return error_prefix(err, "%s:%d", path, number);
	}
	if (ferror(file))
		return error_set_errno(err, errno, "%s", path);
	return 0;
}

int kafka_properties_check(const char *path, struct error *err)
{
	CLEANUP(conf_free_p) rd_kafka_conf_t *conf = rd_kafka_conf_new();
	CHECK(conf != NULL);
	return read_properties(conf, path, err);
}

int kafka_conf_new(const struct kafka_settings *settings, rd_kafka_conf_t **ret_conf, struct error *err)
{
	char max_message[24];
	(void)snprintf(max_message, sizeof(max_message), "%d", KAFKA_MAX_MESSAGE_BYTES);
	const char *const values[][2] = {
		{"bootstrap.servers", settings->brokers},
		{"client.id", settings->client_id},
		{"message.max.bytes", max_message},
		{"socket.nagle.disable", "true"},
		{"socket.keepalive.enable", "true"},
		/* A frozen broker holds a request this long, not librdkafka's 60 s. */
		{"socket.timeout.ms", "10000"},
		{"socket.connection.setup.timeout.ms", "5000"},
		{"reconnect.backoff.ms", "50"},
		{"reconnect.backoff.max.ms", "1000"},
		{"allow.auto.create.topics", "false"},
		{"log.connection.close", "false"},
	};
	CLEANUP(conf_free_p) rd_kafka_conf_t *conf = rd_kafka_conf_new();
	CHECK(conf != NULL);
	kafka_tsan_threads();
	kafka_steady_waits();
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		if (kafka_conf_set(conf, values[i][0], values[i][1], err) < 0)
			return -1;
	}
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	if (settings->properties_file != NULL && read_properties(conf, settings->properties_file, err) < 0)
		return -1;
	*ret_conf = conf;
	conf = NULL;
	return 0;
}
