#include "tests/unit/unit.h"

#include "common/base/config.h"
#include "common/base/log.h"

struct settings {
	struct config_common common;
	char *text, *secret, *optional;
	int64_t number, mode;
	bool flag;
	char **list;
};

static const char *const modes[] = {"slow", "fast", NULL};

static const struct config_option options[] = {
	{"KILN_T_TEXT", CONFIG_STRING, offsetof(struct settings, text), .fallback = "abc", .help = "A text."},
	{"KILN_T_SECRET", CONFIG_STRING, offsetof(struct settings, secret), .flags = CONFIG_REQUIRED | CONFIG_SECRET,
	 .help = "A secret."},
	{"KILN_T_OPTIONAL", CONFIG_STRING, offsetof(struct settings, optional), .help = "May be missing."},
	{"KILN_T_NUMBER", CONFIG_INT, offsetof(struct settings, number), .fallback = "5", .min = 1, .max = 9,
	 .help = "Seconds."},
	{"KILN_T_MODE", CONFIG_ENUM, offsetof(struct settings, mode), .fallback = "slow", .choices = modes, .help = "How."},
	{"KILN_T_FLAG", CONFIG_BOOL, offsetof(struct settings, flag), .fallback = "false", .help = "Whether."},
	{"KILN_T_LIST", CONFIG_LIST, offsetof(struct settings, list), .help = "Several."},
};

static struct settings settings;
static struct error err;

static int setup(void **state)
{
	(void)state;
	static const char *const names[] = {"KILN_LOG_LEVEL",       "KILN_LOG_FORMAT",    "KILN_OPS_ADDRESS",
										"KILN_OPS_PORT",        "KILN_KAFKA_BROKERS", "KILN_KAFKA_CONFIG",
										"KILN_DRAIN_TIMEOUT_MS"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		unsetenv(options[i].name);
	setenv("KILN_KAFKA_BROKERS", "k:9092", 1);
	setenv("KILN_T_SECRET", "hush", 1);
	settings = (struct settings){0};
	err = (struct error)ERROR_INIT;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	config_release(options, ARRAY_LEN(options), &settings);
	return 0;
}

static int load(void)
{
	return config_load(options, ARRAY_LEN(options), &settings, &err);
}

TEST(defaults_fill_what_is_not_set)
{
	assert_int_equal(load(), 0);
	assert_string_equal(settings.text, "abc");
	assert_int_equal(settings.number, 5);
	assert_int_equal(settings.mode, 0);
	assert_false(settings.flag);
	assert_null(settings.optional);
	assert_non_null(settings.list);
	assert_null(settings.list[0]);
}

TEST(common_options_are_loaded_too)
{
	setenv("KILN_LOG_LEVEL", "warn", 1);
	setenv("KILN_LOG_FORMAT", "text", 1);
	setenv("KILN_OPS_PORT", "8081", 1);
	assert_int_equal(load(), 0);
	assert_int_equal(settings.common.log_level, LOG_WARN);
	assert_int_equal(settings.common.log_format, LOG_TEXT);
	assert_int_equal(settings.common.ops_port, 8081);
	assert_string_equal(settings.common.ops_address, "127.0.0.1");
	assert_string_equal(settings.common.kafka_brokers, "k:9092");
	assert_null(settings.common.kafka_config);
}

TEST(the_environment_wins_over_defaults)
{
	setenv("KILN_T_TEXT", "x y", 1);
	setenv("KILN_T_NUMBER", "9", 1);
	setenv("KILN_T_MODE", "fast", 1);
	setenv("KILN_T_FLAG", "yes", 1);
	setenv("KILN_T_LIST", "a, b", 1);
	assert_int_equal(load(), 0);
	assert_string_equal(settings.text, "x y");
	assert_int_equal(settings.number, 9);
	assert_int_equal(settings.mode, 1);
	assert_true(settings.flag);
	assert_string_equal(settings.list[1], "b");
}

TEST(an_empty_value_is_as_good_as_none)
{
	setenv("KILN_T_NUMBER", "", 1);
	setenv("KILN_T_SECRET", "", 1);
	assert_int_equal(load(), -1);
	assert_string_equal(err.message, "KILN_T_SECRET: required");
}

TEST(every_bad_value_is_named_in_one_error)
{
	unsetenv("KILN_KAFKA_BROKERS");
	setenv("KILN_T_NUMBER", "10", 1);
	setenv("KILN_T_MODE", "medium", 1);
	setenv("KILN_T_FLAG", "maybe", 1);
	assert_int_equal(load(), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_string_equal(err.message,
						"KILN_KAFKA_BROKERS: required\n"
						"KILN_T_NUMBER: out of range: 1 to 9 (is \"10\")\n"
						"KILN_T_MODE: not one of slow, fast (is \"medium\")\n"
						"KILN_T_FLAG: true or false is expected (is \"maybe\")");
}

TEST(nothing_is_left_behind_by_a_failed_load)
{
	setenv("KILN_T_NUMBER", "x", 1);
	assert_int_equal(load(), -1);
	assert_null(settings.text);
	assert_null(settings.list);
	assert_null(settings.secret);
}

TEST(invalid_utf8_is_refused)
{
	setenv("KILN_T_TEXT", "a\xff", 1);
	assert_int_equal(load(), -1);
	assert_string_equal(err.message, "KILN_T_TEXT: not valid UTF-8");
}

TEST(a_bad_secret_is_not_quoted)
{
	static const struct config_option secret_number[] = {{"KILN_T_SECRET", CONFIG_INT,
														  offsetof(struct settings, number), .min = 0, .max = 1,
														  .flags = CONFIG_SECRET, .help = "A secret."}};
	assert_int_equal(config_load(secret_number, 1, &settings, &err), -1);
	assert_null(strstr(err.message, "hush"));
	assert_non_null(strstr(err.message, "KILN_T_SECRET"));
}

static int check_even(const char *value, struct error *why)
{
	return strlen(value) % 2 == 0 ? 0 : error_set(why, ERR_INVALID, "of odd length");
}

static const struct config_option checked[] = {
	{"KILN_T_OPTIONAL", CONFIG_STRING, offsetof(struct settings, optional), .check = check_even,
	 .help = "May be missing."},
	{"KILN_T_TEXT", CONFIG_STRING, offsetof(struct settings, text), .fallback = "abc", .check = check_even,
	 .help = "A text."},
	{"KILN_T_LIST", CONFIG_LIST, offsetof(struct settings, list), .check = check_even, .help = "Several."},
};

TEST(what_only_the_service_can_judge_is_told_with_the_rest)
{
	setenv("KILN_OPS_PORT", "x", 1);
	setenv("KILN_T_TEXT", "a", 1);
	setenv("KILN_T_LIST", "a,bc,", 1);
	assert_int_equal(config_load(checked, ARRAY_LEN(checked), &settings, &err), -1);
	assert_non_null(strstr(err.message, "KILN_OPS_PORT: "));
	assert_non_null(strstr(err.message, "\nKILN_T_TEXT: of odd length\nKILN_T_LIST: of odd length"));
	assert_null(settings.text);
	assert_null(settings.list);
}

TEST(a_default_is_checked_and_nothing_is_not)
{
	assert_int_equal(config_load(checked, ARRAY_LEN(checked), &settings, &err), -1);
	assert_string_equal(err.message, "KILN_T_TEXT: bad default: of odd length");
}

TEST(more_problems_than_fit_are_counted)
{
	static struct config_option many[40];
	static char names[40][32];
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "KILN_T_MISSING_OPTION_%02zu", i);
		many[i] = (struct config_option){.name = names[i],
										 .type = CONFIG_INT,
										 .offset = offsetof(struct settings, number),
										 .max = 1,
										 .flags = CONFIG_REQUIRED,
										 .help = "x"};
	}
	assert_int_equal(config_load(many, ARRAY_LEN(many), &settings, &err), -1);
	assert_non_null(strstr(err.message, "KILN_T_MISSING_OPTION_00: required\n"));
	long lines = 0;
	for (const char *c = err.message; *c != '\0'; c++)
		lines += *c == '\n';
	const char *tail = strstr(err.message, "\nand ");
	assert_non_null(tail);
	char *end;
	long more = strtol(tail + strlen("\nand "), &end, 10);
	assert_string_equal(end, " more");
	assert_int_equal(lines + more, 40);
}

