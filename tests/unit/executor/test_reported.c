#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include "executor/daemon/reported.h"

#define LEASE "11111111-1111-4111-8111-111111111111"
#define TEXT                                                                                                           \
	"{\"build_id\":\"019363b1-aaaa-7000-8000-000000000001\",\"attempt\":1,\"lease_id\":\"" LEASE                       \
	"\",\"id\":\"33333333-3333-4333-8333-333333333333\",\"finished\":\"{\\\"x\\\":1}\",\"fence\":null,\"assignment\":" \
	"{}}"

static const struct fencing_token token = {
	.build_id = "019363b1-aaaa-7000-8000-000000000001", .lease_id = LEASE, .attempt = 1};

static int begin(void **state)
{
	if (folder_make(state) < 0)
		return -1;
	folder_mkdir("results");
	return 0;
}

#define NOBODY_SAVES_MS INT64_C(20000)

/* What state_writer.h does. */
static void save(void)
{
	folder_write("results/" LEASE ".json", TEXT);
}

static struct reported_item *added(struct reported *reported, int64_t now_ms)
{
	reported_add(reported, &token, TEXT, strlen(TEXT), now_ms + NOBODY_SAVES_MS);
	return reported_find(reported, &token);
}

/* And sent. */
static struct reported_item *saved(struct reported *reported, int64_t now_ms)
{
	(void)added(reported, now_ms);
	save();
	assert_non_null(reported_saved(reported, LEASE, true, now_ms));
	return reported_due(reported, now_ms);
}

static struct reported opened(void)
{
	struct reported reported;
	struct error err = ERROR_INIT;
	assert_int_equal(reported_open(&reported, folder, 1000, &err), 0);
	return reported;
}

TEST(a_result_outlives_the_daemon_and_is_due_at_once)
{
	struct reported reported = opened();
	struct error err = ERROR_INIT;
	assert_non_null(saved(&reported, 5000));
	assert_null(reported_due(&reported, 5999)); /* it was just sent */
	reported_release(&reported);

	reported = opened();
	assert_int_equal(reported.len, 1);
	struct reported_item *item = reported_due(&reported, 1);
	assert_non_null(item);
	assert_true(fencing_token_equal(&item->token, &token));
	struct reported_text text;
	assert_int_equal(reported_read(&reported, item, &text, &err), 0);
	assert_string_equal(text.finished, "{\"x\":1}");
	assert_string_equal(text.id, "33333333-3333-4333-8333-333333333333");
	cJSON_Delete(text.tree);
	reported_release(&reported);
}

TEST(a_removed_result_is_forgotten)
{
	struct reported reported = opened();
	reported_remove(&reported, saved(&reported, 0));
	assert_null(reported_find(&reported, &token));
	assert_null(reported_saved(&reported, LEASE, true, 1));
	reported_release(&reported);
}

TEST(a_result_is_not_due_before_it_is_saved)
{
	struct reported reported = opened();
	struct reported_item *item = added(&reported, 5000);
	assert_true(reported_saving(&reported));
	assert_null(reported_due(&reported, 5000 + NOBODY_SAVES_MS - 1));
	assert_ptr_equal(reported_saved(&reported, LEASE, true, 6000), item);
	assert_false(reported_saving(&reported));
	assert_int_equal(reported_due_ms(&reported), 6000);
	assert_ptr_equal(reported_due(&reported, 6000), item);
	reported_release(&reported);
}

static void assert_readable(struct reported *reported)
{
	struct reported_text text;
	struct error err = ERROR_INIT;
	assert_int_equal(reported_read(reported, reported_find(reported, &token), &text, &err), 0);
	assert_string_equal(text.finished, "{\"x\":1}");
	cJSON_Delete(text.tree);
}

