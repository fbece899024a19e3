#include "tests/unit/unit.h"

#include "api-gateway/builds/build_cache.h"

#define ID "01890000-0000-7000-8000-000000000001"
#define OTHER "01890000-0000-7000-8000-000000000002"
#define READ_MS 5000

static struct shared_map *map;

static int setup(void **state UNUSED)
{
	map = shared_map_new(8, SIZE_MAX);
	return 0;
}

static int teardown(void **state UNUSED)
{
	shared_map_free(map);
	return 0;
}

static void keep(const char *id, const char *body)
{
	build_cache_keep(map, id, "shop", "\"tag\"", body, strlen(body), READ_MS);
}

TEST(what_was_kept_is_found_as_it_was)
{
	CLEANUP(cached_build_unref) struct cached_build *build = NULL;
	keep(ID, "{\"a\":1}");
	build = build_cache_find(map, ID, READ_MS);
	assert_non_null(build);
	assert_string_equal(build->project_name, "shop");
	assert_string_equal(build->etag, "\"tag\"");
	assert_int_equal(build->body_len, 7);
	assert_memory_equal(build->body, "{\"a\":1}", 7);
	assert_null(build_cache_find(map, OTHER, READ_MS));
}

TEST(what_was_read_too_long_ago_is_not_found)
{
	CLEANUP(cached_build_unref) struct cached_build *build = NULL;
	keep(ID, "{}");
	build = build_cache_find(map, ID, READ_MS + BUILD_CACHE_KEPT_MS - 1);
	assert_non_null(build);
	assert_null(build_cache_find(map, ID, READ_MS + BUILD_CACHE_KEPT_MS));
}

TEST(what_is_used_outlives_what_replaces_it)
{
	CLEANUP(cached_build_unref) struct cached_build *old = NULL, *new = NULL;
	keep(ID, "old");
	old = build_cache_find(map, ID, READ_MS);
	keep(ID, "new");
	new = build_cache_find(map, ID, READ_MS);
	assert_memory_equal(old->body, "old", 3);
	assert_memory_equal(new->body, "new", 3);
}

TEST(a_long_body_is_not_kept)
{
	static char body[BUILD_CACHE_MAX_BODY + 1];
	build_cache_keep(map, ID, "shop", "\"tag\"", body, sizeof(body), READ_MS);
	assert_null(build_cache_find(map, ID, READ_MS));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_was_kept_is_found_as_it_was),
		T(what_was_read_too_long_ago_is_not_found),
		T(what_is_used_outlives_what_replaces_it),
		T(a_long_body_is_not_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
