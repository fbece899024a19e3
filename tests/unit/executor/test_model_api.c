#include "tests/unit/unit.h"

#include <string.h>

#include "common/json/json.h"
#include "common/base/alloc.h"
#include "executor/proxy/model_api.h"

static bool is_let_through(enum model_protocol protocol, const char *method, const char *path)
{
	return model_route_find(protocol, method, strlen(method), path, strlen(path)) != NULL;
}

TEST(the_requests_of_each_protocol_are_let_through)
{
	assert_true(is_let_through(MODEL_ANTHROPIC, "POST", "/v1/messages"));
	assert_true(is_let_through(MODEL_ANTHROPIC, "POST", "/v1/messages/count_tokens"));
	assert_true(is_let_through(MODEL_ANTHROPIC, "GET", "/v1/models"));
	assert_true(is_let_through(MODEL_ANTHROPIC, "GET", "/v1/models/claude-x"));
	assert_true(is_let_through(MODEL_OPENAI, "POST", "/v1/chat/completions"));
	assert_true(is_let_through(MODEL_OPENAI, "GET", "/v1/models"));
}

TEST(everything_else_is_not)
{
	static const struct {
		const char *method, *path;
	} wrong[] = {
		{"GET", "/v1/messages"},
		{"post", "/v1/messages"},
		{"POST", "/v1/messages/"},
		{"POST", "/v1//messages"},
		{"POST", "/v1/%6dessages"},
		{"POST", "/v1/messages/../files"},
		{"POST", "/v1/messages/batches"},
		{"POST", "/v1/complete"},
		{"POST", "/v1/files"},
		{"GET", "/v1/files"},
		{"POST", "/v1/responses"},
		{"POST", "/messages"},
		{"POST", "/v1"},
		{"POST", ""},
		{"DELETE", "/v1/models/claude-x"},
		{"GET", "/v1/models/"},
		{"GET", "/v1/models/.."},
		{"GET", "/v1/models/a/b"},
		{"GET", "/v1/models/a%2fb"},
		{"CONNECT", "api.example:443"},
		{"POST", "http://other.example/v1/messages"},
		{"POST", "//other.example/v1/messages"},
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_false(is_let_through(MODEL_ANTHROPIC, wrong[i].method, wrong[i].path));
		assert_false(is_let_through(MODEL_OPENAI, wrong[i].method, wrong[i].path));
	}
	assert_false(is_let_through(MODEL_ANTHROPIC, "POST", "/v1/chat/completions"));
	assert_false(is_let_through(MODEL_OPENAI, "POST", "/v1/messages"));
}

TEST(only_where_the_model_speaks_there_are_turns)
{
	assert_true(model_route_find(MODEL_ANTHROPIC, "POST", 4, "/v1/messages", 12)->is_generation);
	assert_false(model_route_find(MODEL_ANTHROPIC, "POST", 4, "/v1/messages/count_tokens", 25)->is_generation);
	assert_true(model_route_find(MODEL_OPENAI, "POST", 4, "/v1/chat/completions", 20)->is_generation);
}

TEST(queries_are_plain)
{
	assert_true(model_query_is_plain("beta=true", 9));
	assert_true(model_query_is_plain("", 0));
	assert_false(model_query_is_plain("a=%0d", 5));
	assert_false(model_query_is_plain("a#b", 3));
	assert_false(model_query_is_plain("a\0b", 3));
}

static bool goes(const char *name)
{
	return model_header_goes(name, strlen(name));
}

static bool returns(const char *name)
{
	return model_header_returns(name, strlen(name));
}

TEST(the_agents_own_credentials_and_its_connections_headers_stay_behind)
{
	static const char *const staying[] = {
		"Authorization",   "X-Api-Key",           "api-key",          "x-goog-api-key",  "Cookie", "Host",
		"Connection",      "Transfer-Encoding",   "Content-Length",   "Accept-Encoding", "Expect", "Upgrade",
		"X-Forwarded-For", "Proxy-Authorization", "anthropic-versio", "x-appendix"};
	for (size_t i = 0; i < ARRAY_LEN(staying); i++)
		assert_false(goes(staying[i]));
	assert_true(goes("Content-Type"));
	assert_true(goes("anthropic-version"));
	assert_true(goes("Anthropic-Beta"));
	assert_true(goes("X-Stainless-Lang"));
}

TEST(an_answers_headers_return_but_those_of_its_connection)
{
	static const char *const staying[] = {"Connection", "Keep-Alive", "Set-Cookie", "Transfer-Encoding",
										  "Trailer",    "Upgrade",    "Location",   "Proxy-Authenticate"};
	for (size_t i = 0; i < ARRAY_LEN(staying); i++)
		assert_false(returns(staying[i]));
	assert_true(returns("Content-Type"));
	assert_true(returns("Retry-After"));
	assert_true(returns("anthropic-ratelimit-requests-remaining"));
}

TEST(errors_have_the_vendors_shape)
{
	struct buffer out;
	buffer_init(&out, 1000);
	model_error_write(&out, MODEL_ANTHROPIC, 400, "no \"more\"");
	assert_string_equal(out.data,
						"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
						"\"message\":\"no \\\"more\\\"\"}}");
	buffer_clear(&out);
	model_error_write(&out, MODEL_OPENAI, 502, "away");
	assert_string_equal(out.data,
						"{\"error\":{\"type\":\"server_error\",\"message\":\"away\",\"param\":null,"
						"\"code\":null}}");
	buffer_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_requests_of_each_protocol_are_let_through),
		cmocka_unit_test(everything_else_is_not),
		cmocka_unit_test(only_where_the_model_speaks_there_are_turns),
		cmocka_unit_test(queries_are_plain),
		cmocka_unit_test(the_agents_own_credentials_and_its_connections_headers_stay_behind),
		cmocka_unit_test(an_answers_headers_return_but_those_of_its_connection),
		cmocka_unit_test(errors_have_the_vendors_shape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
