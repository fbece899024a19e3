#include "tests/unit/unit.h"

#include <string.h>

#include "executor/proxy/reach.h"

static struct reach_reader reader;

/* However it is cut. */
static void found_is(enum model_protocol protocol, const char *text, bool wanted)
{
	size_t len = strlen(text);
	for (size_t piece = 1; piece <= len; piece++) {
		reach_reader_init(&reader, protocol);
		for (size_t at = 0; at < len; at += piece)
			reach_reader_add(&reader, text + at, len - at < piece ? len - at : piece);
		if (reader.found != wanted)
			fail_msg("%s in pieces of %zu: %s", text, piece, reader.found ? reader.why : "nothing found");
	}
}

static void reaches(enum model_protocol protocol, const char *text)
{
	found_is(protocol, text, true);
}

static void stays(enum model_protocol protocol, const char *text)
{
	found_is(protocol, text, false);
}

TEST(tools_that_run_at_the_agents_are_let_through)
{
	stays(MODEL_ANTHROPIC,
		  "{\"model\":\"m\",\"tools\":[{\"name\":\"Bash\",\"input_schema\":{\"type\":\"object\",\"properties\":"
		  "{\"type\":{\"type\":\"string\"},\"url\":{\"type\":\"string\",\"default\":\"https://x\"}}}}]}");
	stays(MODEL_ANTHROPIC,
		  "{\"tools\":[{\"type\":\"custom\"},{\"type\":\"bash_20250124\"},{\"type\":null},"
		  "{\"type\":\"text_editor_20250728\"},{\"type\":\"tool_search_tool_regex_20251119\"}]}");
	stays(MODEL_OPENAI,
		  "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"x\"}}}]}");
	stays(MODEL_OPENAI, "{\"tools\":null,\"plugins\":[],\"mcp_servers\":null,\"enable_search\":false,\"n\":1}");
	stays(MODEL_OPENAI, "{ \"tools\" : [ ] , \"mcp_servers\" : [ ] , \"stream\" : true }");
}

TEST(tools_that_run_at_the_vendors_are_found)
{
	static const char *const types[] = {"web_search_20250305",
										"web_fetch_20250910",
										"code_execution_20250825",
										"mcp_toolset",
										"",
										"Web_Search_20250305",
										"customs",
										"a_type_that_is_longer_than_anything_that_is_kept_of_a_string_here"};
	char text[256];
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		(void)snprintf(text, sizeof(text), "{\"tools\":[{\"type\":\"custom\"},{\"name\":\"x\",\"type\":\"%s\"}]}",
					   types[i]);
		reaches(MODEL_ANTHROPIC, text);
		reaches(MODEL_OPENAI, text);
	}
	reaches(MODEL_ANTHROPIC, "{\"tools\":[{\"t\\u0079pe\":\"custom\",\"type\":\"w\\u0065b_search\"}]}");
	reaches(MODEL_ANTHROPIC, "{\"tools\":[{\"TYPE\":\"web_search\"}]}");
	reaches(MODEL_ANTHROPIC, "{\"tools\":[{\"type\":\"web_search\",\"type\":\"custom\"}]}");
	reaches(MODEL_ANTHROPIC, "{\"tools\":[],\"tools\":[{\"type\":\"web_search\"}]}");
	reaches(MODEL_OPENAI, "{\"tools\":[{\"google_search\":{}}]}");
	reaches(MODEL_OPENAI, "{\"tools\":[{\"function\":{\"type\":\"function\"}}]}");
}

TEST(options_that_search_are_found)
{
	reaches(MODEL_ANTHROPIC, "{\"mcp_servers\":[{\"url\":\"https://x\"}]}");
	reaches(MODEL_OPENAI, "{\"web_search_options\":{}}");
	reaches(MODEL_OPENAI, "{\"plugins\":[{\"id\":\"web\"}]}");
	reaches(MODEL_OPENAI, "{\"enable_search\": true}");
	reaches(MODEL_OPENAI, "{\"search_parameters\":\"x\"}");
	reaches(MODEL_OPENAI, "{\"plugins\":[1]}");
	stays(MODEL_OPENAI, "{\"metadata\":{\"plugins\":[1]}}");
}