TEST(a_result_that_a_disk_holds_up_for_too_long_is_due_without_it)
{
	struct reported reported = opened();
	struct reported_item *item = added(&reported, 5000);
	assert_int_equal(reported_due_ms(&reported), 5000 + NOBODY_SAVES_MS);
	assert_ptr_equal(reported_due(&reported, 5000 + NOBODY_SAVES_MS), item);
	assert_false(reported_saving(&reported));
	assert_readable(&reported); /* there is no file */
	int64_t next_ms = reported_due_ms(&reported);
	save();
	assert_ptr_equal(reported_saved(&reported, LEASE, true, 5001 + NOBODY_SAVES_MS), item);
	assert_int_equal(reported_due_ms(&reported), next_ms); /* it has been sent */
	assert_readable(&reported);
	reported_release(&reported);
}

TEST(it_is_due_again_and_again_with_doubled_intervals)
{
	struct reported reported = opened();
	assert_non_null(saved(&reported, 0));
	int64_t now_ms = 0, wait_ms = 1000;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(reported_due_ms(&reported), now_ms + wait_ms);
		now_ms += wait_ms;
		assert_null(reported_due(&reported, now_ms - 1));
		assert_non_null(reported_due(&reported, now_ms));
		wait_ms = wait_ms * 2 > 60000 ? 60000 : wait_ms * 2;
	}
	reported_release(&reported);
}

TEST(what_an_earlier_daemon_left_is_not_acknowledged_before_it_was_sent_again)
{
	struct reported reported = opened();
	assert_non_null(saved(&reported, 0));
	reported_release(&reported);
	reported = opened();
	struct reported_item *item = reported_find(&reported, &token);
	assert_false(item->acknowledged);
	reported_sent(item, "33333333-3333-4333-8333-333333333333");
	assert_false(item->acknowledged);
	reported_acknowledged(&reported, "33333333-3333-4333-8333-333333333333");
	assert_true(item->acknowledged);
	reported_sent(item, "33333333-3333-4333-8333-333333333333");
	assert_false(item->acknowledged);
	reported_release(&reported);
}

TEST(what_is_under_way_is_so_until_its_own_message_is_acknowledged)
{
	struct reported reported = opened();
	struct reported_item *item = saved(&reported, 0);
	assert_string_equal(item->under_way, "");
	reported_sent(item, "33333333-3333-4333-8333-333333333333");
	reported_acknowledged(&reported, "44444444-4444-4444-8444-444444444444");
	assert_string_equal(item->under_way, "33333333-3333-4333-8333-333333333333");
	reported_acknowledged(&reported, "33333333-3333-4333-8333-333333333333");
	assert_string_equal(item->under_way, "");
	reported_release(&reported);
}

TEST(broken_and_unfinished_files_are_dropped)
{
	folder_write("results/" LEASE ".json", TEXT);
	folder_write("results/x.json", "{");
	folder_write("results/y.json", "{}");
	folder_write("results/z.json.new", TEXT);
	struct reported reported = opened();
	assert_int_equal(reported.len, 1);
	reported_release(&reported);
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/results/z.json.new", folder);
	assert_int_equal(access(path, F_OK), -1);
}

TEST(a_result_that_cannot_be_written_is_kept_in_memory)
{
	struct reported reported = opened();
	struct reported_item *item = added(&reported, 0);
	assert_ptr_equal(reported_saved(&reported, LEASE, false, 10), item);
	assert_ptr_equal(reported_due(&reported, 10), item);
	assert_readable(&reported);
	reported_remove(&reported, item);
	reported_release(&reported);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_result_outlives_the_daemon_and_is_due_at_once, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_removed_result_is_forgotten, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_result_is_not_due_before_it_is_saved, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_result_that_a_disk_holds_up_for_too_long_is_due_without_it, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(it_is_due_again_and_again_with_doubled_intervals, begin, folder_remove),
		cmocka_unit_test_setup_teardown(what_an_earlier_daemon_left_is_not_acknowledged_before_it_was_sent_again, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(what_is_under_way_is_so_until_its_own_message_is_acknowledged, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(broken_and_unfinished_files_are_dropped, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_result_that_cannot_be_written_is_kept_in_memory, begin, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
