/* What problems say of a request's effect, and which one an error becomes. */
#include "tests/unit/unit.h"

#include "api-gateway/builds/accept.h"
#include "api-gateway/http/problem.h"
#include "api-gateway/requests/request.h"
#include "api-gateway/requests/workers.h"
#include "common/base/str.h"
#include "kiln_schemas.h"

#define BUILD "0198c1de-7a3b-7c4d-8e5f-0123456789ab"

static struct request request;
static const struct route reading = {.method = "GET"}, writing = {.method = "POST"};
static cJSON *body;

static int load(void **state UNUSED)
{
	struct error err = ERROR_INIT;
	return problems_load(kiln_schema_files, &err);
}

static int setup(void **state UNUSED)
{
	request.route = &writing;
	request.build_id[0] = '\0';
	answer_init(&request.answer);
	return 0;
}

static int teardown(void **state UNUSED)
{
	cJSON_Delete(body);
	body = NULL;
	answer_release(&request.answer);
	return 0;
}

/* A member of the problem that was made; NULL: it is not there. */
static const char *member(const char *name)
{
	struct error err = ERROR_INIT;
	cJSON_Delete(body);
	body = NULL;
	assert_int_equal(json_parse(request.answer.body.data, request.answer.body.len, &body, &err), 0);
	return json_get_string(body, name);
}

static void assert_problem(const char *slug, int status)
{
	char type[64];
	(void)snprintf(type, sizeof(type), "/problems/%s", slug);
	assert_string_equal(member("type"), type);
	assert_int_equal(request.answer.status, status);
}

TEST(what_is_not_known_says_so_also_without_a_build)
{
	assert_int_equal(problem_answer_unknown(&request, "x"), -1);
	assert_problem("outcome-unknown", 503);
	assert_string_equal(member("outcome"), "unknown");
	assert_null(member("task_id"));
}

TEST(what_is_not_known_of_a_build_names_it)
{
	request_set_build(&request, BUILD);
	(void)problem_answer_unknown(&request, "x");
	assert_string_equal(member("outcome"), "unknown");
	assert_string_equal(member("task_id"), BUILD);
}

TEST(no_other_problem_has_an_outcome)
{
	request_set_build(&request, BUILD);
	for (int problem = 0; problem < PROBLEM_COUNT; problem++) {
		if (problem == PROBLEM_OUTCOME_UNKNOWN)
			continue;
		(void)problem_answer(&request, (enum problem)problem, "x");
		assert_null(member("outcome"));
		assert_null(member("task_id"));
	}
}

TEST(a_record_that_is_not_acknowledged_is_told_by_what_became_of_it)
{
	static const struct {
		enum error_kind kind;
		const char *slug;
		int status;
	} cases[] = {
		{ERR_INVALID, "payload-too-large", 413},
		{ERR_LIMIT, "kafka-unavailable", 503},
		{ERR_UNAVAILABLE, "kafka-unavailable", 503},
		{ERR_CANCELLED, "kafka-unavailable", 503},
		{ERR_INTERNAL, "internal", 500},
		{ERR_UNKNOWN, "outcome-unknown", 503},
	};
	request_set_build(&request, BUILD);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(accept_problem(&request, cases[i].kind), -1);
		assert_problem(cases[i].slug, cases[i].status);
		assert_int_equal(member("task_id") != NULL, cases[i].kind == ERR_UNKNOWN);
	}
}

TEST(a_lost_answer_of_the_database_leaves_the_fate_of_writes_alone_unknown)
{
	struct error err = {.kind = ERR_UNKNOWN, .message = "lost"};
	(void)db_problem(&request, &err);
	assert_problem("outcome-unknown", 503);
	request.route = &reading;
	(void)db_problem(&request, &err);
	assert_problem("database-unavailable", 503);
}

/* Which seconds from 0 on were told; one bit each. */
static unsigned int retry_hints(enum problem problem)
{
	unsigned int hints = 0;
	for (int i = 0; i < 200; i++) {
		(void)problem_answer(&request, problem, "x");
		assert_in_range(request.answer.retry_after_s, 0, 3);
		hints |= 1U << request.answer.retry_after_s;
	}
	return hints;
}

TEST(who_gets_503_is_told_to_come_again_at_different_times)
{
	for (int problem = 0; problem < PROBLEM_COUNT; problem++) {
		unsigned int hints = retry_hints((enum problem)problem);
		int status = request.answer.status;
		assert_int_equal(hints, status == 503 ? 1U << 1 | 1U << 2 | 1U << 3 : status == 429 ? 1U << 1 : 1U << 0);
	}
}

TEST(a_time_that_is_known_is_told_as_it_is)
{
	static const struct problem_extras extras = {.retry_after_s = 17};
	for (int i = 0; i < 50; i++) {
		problem_write(&request.answer, PROBLEM_OVERLOADED, "x", &extras, "x");
		assert_int_equal(request.answer.retry_after_s, 17);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_not_known_says_so_also_without_a_build),
		T(what_is_not_known_of_a_build_names_it),
		T(no_other_problem_has_an_outcome),
		T(a_record_that_is_not_acknowledged_is_told_by_what_became_of_it),
		T(a_lost_answer_of_the_database_leaves_the_fate_of_writes_alone_unknown),
		T(who_gets_503_is_told_to_come_again_at_different_times),
		T(a_time_that_is_known_is_told_as_it_is),
	};
	return cmocka_run_group_tests(tests, load, NULL);
}