TEST(what_is_fetched_by_its_address_is_found)
{
	reaches(MODEL_ANTHROPIC,
			"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":"
			"{\"type\":\"url\",\"url\":\"https://x/?secret\"}}]}]}");
	reaches(MODEL_ANTHROPIC,
			"{\"messages\":[{\"content\":[{\"type\":\"tool_result\",\"content\":[{\"source\":"
			"{\"u\\u0072l\":\"http\\u003a//x\"}}]}]}]}");
	reaches(MODEL_OPENAI, "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"https://x\"}}]}]}");
	reaches(MODEL_OPENAI, "{\"messages\":[{\"content\":[{\"image_url\":\"https://x\"}]}]}");
	reaches(MODEL_OPENAI, "{\"messages\":[{\"input\":{\"url\":\"https://x\"}}]}");
	stays(MODEL_OPENAI, "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"DATA:image/png;base64,AAAA\"}}]}]}");
	stays(MODEL_ANTHROPIC,
		  "{\"messages\":[{\"content\":\"see \\\"url\\\": https://x\"},{\"content\":[{\"type\":\"text\",\"text\":"
		  "\"{\\\"url\\\":\\\"https://x\\\"}\"},{\"url\":null},{\"source\":{\"type\":\"base64\",\"data\":\"AA\"}}]}]}");
}

TEST(what_a_model_tells_a_tool_is_nobody_elses)
{
	stays(MODEL_ANTHROPIC,
		  "{\"messages\":[{\"content\":[{\"type\":\"tool_use\",\"name\":\"WebFetch\",\"input\":"
		  "{\"url\":\"https://x\",\"source\":{\"url\":\"https://x\"},\"a\":[{\"url\":\"y\"}]}}]}]}");
	reaches(MODEL_ANTHROPIC,
			"{\"messages\":[{\"content\":[{\"input\":{\"a\":[1,{}]},\"source\":{\"url\":\"https://x\"}}]}]}");
}

TEST(what_is_no_json_and_what_comes_behind_it_does_no_harm)
{
	static const char *const odd[] = {"",   "[",       "]]]]",     "{}{\"tools\":[{\"type\":\"x\"}]}", "\"",  "{\"",
									  ":,", "{\"a\":", "{{{{}}}}", "{\"tools\":[[[{\"type\":\"web\"}", "\\u", "}{"};
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		reach_reader_init(&reader, MODEL_OPENAI);
		reach_reader_add(&reader, odd[i], strlen(odd[i]));
	}
	char deep[4096];
	size_t len = (size_t)snprintf(deep, sizeof(deep), "{\"messages\":");
	memset(deep + len, '[', 1000);
	reach_reader_init(&reader, MODEL_OPENAI);
	reach_reader_add(&reader, deep, len + 1000);
	assert_true(reader.found); /* what cannot be looked into is refused */
	len = (size_t)snprintf(deep, sizeof(deep), "{\"metadata\":");
	memset(deep + len, '[', 1000);
	memset(deep + len + 1000, ']', 1000);
	len += 2000;
	len += (size_t)snprintf(deep + len, sizeof(deep) - len, ",\"plugins\":[1]}");
	reach_reader_init(&reader, MODEL_OPENAI);
	reach_reader_add(&reader, deep, len);
	assert_true(reader.found);
	assert_string_equal(reader.why, "an option that makes the model reach out, near \"plugins\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tools_that_run_at_the_agents_are_let_through),
		cmocka_unit_test(tools_that_run_at_the_vendors_are_found),
		cmocka_unit_test(options_that_search_are_found),
		cmocka_unit_test(what_is_fetched_by_its_address_is_found),
		cmocka_unit_test(what_a_model_tells_a_tool_is_nobody_elses),
		cmocka_unit_test(what_is_no_json_and_what_comes_behind_it_does_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
