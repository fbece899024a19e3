#include "tests/unit/unit.h"

#include "executor/agents/agent.h"
#include "executor/agents/offers.h"
#include "executor/agents/say.h"
#include "executor/attempt/log.h"
#include "common/base/alloc.h"
#include "common/base/str.h"

#define MODEL_URL "http://127.0.0.1:1234"
#define MODEL_KEY "kiln-0123456789"
#define KEY_FILE "/secrets/key"

static struct executor_config config = {
	.agent_path = (char[]){"/usr/bin:/bin"},
	.claude_code_program = (char[]){"/opt/claude"},
	.claude_code_key_file = (char[]){KEY_FILE},
	.opencode_program = (char[]){"/opt/opencode"},
	.opencode_key_file = (char[]){KEY_FILE},
	.opencode_base_url = (char[]){"https://models.example/v1"},
	.model_retries = 4,
};

static int prepare(const char *provider, const char *spec, struct agent_program *program, struct error *err)
{
	static const struct fencing_token token = {.build_id = "b", .attempt = 1, .lease_id = "l"};
	cJSON *agent = NULL;
	assert_int_equal(json_parse(spec, strlen(spec), &agent, err), 0);
	struct agent_task task = {.config = &config,
							  .token = &token,
							  .agent = agent,
							  .project = "p",
							  .branch = "main",
							  .files = "/w/files",
							  .home = "/w/home",
							  .tmp = "/w/tmp",
							  .model_url = MODEL_URL,
							  .model_key = MODEL_KEY};
	*program = (struct agent_program){.argv_len = 0};
	int rc = code_agent_find(provider)->prepare(&task, program, err);
	cJSON_Delete(agent);
	return rc;
}

static const char *value_of(const struct agent_program *program, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < program->envp_len; i++) {
		if (strncmp(program->envp[i], name, len) == 0 && program->envp[i][len] == '=')
			return program->envp[i] + len + 1;
	}
	return NULL;
}

static bool has_arg(const struct agent_program *program, const char *text)
{
	return strv_contains((char *const *)program->argv, text);
}

TEST(the_agents_are_given_the_proxy_and_no_argument_holds_its_key)
{
	static const char *const providers[] = {"claude-code", "opencode"};
	for (size_t i = 0; i < 2; i++) {
		struct agent_program program;
		struct error err = ERROR_INIT;
		assert_int_equal(prepare(providers[i], "{\"model\":\"m\"}", &program, &err), 0);
		const char *holder = value_of(&program, i == 0 ? "ANTHROPIC_API_KEY" : "OPENCODE_CONFIG_CONTENT");
		const char *place = value_of(&program, i == 0 ? "ANTHROPIC_BASE_URL" : "OPENCODE_CONFIG_CONTENT");
		assert_non_null(strstr(holder, MODEL_KEY));
		assert_non_null(strstr(place, i == 0 ? MODEL_URL : MODEL_URL "/v1"));
		for (size_t arg = 0; arg < program.argv_len; arg++)
			assert_null(strstr(program.argv[arg], MODEL_KEY));
		assert_string_equal(value_of(&program, "HOME"), "/w/home");
		agent_program_release(&program);
	}
}

TEST(nothing_that_an_agent_is_given_says_where_the_key_is)
{
	static const char *const providers[] = {"claude-code", "opencode"};
	for (size_t i = 0; i < 2; i++) {
		struct agent_program program;
		struct error err = ERROR_INIT;
		assert_int_equal(prepare(providers[i], "{\"model\":\"m\"}", &program, &err), 0);
		for (size_t at = 0; at < program.envp_len; at++) {
			assert_null(strstr(program.envp[at], KEY_FILE));
			assert_null(strstr(program.envp[at], "models.example"));
		}
		agent_program_release(&program);
	}
}

TEST(models_are_where_the_operator_says)
{
	struct model_api api;
	code_agent_find("claude-code")->model_api(&config, &api);
	assert_int_equal(api.protocol, MODEL_ANTHROPIC);
	assert_string_equal(api.base_url, "https://api.anthropic.com"); /* nothing else is configured */
	assert_string_equal(api.version, "/v1");
	assert_string_equal(api.key_file, KEY_FILE);
	code_agent_find("opencode")->model_api(&config, &api);
	assert_int_equal(api.protocol, MODEL_OPENAI);
	assert_string_equal(api.base_url, "https://models.example/v1");
	assert_string_equal(api.version, "");
	assert_null(code_agent_find("command")->model_api);
}

