#include "tests/unit/unit.h"

#include "api-gateway/builds/build_request.h"
#include "api-gateway/config.h"
#include "api-gateway/requests/request.h"
#include "common/base/str.h"
#include "common/model/prices.h"
#include "kiln_schemas.h"

static struct gateway_config config;
static struct gateway gateway;
static struct api_token token = {.id = "00000000-0000-7000-8000-000000000001", .max_priority = 9};
static struct project project;
static char agent[] =
	"{\"provider\":\"command\",\"model\":null,\"command\":\"demo\",\"max_turns\":null,\"max_tokens\":null,"
	"\"budget_usd\":null}";
static char base[] = "https://git.example.org/kiln", base_credential[] = "base",
			own_url[] = "https://other.example.org/a.git";
static struct build_request build;
static struct schema_problems problems;
static struct buffer value, prompt;
static cJSON *spec, *record;

static int setup_all(void **state UNUSED)
{
	struct error err = ERROR_INIT;
	gateway.config = &config;
	assert_int_equal(schema_set_load(kiln_schema_files, &gateway.schemas, &err), 0);
	assert_int_equal(address_guard_new("127.0.0.0/8", &gateway.webhook_guard, &err), 0);
	return 0;
}

static int teardown_all(void **state UNUSED)
{
	schema_set_free(gateway.schemas);
	address_guard_free(gateway.webhook_guard);
	return 0;
}

static int setup(void **state UNUSED)
{
	config.git_base_url = base;
	config.git_base_credential = base_credential;
	project = (struct project){.id = "00000000-0000-7000-8000-000000000002", .name = "demo", .agent = agent};
	problems = (struct schema_problems){0};
	token.max_priority = 9;
	buffer_init(&value, 8 << 20);
	buffer_init(&prompt, 8 << 20);
	return 0;
}

static int teardown(void **state UNUSED)
{
	schema_problems_release(&problems);
	buffer_release(&value);
	buffer_release(&prompt);
	cJSON_Delete(spec);
	cJSON_Delete(record);
	spec = record = NULL;
	return 0;
}

static void take(const char *text)
{
	struct error err = ERROR_INIT;
	cJSON_Delete(spec);
	spec = NULL;
	assert_int_equal(json_parse(text, strlen(text), &spec, &err), 0);
	build = (struct build_request){.gateway = &gateway,
								   .token = &token,
								   .project = &project,
								   .pointer = "",
								   .build_id = "00000000-0000-7000-8000-000000000003"};
	spec_find(spec, &build.spec);
}

static void write_record(void)
{
	build_request_render(&build, &prompt, &problems);
	assert_int_equal(problems.len, 0);
	build_request_write(&build, &prompt, &value);
}

/* The record of a good spec, which must be what the published schema says. */
static const cJSON *written(const char *text)
{
	struct error err = ERROR_INIT;
	take(text);
	build_request_check(&build, &problems);
	write_record();
	cJSON_Delete(record);
	record = NULL;
	assert_int_equal(json_parse(value.data, value.len, &record, &err), 0);
	assert_true(schema_validate(schema_find(gateway.schemas, "events/build.requested.json"), record, &problems));
	return json_get(record, "spec");
}

static const char *complaint(const char *text)
{
	schema_problems_release(&problems);
	problems = (struct schema_problems){0};
	take(text);
	build_request_check(&build, &problems);
	return problems.len == 1 ? problems.items[0].pointer : problems.len == 0 ? "none" : "several";
}

TEST(the_smallest_spec_gets_every_field)
{
	const cJSON *full = written("{\"prompt\":\"hello\"}");
	assert_string_equal(json_get_string(full, "prompt"), "hello");
	assert_int_equal(json_get_int(full, "priority", -1), 5);
	assert_int_equal(json_get_int(full, "timeout_s", -1), 3600);
	assert_int_equal(json_get_int(full, "queue_timeout_s", -1), 86400);
	assert_int_equal(json_get_int(full, "max_attempts", -1), 3);
	assert_string_equal(json_get_string(json_get(full, "agent"), "command"), "demo");
	assert_true(cJSON_IsNull(json_get(full, "branch")));
	assert_string_equal(json_get_string(full, "on_red"), "none");
}

TEST(given_fields_are_kept_and_labels_are_sorted)
{
	const cJSON *full = written(
		"{\"prompt\":\"p\",\"labels\":[\"linux\",\"arm\"],\"priority\":0,\"branch\":\"b\",\"agent\":{\"provider\":"
		"\"claude-code\",\"max_turns\":7},\"metadata\":{\"k\":\"v\"},\"auto_commit\":true,\"auto_push\":true}");
	assert_string_equal(cJSON_GetArrayItem(json_get(full, "labels"), 0)->valuestring, "arm");
	assert_int_equal(json_get_int(full, "priority", -1), 0);
	assert_string_equal(json_get_string(full, "branch"), "b");
	assert_int_equal(json_get_int(json_get(full, "agent"), "max_turns", 0), 7);
	assert_true(json_get_bool(full, "auto_push", false));
}