TEST(a_bad_default_is_a_bug_not_the_users_fault)
{
	static const struct config_option broken[] = {
		{"KILN_T_NUMBER", CONFIG_INT, offsetof(struct settings, number), .fallback = "x", .max = 1, .help = "Broken."}};
	assert_int_equal(config_load(broken, 1, &settings, &err), -1);
	assert_int_equal(err.kind, ERR_INTERNAL);
}

TEST(help_names_every_option_with_type_and_default)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	config_print_help(options, ARRAY_LEN(options), out);
	assert_int_equal(fclose(out), 0);
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		assert_non_null(strstr(text, options[i].name));
	assert_non_null(strstr(text, "Seconds. (1 to 9; default 5)"));
	assert_non_null(strstr(text, "How. (slow, fast; default slow)"));
	assert_non_null(strstr(text, "A secret. (text; required; secret)"));
	assert_non_null(strstr(text, "KILN_KAFKA_BROKERS"));
	free(text);
}

TEST(the_version_is_the_projects)
{
	assert_true(strlen(kiln_version) >= 5);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(defaults_fill_what_is_not_set),
		UNIT(common_options_are_loaded_too),
		UNIT(the_environment_wins_over_defaults),
		UNIT(an_empty_value_is_as_good_as_none),
		UNIT(every_bad_value_is_named_in_one_error),
		UNIT(nothing_is_left_behind_by_a_failed_load),
		UNIT(invalid_utf8_is_refused),
		UNIT(a_bad_secret_is_not_quoted),
		UNIT(what_only_the_service_can_judge_is_told_with_the_rest),
		UNIT(a_default_is_checked_and_nothing_is_not),
		UNIT(more_problems_than_fit_are_counted),
		UNIT(a_bad_default_is_a_bug_not_the_users_fault),
		UNIT(help_names_every_option_with_type_and_default),
		UNIT(the_version_is_the_projects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
