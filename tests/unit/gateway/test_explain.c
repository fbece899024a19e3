#include "tests/unit/unit.h"

#include <string.h>

#include "api-gateway/builds/explain.h"
#include "common/base/str.h"

/* One fleet and one queue, as a snapshot shows them; the build that is explained is "me" of the project "mine". */
#define MAX 8
#define NOW_US INT64_C(1700000000000000)
#define MEAN_MS 10000

static struct match_worker ready[MAX], all[MAX];
static struct explain_worker workers[MAX];
static struct match_candidate candidates[MAX];
static struct match_slot slots[MAX];
static struct explain_held held[MAX];
static struct explain_line line[MAX];
static struct explain_input input;

static int begin(void **state UNUSED)
{
	memset(ready, 0, sizeof(ready));
	memset(all, 0, sizeof(all));
	memset(workers, 0, sizeof(workers));
	memset(candidates, 0, sizeof(candidates));
	input = (struct explain_input){
		.build_id = "00000000-0000-7000-8000-00000000000b",
		.project_id = "00000000-0000-7000-8000-00000000000a",
		.class_name = "command,gpu",
		.now_us = NOW_US,
		.not_before_us = -1,
		.ready = ready,
		.candidates = candidates,
		.slots = slots,
		.all = all,
		.workers = workers,
		.held = held,
		.line = line,
		.mean_ms = MEAN_MS,
	};
	return 0;
}

static void forget(struct match_worker *list, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		strv_free(list[i].labels);
		strv_free(list[i].agents);
	}
}

static int end(void **state UNUSED)
{
	forget(ready, input.ready_len);
	forget(all, input.workers_len);
	return 0;
}

static void set(struct match_worker *worker, const char *id, const char *labels, int32_t free)
{
	(void)snprintf(worker->address.worker_id, sizeof(worker->address.worker_id), "%s", id);
	worker->labels = strv_split(labels, ',');
	worker->agents = strv_split("command", ',');
	worker->free = free;
}

/* As match_workers.sql and explain-workers.sql show it. */
static void add_worker(const char *id, const char *labels, int32_t slots_of, int32_t free,
					   enum explain_standing standing)
{
	size_t at = input.workers_len++;
	set(&all[at], id, labels, free);
	(void)snprintf(workers[at].id, sizeof(workers[at].id), "%s", id);
	workers[at].slots = slots_of;
	workers[at].free = free;
	workers[at].standing = standing;
	if (standing == EXPLAIN_FREE && free > 0)
		set(&ready[input.ready_len++], id, labels, free);
}

static void add_candidate(const char *id, const char *class_name)
{
	struct match_candidate *candidate = &candidates[input.candidates_len++];
	memcpy(candidate->build_id, id, strlen(id) + 1);
	memcpy(candidate->project_id, "00000000-0000-7000-8000-00000000000c", UUID_TEXT_SIZE);
	candidate->class_name = class_name;
}

static void add_me(void)
{
	add_candidate(input.build_id, input.class_name);
	memcpy(candidates[input.candidates_len - 1].project_id, input.project_id, UUID_TEXT_SIZE);
	candidates[input.candidates_len - 1].limit = input.limit;
}

static void add_held(const char *worker, const char *project, int64_t elapsed_ms)
{
	held[input.held_len++] = (struct explain_held){worker, project, elapsed_ms};
}

static void add_line(const char *class_name, int64_t ahead)
{
	line[input.line_len++] = (struct explain_line){class_name, ahead};
}

static void fill_project(int32_t limit, int32_t taken)
{
	input.limit = limit;
	for (int32_t n = 1; n <= taken; n++) {
		memcpy(slots[input.slots_len].project_id, input.project_id, UUID_TEXT_SIZE);
		slots[input.slots_len++].n = n;
	}
}

static int64_t starts_in_ms(const struct explanation *found)
{
	return (found->starts_us - NOW_US) / 1000;
}

TEST(nothing_is_in_the_way_of_what_the_match_would_assign)
{
	add_worker("w1", "gpu", 1, 1, EXPLAIN_FREE);
	add_me();
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, 0);
	assert_int_equal(found.position, 1);
	assert_int_equal(starts_in_ms(&found), 0);
}