TEST(the_project_gives_its_branch)
{
	static char branch[] = "develop";
	project.branch = branch;
	assert_string_equal(json_get_string(written("{\"prompt\":\"p\"}"), "branch"), "develop");
	assert_string_equal(json_get_string(written("{\"prompt\":\"p\",\"branch\":\"b\"}"), "branch"), "b");
}

TEST(a_project_without_a_url_is_under_the_base)
{
	(void)written("{\"prompt\":\"p\"}");
	const cJSON *git = json_get(record, "git");
	assert_string_equal(json_get_string(git, "url"), "https://git.example.org/kiln/demo.git");
	assert_string_equal(json_get_string(git, "credential"), "base");
	assert_true(json_get_bool(git, "create_missing", false));
}

TEST(the_base_credential_goes_nowhere_else)
{
	project.git_url = own_url;
	(void)written("{\"prompt\":\"p\"}");
	const cJSON *git = json_get(record, "git");
	assert_string_equal(json_get_string(git, "url"), own_url);
	assert_true(cJSON_IsNull(json_get(git, "credential")));
	assert_false(json_get_bool(git, "create_missing", true));
}

static bool may_be_made(char *git_url)
{
	project.git_url = git_url;
	(void)written("{\"prompt\":\"p\"}");
	return json_get_bool(json_get(record, "git"), "create_missing", false);
}

TEST(a_url_below_the_base_may_be_made_however_it_is_spelled)
{
	static char below[] = "HTTPS://Git.Example.org:443/kiln/team/new.git",
				beside[] = "https://git.example.org/kiln2/new.git", port[] = "https://git.example.org:444/kiln/new.git",
				plain[] = "http://git.example.org/kiln/new.git";
	assert_true(may_be_made(below));
	/* The base's credential is for its own names only. */
	assert_true(cJSON_IsNull(json_get(json_get(record, "git"), "credential")));
	assert_false(may_be_made(beside));
	assert_false(may_be_made(port));
	assert_false(may_be_made(plain));
	config.git_base_url = NULL;
	assert_false(may_be_made(below));
}

TEST(rules_beyond_the_schema_are_checked)
{
	assert_string_equal(complaint("{\"prompt\":\"p\",\"auto_push\":true}"), "/auto_push");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"callback_url\":\"http://10.0.0.1/\"}"), "/callback_url");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"callback_url\":\"http://127.0.0.1:1/\"}"), "none");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"agent\":{\"provider\":\"command\"}}"), "/agent/command");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"agent\":{\"provider\":\"opencode\",\"command\":\"x\"}}"),
						"/agent/command");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"template\":\"gone\"}"), "/template");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"artifacts\":[\"ok/**\",\"a/../../b\"]}"), "/artifacts/1");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"artifacts\":[\"a[b\"]}"), "/artifacts/0");
	project.agent = NULL;
	assert_string_equal(complaint("{\"prompt\":\"p\"}"), "/agent");
	project.agent = agent;
	config.git_base_url = NULL;
	assert_string_equal(complaint("{\"prompt\":\"p\"}"), "");
}

/* What all of the checks say together, as for a POST: the detail, when it is one. */
static const char *told(const char *text)
{
	schema_problems_release(&problems);
	problems = (struct schema_problems){0};
	take(text);
	(void)schema_validate(schema_find(gateway.schemas, "build-spec.json"), spec, &problems); /* `problems` tells it */
	build_request_check(&build, &problems);
	return problems.len == 1 ? problems.items[0].detail : problems.len == 0 ? "none" : "several";
}

TEST(one_mistake_is_told_once_in_the_words_that_help_most)
{
	assert_string_equal(told("{\"prompt\":\"p\",\"callback_url\":\"ftp://example.org/\"}"),
						"the URL must begin with one of: http,https (then ://)");
	assert_string_equal(told("{\"prompt\":\"p\",\"callback_url\":\"http://example.org/a b\"}"),
						"byte 21 of the URL is not allowed there: percent-encode it");
	assert_string_equal(told("{\"prompt\":\"p\",\"callback_url\":\"HTTP://example.org/\"}"),
						"\"HTTP://example.org/\" is not a URL that begins with http:// or https://");
	assert_string_equal(told("{\"prompt\":\"p\",\"template\":\"My_review\"}"),
						"\"My_review\" is not a template's name, or name@version");
	assert_string_equal(told("{\"prompt\":\"p\",\"template\":\"gone\"}"), "there is no template \"gone\"");
	assert_string_equal(told("{\"prompt\":\"p\",\"artifacts\":[\"/etc\"]}"),
						"\"/etc\" is not a path in the workspace: it begins with / or !");
}

