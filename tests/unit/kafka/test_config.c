#include "cmocka_prelude.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/kafka/config.h"

static char path[] = "/tmp/kiln-test-kafka-XXXXXX";

static int make_conf(const char *properties, rd_kafka_conf_t **ret_conf, struct error *err)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(properties, file) >= 0);
	assert_int_equal(fclose(file), 0);
	const struct kafka_settings settings = {.brokers = "b:1", .client_id = "kiln-x", .properties_file = path};
	return kafka_conf_new(&settings, ret_conf, err);
}

static const char *get(const rd_kafka_conf_t *conf, const char *name)
{
	static char value[256];
	size_t size = sizeof(value);
	assert_int_equal(rd_kafka_conf_get(conf, name, value, &size), RD_KAFKA_CONF_OK);
	return value;
}

static void the_operators_file_wins(void **state)
{
	(void)state;
	rd_kafka_conf_t *conf;
	struct error err = ERROR_INIT;
	assert_int_equal(make_conf("# comment\n\n  reconnect.backoff.max.ms = 2500 \nsasl.password=a=b # c\n", &conf, &err),
					 0);
	assert_string_equal(get(conf, "bootstrap.servers"), "b:1");
	assert_string_equal(get(conf, "client.id"), "kiln-x");
	assert_string_equal(get(conf, "reconnect.backoff.max.ms"), "2500");
	assert_string_equal(get(conf, "sasl.password"), "a=b # c");
	assert_string_equal(get(conf, "message.max.bytes"), "8388608");
	rd_kafka_conf_destroy(conf);
}

static void bad_lines_are_named_by_number_and_without_their_value(void **state)
{
	(void)state;
	rd_kafka_conf_t *conf;
	struct error err = ERROR_INIT;
	assert_int_equal(make_conf("client.id=x\nnot-a-setting=geheim\n", &conf, &err), -1);
	assert_non_null(strstr(err.message, ":2"));
	assert_null(strstr(err.message, "geheim"));
	assert_int_equal(make_conf("geheim\n", &conf, &err), -1);
	assert_non_null(strstr(err.message, ":1"));
	assert_null(strstr(err.message, "geheim"));
}

static void a_missing_file_is_an_error(void **state)
{
	(void)state;
	rd_kafka_conf_t *conf;
	struct error err = ERROR_INIT;
	const struct kafka_settings settings = {.brokers = "b:1", .client_id = "x", .properties_file = "/nonexistent"};
	assert_int_equal(kafka_conf_new(&settings, &conf, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static int set_up(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_operators_file_wins),
		cmocka_unit_test(bad_lines_are_named_by_number_and_without_their_value),
		cmocka_unit_test(a_missing_file_is_an_error),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
