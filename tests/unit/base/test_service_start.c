#include "tests/unit/unit.h"

#include "common/base/config.h"
#include "common/base/log.h"

struct settings {
	struct config_common common;
	char *text, *secret;
};

static const struct config_option options[] = {
	{"KILN_T_TEXT", CONFIG_STRING, offsetof(struct settings, text), .fallback = "abc", .help = "A text."},
	{"KILN_T_SECRET", CONFIG_STRING, offsetof(struct settings, secret), .flags = CONFIG_SECRET, .help = "A secret."},
};

static struct buffer output;

/* The argument is the one command-line argument, or NULL. */
static void start(void *arg)
{
	struct settings settings = {0};
	char name[] = "kiln-test";
	char *argv[] = {name, arg, NULL};
	service_start("kiln-test", "does nothing", options, ARRAY_LEN(options), &settings, arg != NULL ? 2 : 1, argv);
	log_info("started", "text", settings.text, NULL);
	config_release(options, ARRAY_LEN(options), &settings);
}

static int setup(void **state)
{
	(void)state;
	setenv("KILN_ALLOW_ROOT", "1", 1);
	setenv("KILN_KAFKA_BROKERS", "k:9092", 1);
	setenv("KILN_T_SECRET", "hush", 1);
	unsetenv("KILN_LOG_LEVEL");
	unsetenv("KILN_LOG_FORMAT");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buffer_release(&output);
	return 0;
}

static int exit_code(const char *argument)
{
	char *copy = argument != NULL ? strdup(argument) : NULL;
	int status = unit_run_in_child(start, copy, &output);
	free(copy);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(it_returns_with_the_config_and_the_log_ready)
{
	assert_int_equal(exit_code(NULL), 0);
	assert_non_null(strstr(output.data, "\"service\":\"kiln-test\",\"msg\":\"started\",\"text\":\"abc\"}"));
}

TEST(help_prints_usage_and_both_tables_and_exits_0)
{
	assert_int_equal(exit_code("--help"), 0);
	assert_non_null(strstr(output.data, "Usage: kiln-test"));
	assert_non_null(strstr(output.data, "does nothing"));
	assert_non_null(strstr(output.data, "KILN_T_TEXT"));
	assert_non_null(strstr(output.data, "KILN_LOG_LEVEL"));
	assert_null(strstr(output.data, "started"));
}

TEST(version_prints_name_and_version_and_exits_0)
{
	assert_int_equal(exit_code("--version"), 0);
	assert_memory_equal(output.data, "kiln-test ", 10);
	assert_non_null(strstr(output.data, kiln_version));
}

TEST(an_unknown_argument_exits_2)
{
	assert_int_equal(exit_code("--frobnicate"), 2);
	assert_non_null(strstr(output.data, "--frobnicate"));
}

TEST(help_needs_no_configuration)
{
	unsetenv("KILN_KAFKA_BROKERS");
	unsetenv("KILN_ALLOW_ROOT");
	assert_int_equal(exit_code("--help"), 0);
}

TEST(a_wrong_configuration_exits_2_and_names_it)
{
	unsetenv("KILN_KAFKA_BROKERS");
	assert_int_equal(exit_code(NULL), 2);
	assert_non_null(strstr(output.data, "KILN_KAFKA_BROKERS: required"));
}

TEST(root_is_refused_without_the_override)
{
	if (geteuid() != 0)
		skip();
	unsetenv("KILN_ALLOW_ROOT");
	assert_int_equal(exit_code(NULL), 1);
	assert_non_null(strstr(output.data, "root"));
}

TEST(the_debug_dump_shows_values_but_no_secret)
{
	setenv("KILN_LOG_LEVEL", "debug", 1);
	assert_int_equal(exit_code(NULL), 0);
	assert_non_null(strstr(output.data, "\"name\":\"KILN_T_TEXT\",\"value\":\"abc\"}"));
	assert_non_null(strstr(output.data, "\"name\":\"KILN_T_SECRET\",\"value\":\"(set)\"}"));
	assert_non_null(strstr(output.data, "\"name\":\"KILN_LOG_LEVEL\",\"value\":\"debug\"}"));
	assert_null(strstr(output.data, "hush"));
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(it_returns_with_the_config_and_the_log_ready),
		UNIT(help_prints_usage_and_both_tables_and_exits_0),
		UNIT(version_prints_name_and_version_and_exits_0),
		UNIT(an_unknown_argument_exits_2),
		UNIT(help_needs_no_configuration),
		UNIT(a_wrong_configuration_exits_2_and_names_it),
		UNIT(root_is_refused_without_the_override),
		UNIT(the_debug_dump_shows_values_but_no_secret),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