TEST(of_what_follows_from_a_mistake_nothing_is_told)
{
	assert_string_equal(told("{\"prompt\":\"p\",\"agent\":{\"provider\":\"comand\",\"command\":\"demo\"}}"),
						"\"comand\" is not one of \"claude-code\", \"opencode\", \"command\"");
	assert_string_equal(told("{\"prompt\":\"p\",\"agent\":{\"provider\":\"command\",\"command\":7}}"),
						"must be null or a string, is an integer");
	assert_string_equal(told("{\"prompt\":\"p\",\"agent\":{\"provider\":\"opencode\",\"command\":\"a.sh\"}}"),
						"only the provider \"command\" takes a command");
	assert_string_equal(told("{\"prompt\":\"p\",\"auto_commit\":\"true\",\"auto_push\":true}"),
						"must be null or a boolean, is a string");
}

TEST(what_the_schema_complains_about_is_survived)
{
	static const char *const odd[] = {"[]", "{}", "null",
									  "{\"agent\":[],\"artifacts\":{\"a\":1},\"callback_url\":7,\"template\":{}}"};
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		(void)complaint(odd[i]);
}

TEST(a_token_has_a_highest_priority)
{
	int priority;
	token.max_priority = 3;
	take("{\"prompt\":\"p\"}");
	assert_true(build_request_priority(&build, &priority));
	assert_int_equal(priority, 3);
	take("{\"prompt\":\"p\",\"priority\":3}");
	assert_true(build_request_priority(&build, &priority));
	take("{\"prompt\":\"p\",\"priority\":4}");
	assert_false(build_request_priority(&build, &priority));
}

TEST(a_template_is_rendered_and_named_with_its_version)
{
	static char text[] = "Do {{what}}.";
	struct template template = {.name = "t", .version = 4, .text = text};
	take("{\"prompt\":\"p\",\"template\":\"t\",\"variables\":{\"what\":\"it\"}}");
	build.template = &template;
	write_record();
	struct error err = ERROR_INIT;
	assert_int_equal(json_parse(value.data, value.len, &record, &err), 0);
	assert_string_equal(json_get_string(json_get(record, "spec"), "prompt"), "Do it.\n\np");
	assert_string_equal(json_get_string(json_get(record, "spec"), "template"), "t@4");
}

TEST(a_prompt_that_grows_too_long_is_refused)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 1 << 20);
	for (int i = 0; i < 40000; i++)
		assert_int_equal(buffer_append_str(&text, "{{prompt}}"), 0);
	struct template template = {.name = "t", .version = 1, .text = text.data};
	take("{\"prompt\":\"012345678901234567890123456789\"}");
	build.template = &template;
	build_request_render(&build, &prompt, &problems);
	assert_int_equal(problems.len, 1);
	assert_string_equal(problems.items[0].pointer, "/prompt");
}

/* The pointers of all that is wrong, in the order of being found. */
static const char *all_complaints(const char *text, const struct template *template)
{
	static char said[512];
	schema_problems_release(&problems);
	take(text);
	build.template = template;
	(void)schema_validate(schema_find(gateway.schemas, "build-spec.json"), spec, &problems);
	build_request_check(&build, &problems);
	build_request_render(&build, &prompt, &problems);
	said[0] = '\0';
	for (size_t i = 0; i < problems.len; i++) {
		size_t len = strlen(said);
		(void)snprintf(said + len, sizeof(said) - len, "%s ", problems.items[i].pointer);
	}
	return said;
}

TEST(what_is_wrong_with_variables_is_told_beside_the_rest_and_once)
{
	static char text[] = "Do {{what}} {{when}}.";
	const struct template template = {.name = "t", .version = 1, .text = text};
	assert_string_equal(
		all_complaints("{\"prompt\":\"p\",\"template\":\"t\",\"variables\":{\"who\":\"x\"},\"auto_push\":true}",
					   &template),
		"/auto_push /variables/who /variables/what /variables/when ");
	assert_string_equal(all_complaints("{\"template\":\"t\",\"variables\":{\"what\":\"x\"}}", &template),
						"/prompt /variables/when ");
	assert_string_equal(
		all_complaints("{\"prompt\":\"p\",\"template\":\"t\",\"variables\":{\"what\":1,\"a b\":\"\",\"a/b\":\"\"}}",
					   &template),
		"/variables/what /variables/a b /variables/a~1b /variables/when ");
}

TEST(variables_are_not_judged_by_a_template_that_is_not_known)
{
	assert_string_equal(all_complaints("{\"prompt\":\"p\",\"template\":\"gone\",\"variables\":{\"a\":\"x\"}}", NULL),
						"/template ");
	assert_string_equal(all_complaints("{\"prompt\":\"p\",\"template\":7,\"variables\":{\"a\":\"x\"}}", NULL),
						"/template ");
	assert_string_equal(all_complaints("{\"prompt\":\"p\",\"variables\":7}", NULL), "/variables ");
}

