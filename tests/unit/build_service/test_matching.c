#include "tests/unit/unit.h"

#include <string.h>

#include "build-service/matching/matching.h"
#include "common/base/str.h"
#include "tests/unit/build_service/dice.h"

#define MAX 16

static struct match_worker workers[MAX];
static struct match_candidate candidates[MAX];
static struct match_slot slots[MAX];
static size_t workers_len, candidates_len, slots_len;

static int begin(void **state UNUSED)
{
	workers_len = candidates_len = slots_len = 0;
	memset(workers, 0, sizeof(workers));
	memset(candidates, 0, sizeof(candidates));
	return 0;
}

static int end(void **state UNUSED)
{
	for (size_t i = 0; i < workers_len; i++) {
		strv_free(workers[i].labels);
		strv_free(workers[i].agents);
	}
	return 0;
}

static struct match_worker *worker(const char *labels, int32_t free)
{
	struct match_worker *one = &workers[workers_len];
	(void)snprintf(one->address.worker_id, sizeof(one->address.worker_id), "w%zu", workers_len++);
	one->labels = strv_split(labels, ',');
	one->agents = strv_split("command,opencode", ',');
	one->free = free;
	return one;
}

static struct match_candidate *build(const char *class_name, const char *project, int32_t limit)
{
	struct match_candidate *one = &candidates[candidates_len];
	(void)snprintf(one->build_id, sizeof(one->build_id), "b%zu", candidates_len++);
	(void)snprintf(one->project_id, sizeof(one->project_id), "%s", project);
	one->class_name = class_name;
	one->limit = limit;
	return one;
}

static void taken(const char *project, int32_t n)
{
	(void)snprintf(slots[slots_len].project_id, sizeof(slots[slots_len].project_id), "%s", project);
	slots[slots_len++].n = n;
}

static struct match_result run(void)
{
	return match(workers, workers_len, candidates, candidates_len, slots, slots_len);
}

TEST(builds_get_slots_in_the_order_of_their_turn)
{
	worker("", 2);
	const struct match_candidate *first = build("command", "p", 0), *second = build("command", "p", 0),
								 *third = build("command", "p", 0);
	assert_int_equal(run().assigned, 2);
	assert_non_null(first->worker);
	assert_non_null(second->worker);
	assert_null(third->worker);
}

TEST(the_slot_with_the_fewest_spare_labels_is_taken)
{
	const struct match_worker *rich = worker("gpu,linux", 1), *poor = worker("linux", 1);
	const struct match_candidate *plain = build("command,linux", "p", 0), *gpu = build("command,gpu", "p", 0);
	assert_int_equal(run().assigned, 2);
	assert_ptr_equal(plain->worker, poor);
	assert_ptr_equal(gpu->worker, rich);
}

TEST(a_worker_must_have_all_labels_and_the_agent)
{
	worker("linux", 5);
	const struct match_candidate *gpu = build("command,gpu,linux", "p", 0), *agent = build("claude-code", "p", 0);
	const struct match_candidate *fits = build("opencode,linux", "p", 0);
	assert_int_equal(run().assigned, 1);
	assert_null(gpu->worker);
	assert_null(agent->worker);
	assert_non_null(fits->worker);
}

TEST(any_worker_settles)
{
	worker("gpu", 1);
	const struct match_candidate *settling = build("*", "p", 0);
	(void)run();
	assert_non_null(settling->worker);
}

TEST(load_spreads_over_equal_workers)
{
	const struct match_worker *full = worker("", 1), *empty = worker("", 3);
	const struct match_candidate *first = build("command", "p", 0);
	build("command", "p", 0);
	build("command", "p", 0);
	assert_int_equal(run().assigned, 3);
	assert_ptr_equal(first->worker, empty);
	assert_int_equal(full->free + empty->free, 1);
}

TEST(a_project_stays_within_its_limit_and_others_go_on)
{
	worker("", 5);
	taken("p", 2);
	const struct match_candidate *first = build("command", "p", 2), *second = build("command", "p", 2),
								 *other = build("command", "q", 1);
	struct match_result result = run();
	assert_int_equal(result.assigned, 2);
	assert_int_equal(result.full, 1);
	assert_true(second->full);
	assert_int_equal(first->slot, 1);
	assert_null(second->worker);
	assert_int_equal(other->slot, 1);
}

TEST(a_lowered_limit_counts_the_places_above_it)
{
	worker("", 5);
	taken("p", 3);
	taken("p", 4);
	build("command", "p", 2);
	assert_int_equal(run().assigned, 0);
	end(NULL);
	begin(NULL);
	worker("", 5);
	taken("p", 4);
	const struct match_candidate *one = build("command", "p", 2);
	assert_int_equal(run().assigned, 1);
	assert_int_equal(one->slot, 1);
}

TEST(a_full_project_is_told_though_no_slot_is_free)
{
	worker("", 0);
	taken("p", 1);
	build("command", "p", 1);
	const struct match_candidate *other = build("command", "q", 1);
	assert_int_equal(run().full, 1);
	assert_false(other->full);
}

TEST(no_limit_needs_no_place)
{
	worker("", 1);
	const struct match_candidate *one = build("command", "p", 0);
	(void)run();
	assert_int_equal(one->slot, 0);
}

/* Work conservation: whatever is left over fits nowhere that is left over. */
TEST(no_build_waits_beside_a_slot_that_could_run_it)
{
	static const char *const labels[] = {"", "a", "b", "a,b", "a,b,c", "c"};
	static const char *const classes[] = {"command", "command,a", "command,b", "command,a,b", "command,c", "*"};
	for (int round = 0; round < 2000; round++) {
		end(NULL);
		begin(NULL);
		for (int i = 0; i < 4; i++)
			worker(labels[dice(6)], dice(3));
		for (int i = 0; i < 8; i++)
			build(classes[dice(6)], dice(2) ? "p" : "q", dice(4));
		(void)run();
		for (size_t i = 0; i < candidates_len; i++) {
			if (candidates[i].worker != NULL || candidates[i].limit > 0)
				continue;
			for (size_t j = 0; j < workers_len; j++) {
				if (workers[j].free == 0)
					continue;
				CLEANUP(strv_free_p) char **parts = strv_split(candidates[i].class_name, ',');
				bool fits = strcmp(parts[0], "*") != 0;
				for (char **part = parts + 1; fits && *part != NULL; part++)
					fits = strv_contains(workers[j].labels, *part);
				assert_false(fits || strcmp(parts[0], "*") == 0);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(builds_get_slots_in_the_order_of_their_turn, begin, end),
		cmocka_unit_test_setup_teardown(the_slot_with_the_fewest_spare_labels_is_taken, begin, end),
		cmocka_unit_test_setup_teardown(a_worker_must_have_all_labels_and_the_agent, begin, end),
		cmocka_unit_test_setup_teardown(any_worker_settles, begin, end),
		cmocka_unit_test_setup_teardown(load_spreads_over_equal_workers, begin, end),
		cmocka_unit_test_setup_teardown(a_project_stays_within_its_limit_and_others_go_on, begin, end),
		cmocka_unit_test_setup_teardown(a_lowered_limit_counts_the_places_above_it, begin, end),
		cmocka_unit_test_setup_teardown(a_full_project_is_told_though_no_slot_is_free, begin, end),
		cmocka_unit_test_setup_teardown(no_limit_needs_no_place, begin, end),
		cmocka_unit_test_setup_teardown(no_build_waits_beside_a_slot_that_could_run_it, begin, end),
	};
	return cmocka_run_group_tests_name("matching", tests, NULL, NULL);
}
