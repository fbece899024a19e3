#include <pthread.h>

#include "common/json/json.h"
#include "common/json/json_pool.h"
#include "tests/unit/unit.h"

static cJSON *parse(const char *text)
{
	cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	if (json_parse(text, strlen(text), &tree, &err) < 0)
		fail_msg("%s", err.message);
	return tree;
}

static void assert_tree(const cJSON *tree, const char *expected)
{
	CLEANUP(buffer_release_p) struct buffer buf;
	buffer_init(&buf, 100000);
	assert_int_equal(json_canonical(&buf, tree), 0);
	assert_string_equal(buf.data, expected);
}

TEST(trees_of_an_open_pool_are_like_others)
{
	json_pool_prepare();
	struct json_pool *pool = json_pool_new(65536);
	for (int round = 0; round < 3; round++) {
		json_pool_open(pool);
		cJSON *tree = parse("{\"a\":[1,\"two\",null],\"b\":{\"c\":true}}");
		json_pool_close(pool);
		assert_tree(tree, "{\"a\":[1,\"two\",null],\"b\":{\"c\":true}}");
		cJSON_Delete(tree);
		json_pool_empty(pool);
	}
	json_pool_free(pool);
}

TEST(the_same_memory_is_used_after_emptying)
{
	json_pool_prepare();
	struct json_pool *pool = json_pool_new(65536);
	json_pool_open(pool);
	const cJSON *first = parse("[1]");
	const cJSON *second = parse("[2]");
	assert_ptr_not_equal(first, second);
	json_pool_empty(pool);
	assert_ptr_equal(parse("[3]"), first);
	json_pool_free(pool);
}

TEST(what_does_not_fit_comes_from_malloc)
{
	json_pool_prepare();
	struct json_pool *pool = json_pool_new(4096);
	json_pool_open(pool);
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 100000);
	assert_int_equal(buffer_append_str(&text, "[0"), 0);
	for (int i = 1; i < 500; i++)
		assert_int_equal(buffer_appendf(&text, ",%d", i), 0);
	assert_int_equal(buffer_append_str(&text, "]"), 0);
	cJSON *tree = parse(text.data);
	json_pool_close(pool);
	assert_tree(tree, text.data);
	cJSON_Delete(tree); /* of both kinds */
	json_pool_free(pool);
}

TEST(a_tree_from_before_is_given_back_while_the_pool_is_open)
{
	json_pool_prepare();
	cJSON *before = parse("{\"a\":1}");
	struct json_pool *pool = json_pool_new(4096);
	json_pool_open(pool);
	cJSON_Delete(before); /* the sanitizers would tell */
	json_pool_free(pool);
}

static void *parse_elsewhere(void *arg)
{
	cJSON **ret = arg;
	*ret = parse("[1]");
	return NULL;
}

TEST(a_pool_is_of_its_thread_only)
{
	json_pool_prepare();
	struct json_pool *pool = json_pool_new(4096);
	json_pool_open(pool);
	pthread_t thread;
	cJSON *tree = NULL;
	assert_int_equal(pthread_create(&thread, NULL, parse_elsewhere, &tree), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	json_pool_empty(pool);
	(void)parse("[2]"); /* would take its place */
	assert_tree(tree, "[1]");
	json_pool_free(pool);
	cJSON_Delete(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_of_an_open_pool_are_like_others),
		cmocka_unit_test(the_same_memory_is_used_after_emptying),
		cmocka_unit_test(what_does_not_fit_comes_from_malloc),
		cmocka_unit_test(a_tree_from_before_is_given_back_while_the_pool_is_open),
		cmocka_unit_test(a_pool_is_of_its_thread_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
