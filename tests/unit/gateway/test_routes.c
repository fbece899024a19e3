#include "tests/unit/unit.h"

#include "api-gateway/routes.h"

static const struct route *route;
static char param[64];

static enum route_outcome find(const char *method, const char *path)
{
	route = NULL;
	return routes_find(method, strlen(method), path, strlen(path), &route, param);
}

TEST(a_route_is_found_by_method_and_path)
{
	assert_int_equal(find("POST", "/projects"), ROUTE_FOUND);
	assert_string_equal(route->pattern, "/projects");
	assert_string_equal(route->method, "POST");
	assert_string_equal(param, "");
	assert_int_equal(find("GET", "/builds/0198c1de-7a3b-7c4d-8e5f-0123456789ab/events"), ROUTE_FOUND);
	assert_string_equal(route->pattern, "/builds/{taskId}/events");
	assert_string_equal(param, "0198c1de-7a3b-7c4d-8e5f-0123456789ab");
}

TEST(head_finds_get)
{
	assert_int_equal(find("HEAD", "/projects/demo"), ROUTE_FOUND);
	assert_string_equal(route->method, "GET");
	assert_int_equal(find("HEAD", "/project/demo/build"), ROUTE_NO_METHOD);
}

TEST(the_alias_leads_to_the_same_handler)
{
	assert_int_equal(find("POST", "/projects/demo/builds"), ROUTE_FOUND);
	route_handler *handler = route->handler;
	assert_int_equal(find("POST", "/project/demo/build"), ROUTE_FOUND);
	assert_ptr_equal(route->handler, handler);
}

TEST(a_path_of_letters_wins_over_one_with_a_parameter)
{
	assert_int_equal(find("POST", "/project/create-and-build"), ROUTE_FOUND);
	assert_string_equal(route->pattern, "/project/create-and-build");
}

TEST(a_parameter_is_percent_decoded)
{
	assert_int_equal(find("GET", "/projects/d%65mo"), ROUTE_FOUND);
	assert_string_equal(param, "demo");
	assert_int_equal(find("GET", "/projects/a%2Fb"), ROUTE_FOUND);
	assert_string_equal(param, "a/b");
}

TEST(a_parameter_that_is_no_text_is_a_bad_path)
{
	static const char *const bad[] = {
		"/projects/%00", "/projects/%zz", "/projects/%", "/projects/%ff", "projects", "", "*"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(find("GET", bad[i]), ROUTE_BAD_PATH);
}

TEST(other_paths_do_not_exist)
{
	static const char *const none[] = {"/",
									   "//",
									   "/projects/",
									   "/projects//builds",
									   "/Projects",
									   "/projects/a/b/c",
									   "/builds",
									   "/a/b/c/d/e/f/g/h/i/j/k/l",
									   "/projects/a/builds/",
									   "/../projects"};
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_int_equal(find("GET", none[i]), ROUTE_NO_PATH);
}

TEST(a_parameter_longer_than_any_name_names_nothing)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "/projects/%064d", 0);
	assert_int_equal(find("GET", path), ROUTE_NO_PATH);
	(void)snprintf(path, sizeof(path), "/projects/%063d", 0);
	assert_int_equal(find("GET", path), ROUTE_FOUND);
}

TEST(another_method_is_told_what_the_path_takes)
{
	static const struct {
		const char *path, *allow;
	} cases[] = {
		{"/projects", "POST, GET, HEAD"},
		{"/projects/demo", "GET, HEAD, PATCH, DELETE"},
		{"/project/create-and-build", "POST"},
		{"/me", "GET, HEAD"},
	};
	char allow[128];
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(find("PUT", cases[i].path), ROUTE_NO_METHOD);
		routes_allow(cases[i].path, strlen(cases[i].path), allow, sizeof(allow));
		assert_string_equal(allow, cases[i].allow);
	}
	assert_int_equal(find("get", "/me"), ROUTE_NO_METHOD);
	assert_int_equal(find("", "/me"), ROUTE_NO_METHOD);
}

static const char *rest_of(const char *path)
{
	size_t len = 0;
	assert_int_equal(find("GET", path), ROUTE_FOUND);
	assert_string_equal(route->pattern, "/builds/{taskId}/artifacts/{path}");
	assert_string_equal(param, "id");
	const char *rest = routes_rest(route, path, strlen(path), &len);
	assert_int_equal(strlen(rest), len);
	return rest;
}

TEST(the_path_of_an_artifact_takes_the_rest_as_it_came)
{
	assert_string_equal(rest_of("/builds/id/artifacts/a"), "a");
	assert_string_equal(rest_of("/builds/id/artifacts/a/b%2Fc/../%00"), "a/b%2Fc/../%00");
	assert_string_equal(rest_of("/builds/id/artifacts/1/2/3/4/5/6/7/8/9/"), "1/2/3/4/5/6/7/8/9/");
	assert_int_equal(find("GET", "/builds/id/artifacts/"), ROUTE_NO_PATH);
	assert_int_equal(find("GET", "/builds/id/artifacts//a"), ROUTE_NO_PATH);
	assert_int_equal(find("GET", "/builds/id/artifacts"), ROUTE_NO_PATH);
	assert_int_equal(find("PUT", "/builds/id/artifacts/a/b"), ROUTE_NO_METHOD);
}

TEST(no_route_is_there_twice)
{
	for (size_t i = 0; i < gateway_routes_len; i++) {
		for (size_t j = 0; j < i; j++)
			assert_false(strcmp(gateway_routes[i].method, gateway_routes[j].method) == 0 &&
						 strcmp(gateway_routes[i].pattern, gateway_routes[j].pattern) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_route_is_found_by_method_and_path),
		cmocka_unit_test(head_finds_get),
		cmocka_unit_test(the_alias_leads_to_the_same_handler),
		cmocka_unit_test(a_path_of_letters_wins_over_one_with_a_parameter),
		cmocka_unit_test(a_parameter_is_percent_decoded),
		cmocka_unit_test(a_parameter_that_is_no_text_is_a_bad_path),
		cmocka_unit_test(other_paths_do_not_exist),
		cmocka_unit_test(a_parameter_longer_than_any_name_names_nothing),
		cmocka_unit_test(another_method_is_told_what_the_path_takes),
		cmocka_unit_test(the_path_of_an_artifact_takes_the_rest_as_it_came),
		cmocka_unit_test(no_route_is_there_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