TEST(without_a_worker_that_has_the_labels_nothing_can_be_said_of_the_start)
{
	add_worker("w1", "linux", 4, 4, EXPLAIN_FREE);
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_NO_WORKER);
	assert_int_equal(found.fitting, 0);
	assert_true(found.starts_us < 0);
}

static void assert_no_worker(const char *class_name, const char *expected)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	input.class_name = class_name;
	explain_no_worker(&input, &text);
	assert_string_equal(text.data, expected);
}

TEST(what_no_worker_has_is_named)
{
	assert_no_worker("command", "There is no worker.");
	assert_no_worker("*", "There is no worker.");
	add_worker("w1", "linux", 4, 4, EXPLAIN_FREE);
	add_worker("w2", "gpu,x64", 4, 4, EXPLAIN_FREE);
	assert_no_worker("opencode,linux", "No worker has the agent \"opencode\".");
	assert_no_worker("command,gpu,arm", "No worker with the agent \"command\" has the label \"arm\".");
	assert_no_worker("command,arm,gpu,mac",
					 "No worker with the agent \"command\" has one of the labels \"arm\", \"mac\".");
	assert_no_worker("command,gpu,linux",
					 "No worker with the agent \"command\" has all of the labels \"gpu\", \"linux\".");
}

TEST(many_long_labels_are_named_in_full)
{
	CLEANUP(buffer_release_p) struct buffer class_name;
	buffer_init(&class_name, 4096);
	assert_int_equal(buffer_append_str(&class_name, "command"), 0);
	for (int i = 0; i < 32; i++)
		assert_int_equal(buffer_appendf(&class_name, ",%063d", i), 0);
	add_worker("w1", "linux", 4, 4, EXPLAIN_FREE);
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 4096);
	input.class_name = class_name.data;
	explain_no_worker(&input, &text);
	assert_true(buffer_ok(&text));
	assert_true(str_ends(text.data, "31\"."));
}

TEST(workers_that_are_given_nothing_are_told_from_busy_ones)
{
	add_worker("w0", "linux", 1, 1, EXPLAIN_FREE);
	add_worker("w1", "gpu", 1, 1, EXPLAIN_DRAINING);
	add_worker("w2", "gpu,more", 1, 1, EXPLAIN_SILENT);
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_WORKERS_AWAY);
	assert_int_equal(found.fitting, 2);
	assert_string_equal(input.workers[0].id, "w1");
	assert_int_equal(input.workers[1].standing, EXPLAIN_SILENT);
	assert_true(found.starts_us < 0);
}

TEST(the_slots_of_fitting_workers_get_free_one_after_the_other)
{
	add_worker("w1", "gpu", 2, 0, EXPLAIN_FREE);
	add_worker("w2", "linux", 1, 0, EXPLAIN_FREE);
	add_held("w1", "p", 4000);
	add_held("w1", "p", 9000);
	add_held("w2", "p", 9999);
	add_line("command", 2);
	add_line("command,linux", 50);
	add_line("command,gpu", 1);
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_SLOTS_BUSY);
	assert_int_equal(input.workers[0].standing, EXPLAIN_BUSY);
	/* Those without labels compete for the same slots, those of linux do not. */
	assert_int_equal(found.position, 4);
	/* 1 s and 6 s from now, then 11 s and 16 s. */
	assert_int_equal(starts_in_ms(&found), 16000);
}

TEST(what_runs_longer_than_builds_do_may_end_at_any_moment)
{
	add_worker("w1", "gpu", 1, 0, EXPLAIN_FREE);
	add_held("w1", "p", INT64_C(5) * MEAN_MS);
	struct explanation found = explain(&input);
	assert_int_equal(starts_in_ms(&found), 0);
}

TEST(a_free_slot_may_go_to_somebody_before)
{
	add_worker("w1", "gpu", 1, 1, EXPLAIN_FREE);
	add_candidate("00000000-0000-7000-8000-000000000001", "command");
	add_me();
	add_line("command", 1);
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_BEHIND_OTHERS);
	assert_int_equal(found.position, 2);
	assert_int_equal(starts_in_ms(&found), MEAN_MS);
}

TEST(a_full_project_is_in_the_way_whatever_is_free)
{
	add_worker("w1", "gpu", 4, 4, EXPLAIN_FREE);
	fill_project(2, 2);
	add_held("w2", input.project_id, 2000);
	add_held("w3", input.project_id, 7000);
	input.project_ahead = 1;
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_PROJECT_FULL);
	assert_true(found.in_project_line);
	assert_int_equal(found.position, 2);
	assert_int_equal(starts_in_ms(&found), 8000);
}

