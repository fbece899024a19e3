#include "tests/unit/unit.h"
#include "tests/unit/executor/mirrors.h"

#include "executor/daemon/mirrors.h"

#define DAY_S INT64_C(86400)
#define FILE_BYTES INT64_C(1000000)

static struct executor_config config; /* no limits unless a test sets them */

static int begin(void **state)
{
	config = (struct executor_config){.state_dir = folder, .mirrors_bytes = INT64_MAX};
	return state_make(state);
}

static bool never(void *ctx UNUSED)
{
	return false;
}

static bool at_once(void *ctx UNUSED)
{
	return true;
}

/* Of a remote that was last used so many seconds ago, with FILE_BYTES in it. Its path, the caller's to free. */
static char *make_mirror(const char *url, int64_t ago_s)
{
	struct mirror mirror = mirror_of(url);
	char *path = xstrdup(mirror.path);
	mirror_close(&mirror);
	CLEANUP(free_p) char *use = xasprintf("%s/kiln-use", path);
	CLEANUP(free_p) char *large = xasprintf("%s/large", path);
	CLEANUP(free_p) char *bytes = xcalloc(1, FILE_BYTES);
	FILE *file = fopen(large, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, FILE_BYTES, file), FILE_BYTES);
	assert_int_equal(fclose(file), 0);
	const struct timespec then = {.tv_sec = time(NULL) - ago_s}, times[2] = {then, then};
	assert_int_equal(utimensat(AT_FDCWD, use, times, 0), 0);
	return path;
}

TEST(the_ones_whose_last_use_is_longest_ago_go_until_the_others_have_room)
{
	CLEANUP(free_p) char *third = make_mirror("c", 30);
	CLEANUP(free_p) char *first = make_mirror("a", 50);
	CLEANUP(free_p) char *fourth = make_mirror("d", 20);
	CLEANUP(free_p) char *second = make_mirror("b", 40);
	config.mirrors_bytes = 3 * FILE_BYTES;
	mirrors_limit(&config, never, NULL);
	assert_false(is_there(first));
	assert_false(is_there(second)); /* three of them take more than three files */
	assert_true(is_there(third));
	assert_true(is_there(fourth));
}

TEST(half_made_packs_do_not_count)
{
	CLEANUP(free_p) char *packed = make_mirror("a", 10);
	CLEANUP(free_p) char *other = make_mirror("b", 20);
	CLEANUP(free_p) char *large = xasprintf("%s/large", packed);
	CLEANUP(free_p) char *half = xasprintf("%s/.tmp-1-pack-x.pack", packed);
	config.mirrors_bytes = 3 * FILE_BYTES / 2;
	assert_int_equal(rename(large, half), 0);
	mirrors_limit(&config, never, NULL);
	assert_true(is_there(packed) && is_there(other));
	assert_int_equal(rename(half, large), 0);
	mirrors_limit(&config, never, NULL);
	assert_false(is_there(other));
}

TEST(what_is_in_use_stays_and_the_next_one_goes)
{
	struct mirror used = mirror_of("a");
	CLEANUP(free_p) char *second = make_mirror("b", -1);
	config.mirrors_bytes = 1;
	mirrors_limit(&config, never, NULL);
	assert_true(is_there(used.path));
	assert_false(is_there(second));
	mirror_close(&used);
}

TEST(what_was_not_used_for_the_days_goes)
{
	CLEANUP(free_p) char *old = make_mirror("a", 15 * DAY_S);
	CLEANUP(free_p) char *younger = make_mirror("b", 13 * DAY_S);
	mirrors_limit(&config, never, NULL); /* for ever */
	assert_true(is_there(old));
	config.mirrors_days = 14;
	mirrors_limit(&config, never, NULL);
	assert_false(is_there(old));
	assert_true(is_there(younger));
}

TEST(one_of_an_older_release_counts_from_now)
{
	CLEANUP(free_p) char *path = make_mirror("a", 0);
	CLEANUP(free_p) char *use = xasprintf("%s/kiln-use", path);
	assert_int_equal(unlink(use), 0);
	config.mirrors_days = 1;
	mirrors_limit(&config, never, NULL);
	assert_true(is_there(path));
}

TEST(without_a_number_they_have_a_share_of_the_disk)
{
	CLEANUP(free_p) char *path = make_mirror("a", 0);
	config.mirrors_bytes = 0;
	mirrors_limit(&config, never, NULL);
	assert_true(is_there(path));
}

TEST(a_janitor_that_is_to_end_does_not_go_on)
{
	CLEANUP(free_p) char *path = make_mirror("a", 0);
	config.mirrors_bytes = 1;
	mirrors_limit(&config, at_once, NULL);
	assert_true(is_there(path));
}

/* `ctx`: how often it was asked; it says no to the first hundred. */
static bool after_a_hundred(void *ctx)
{
	int *asked = ctx;
	return ++*asked > 100;
}

TEST(a_janitor_that_is_to_end_stops_within_one_mirror)
{
	CLEANUP(free_p) char *path = make_mirror("a", 0);
	CLEANUP(free_p) char *ending = make_mirror("b", 0);
	for (int i = 0; i < 200; i++) {
		CLEANUP(free_p) char *name = xasprintf("%s/%d", path, i), *other = xasprintf("%s/%d", ending, i);
		assert_int_equal(mkdir(name, 0700), 0);
		assert_int_equal(mkdir(other, 0700), 0);
	}
	config.mirrors_bytes = 1;
	int asked = 0;
	mirrors_limit(&config, after_a_hundred, &asked);
	assert_in_range(asked, 101, 110);
	assert_true(is_there(path) && is_there(ending));
}

TEST(one_that_cannot_be_moved_stays)
{
	CLEANUP(free_p) char *path = make_mirror("a", 0);
	CLEANUP(free_p) char *trash = xasprintf("%s/trash", folder);
	config.mirrors_bytes = 1;
	assert_int_equal(rmdir(trash), 0);
	mirrors_limit(&config, never, NULL);
	assert_true(is_there(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_ones_whose_last_use_is_longest_ago_go_until_the_others_have_room, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(half_made_packs_do_not_count, begin, folder_remove),
		cmocka_unit_test_setup_teardown(what_is_in_use_stays_and_the_next_one_goes, begin, folder_remove),
		cmocka_unit_test_setup_teardown(what_was_not_used_for_the_days_goes, begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_of_an_older_release_counts_from_now, begin, folder_remove),
		cmocka_unit_test_setup_teardown(without_a_number_they_have_a_share_of_the_disk, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_janitor_that_is_to_end_does_not_go_on, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_janitor_that_is_to_end_stops_within_one_mirror, begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_that_cannot_be_moved_stays, begin, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