TEST(claude_code_is_told_the_limits_of_the_spec)
{
	struct agent_program program;
	struct error err = ERROR_INIT;
	assert_int_equal(prepare("claude-code", "{\"model\":\"m:1\",\"max_turns\":7,\"budget_usd\":1.5}", &program, &err),
					 0);
	assert_true(has_arg(&program, "--model=m:1"));
	assert_true(has_arg(&program, "--max-turns=7"));
	assert_string_equal(value_of(&program, "CLAUDE_CODE_MAX_RETRIES"), "4");
	agent_program_release(&program);
}

TEST(opencode_needs_a_model)
{
	struct agent_program program;
	struct error err = ERROR_INIT;
	assert_int_equal(prepare("opencode", "{}", &program, &err), -1);
	agent_program_release(&program);
	assert_int_equal(prepare("opencode", "{\"model\":\"a/b\"}", &program, &err), 0);
	cJSON *tree = NULL;
	const char *text = value_of(&program, "OPENCODE_CONFIG_CONTENT");
	assert_int_equal(json_parse(text, strlen(text), &tree, &err), 0);
	assert_string_equal(json_get_string(tree, "model"), "kiln/a/b");
	cJSON_Delete(tree);
	agent_program_release(&program);
}

static void version_is(const char *output, const char *version)
{
	CLEANUP(free_p) char *found = agent_version_parse(output);
	if (version == NULL)
		assert_null(found);
	else
		assert_string_equal(found, version);
}

TEST(versions_are_found_in_what_programs_print)
{
	version_is("2.1.332 (Claude Code)\n", "2.1.332");
	version_is("1.18.33\n", "1.18.33");
	version_is("agent 0.3-beta.1+x, made by somebody\n", "0.3-beta.1+x");
	version_is("agent\n1.0\n", NULL);
	version_is("", NULL);
	version_is("v1", NULL);
}

TEST(a_providers_version_is_found_among_those_of_all)
{
	static const char versions[] = "claude-code=2.1.332,opencode=1.18.33";
	CLEANUP(free_p) char *claude = agent_offers_version(versions, "claude-code");
	CLEANUP(free_p) char *opencode = agent_offers_version(versions, "opencode");
	assert_string_equal(claude, "2.1.332");
	assert_string_equal(opencode, "1.18.33");
	assert_null(agent_offers_version(versions, "claude"));
	assert_null(agent_offers_version(versions, "command"));
	assert_null(agent_offers_version("", "command"));
}

TEST(long_texts_are_cut_and_say_so)
{
	struct buffer log;
	buffer_init(&log, 100000);
	CLEANUP(free_p) char *text = xmalloc(20001);
	memset(text, 'x', 20000);
	text[20000] = '\0';
	agent_say_as(&log, "result", text);
	assert_true(str_starts(log.data, "[result] xxx"));
	assert_true(str_ends(log.data, "xxx … (3616 bytes more)\n"));
	buffer_clear(&log);
	agent_say(&log, "two\nlines\n\n");
	assert_string_equal(log.data, "two\nlines\n");
	buffer_clear(&log);
	agent_say(&log, "");
	agent_say(&log, NULL);
	assert_int_equal(log.len, 0);
	buffer_release(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_agents_are_given_the_proxy_and_no_argument_holds_its_key),
		cmocka_unit_test(nothing_that_an_agent_is_given_says_where_the_key_is),
		cmocka_unit_test(models_are_where_the_operator_says),
		cmocka_unit_test(claude_code_is_told_the_limits_of_the_spec),
		cmocka_unit_test(opencode_needs_a_model),
		cmocka_unit_test(versions_are_found_in_what_programs_print),
		cmocka_unit_test(a_providers_version_is_found_among_those_of_all),
		cmocka_unit_test(long_texts_are_cut_and_say_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