TEST(every_variable_that_a_build_may_have_can_be_wrong)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	assert_int_equal(buffer_append_str(&text, "{\"prompt\":\"p\",\"auto_push\":true,\"variables\":{\"v\":\"\""), 0);
	for (int i = 1; i < 64; i++)
		assert_int_equal(buffer_appendf(&text, ",\"v%d\":\"\"", i), 0);
	assert_int_equal(buffer_append_str(&text, "}}"), 0);
	(void)all_complaints(text.data, NULL);
	assert_int_equal(problems.len, 65);
	assert_false(problems.truncated);
}

TEST(the_hash_does_not_see_order_or_blanks)
{
	uint8_t a[SHA256_SIZE], b[SHA256_SIZE], c[SHA256_SIZE];
	take("{\"prompt\":\"p\",\"priority\":5}");
	build_request_hash(spec, &value, a);
	take("{ \"priority\" : 5.0, \"prompt\" : \"\\u0070\" }");
	build_request_hash(spec, &value, b);
	take("{\"prompt\":\"q\",\"priority\":5}");
	build_request_hash(spec, &value, c);
	assert_memory_equal(a, b, SHA256_SIZE);
	assert_memory_not_equal(a, c, SHA256_SIZE);
}

TEST(only_a_request_with_a_key_leaves_its_hash)
{
	static const struct route route = {.method = "POST", .pattern = "/projects/{id}/builds"};
	static struct request request = {.route = &route};
	take("{\"prompt\":\"p\"}");
	build.request = &request;
	build_request_hash(spec, &value, build.request_hash);
	write_record();
	assert_non_null(strstr(value.data, "\"request_hash\":null"));
	request.idempotency_key = (struct slice){"k", 1};
	write_record();
	char hash[2 * SHA256_SIZE + 1];
	hex_encode(build.request_hash, SHA256_SIZE, hash);
	assert_non_null(strstr(value.data, hash));
}

TEST(a_budget_needs_a_price_of_the_model_where_both_are_known)
{
	struct error err = ERROR_INIT;
	char unpriced[] = "{\"provider\":\"claude-code\",\"model\":\"dear\",\"budget_usd\":1}";
	assert_string_equal(
		complaint("{\"prompt\":\"p\",\"agent\":{\"provider\":\"opencode\",\"model\":\"dear\",\"budget_usd\":1}}"),
		"none"); /* no prices here */
	assert_int_equal(model_prices_new("{\"m\":{\"input\":1,\"output\":1}}", &gateway.model_prices, &err), 0);
	assert_string_equal(
		complaint("{\"prompt\":\"p\",\"agent\":{\"provider\":\"opencode\",\"model\":\"dear\",\"budget_usd\":1}}"),
		"/agent/budget_usd");
	assert_string_equal(
		complaint("{\"prompt\":\"p\",\"agent\":{\"provider\":\"opencode\",\"model\":\"m\",\"budget_usd\":1}}"), "none");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"agent\":{\"provider\":\"opencode\",\"budget_usd\":1}}"), "none");
	assert_string_equal(complaint("{\"prompt\":\"p\",\"agent\":{\"provider\":\"opencode\",\"model\":\"dear\"}}"),
						"none");
	project.agent = unpriced;
	assert_string_equal(complaint("{\"prompt\":\"p\"}"), "/agent/budget_usd");
	model_prices_free(gateway.model_prices);
	gateway.model_prices = NULL;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_smallest_spec_gets_every_field),
		T(given_fields_are_kept_and_labels_are_sorted),
		T(the_project_gives_its_branch),
		T(a_project_without_a_url_is_under_the_base),
		T(the_base_credential_goes_nowhere_else),
		T(a_url_below_the_base_may_be_made_however_it_is_spelled),
		T(rules_beyond_the_schema_are_checked),
		T(one_mistake_is_told_once_in_the_words_that_help_most),
		T(of_what_follows_from_a_mistake_nothing_is_told),
		T(what_the_schema_complains_about_is_survived),
		T(a_token_has_a_highest_priority),
		T(a_template_is_rendered_and_named_with_its_version),
		T(a_prompt_that_grows_too_long_is_refused),
		T(what_is_wrong_with_variables_is_told_beside_the_rest_and_once),
		T(variables_are_not_judged_by_a_template_that_is_not_known),
		T(every_variable_that_a_build_may_have_can_be_wrong),
		T(the_hash_does_not_see_order_or_blanks),
		T(only_a_request_with_a_key_leaves_its_hash),
		T(a_budget_needs_a_price_of_the_model_where_both_are_known),
	};
	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