TEST(a_lowered_limit_makes_the_first_ends_make_no_room)
{
	add_worker("w1", "gpu", 4, 4, EXPLAIN_FREE);
	fill_project(1, 2);
	add_held("w2", input.project_id, 2000);
	add_held("w3", input.project_id, 7000);
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_PROJECT_FULL);
	assert_int_equal(starts_in_ms(&found), 8000);
}

TEST(several_things_may_be_in_the_way)
{
	add_worker("w1", "gpu", 1, 0, EXPLAIN_FREE);
	add_held("w1", input.project_id, 9000);
	fill_project(1, 1);
	input.delayed = true;
	input.not_before_us = NOW_US + 60 * INT64_C(1000000);
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_NOT_BEFORE | EXPLAIN_PROJECT_FULL | EXPLAIN_SLOTS_BUSY);
	assert_int_equal(starts_in_ms(&found), 60000);
}

TEST(nothing_but_time_is_waited_for_without_knowing_how_long_builds_run)
{
	add_worker("w1", "gpu", 1, 1, EXPLAIN_FREE);
	input.mean_ms = -1;
	input.delayed = true;
	input.not_before_us = NOW_US + 5 * INT64_C(1000000);
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_NOT_BEFORE);
	assert_int_equal(starts_in_ms(&found), 5000);
}

TEST(an_unknown_duration_makes_no_estimate)
{
	add_worker("w1", "gpu", 1, 0, EXPLAIN_FREE);
	add_held("w1", "p", 0);
	input.mean_ms = -1;
	assert_true(explain(&input).starts_us < 0);
}

TEST(a_project_that_is_gone_is_in_the_way_whatever_is_free)
{
	add_worker("w1", "gpu", 4, 4, EXPLAIN_FREE);
	input.project_gone = true;
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_PROJECT_GONE);
	assert_true(found.starts_us < 0);
}

TEST(a_settling_build_takes_any_worker)
{
	input.class_name = "*";
	add_worker("w1", "", 1, 0, EXPLAIN_FREE);
	add_held("w1", "p", 0);
	struct explanation found = explain(&input);
	assert_int_equal(found.blockers, EXPLAIN_SLOTS_BUSY);
	assert_int_equal(found.fitting, 1);
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, begin, end)

TEST(a_parked_build_whose_project_has_room_starts_with_the_next_match)
{
	add_worker("a", "gpu", 2, 1, EXPLAIN_FREE);
	fill_project(2, 1);
	input.parked = true;
	assert_int_equal(explain(&input).blockers, 0);
}

TEST(a_parked_build_is_behind_those_of_its_project_that_get_the_places_before)
{
	add_worker("a", "gpu", 2, 1, EXPLAIN_FREE);
	fill_project(2, 1);
	input.parked = true;
	input.project_ahead = 1;
	assert_int_equal(explain(&input).blockers, EXPLAIN_BEHIND_OTHERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(nothing_is_in_the_way_of_what_the_match_would_assign),
		ONE(without_a_worker_that_has_the_labels_nothing_can_be_said_of_the_start),
		ONE(what_no_worker_has_is_named),
		ONE(many_long_labels_are_named_in_full),
		ONE(workers_that_are_given_nothing_are_told_from_busy_ones),
		ONE(the_slots_of_fitting_workers_get_free_one_after_the_other),
		ONE(what_runs_longer_than_builds_do_may_end_at_any_moment),
		ONE(a_free_slot_may_go_to_somebody_before),
		ONE(a_full_project_is_in_the_way_whatever_is_free),
		ONE(a_lowered_limit_makes_the_first_ends_make_no_room),
		ONE(several_things_may_be_in_the_way),
		ONE(nothing_but_time_is_waited_for_without_knowing_how_long_builds_run),
		ONE(an_unknown_duration_makes_no_estimate),
		ONE(a_project_that_is_gone_is_in_the_way_whatever_is_free),
		ONE(a_settling_build_takes_any_worker),
		ONE(a_parked_build_whose_project_has_room_starts_with_the_next_match),
		ONE(a_parked_build_is_behind_those_of_its_project_that_get_the_places_before),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
