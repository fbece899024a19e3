#include "tests/unit/unit.h"

#include <pthread.h>

#include "common/base/metrics.h"

/* The registry is the process's: every test has its own families in it and looks at those. */
static struct buffer text;

static int render(void **state)
{
	(void)state;
	buffer_init(&text, 1 << 20);
	return 0;
}

static int release(void **state)
{
	(void)state;
	buffer_release(&text);
	return 0;
}

static void assert_has(const char *part)
{
	buffer_clear(&text);
	assert_int_equal(metrics_render(&text), 0);
	if (strstr(text.data, part) == NULL)
		fail_msg("no \"%s\" in:\n%s", part, text.data);
}

TEST(a_counter_counts)
{
	static struct metric counter = {.kind = METRIC_COUNTER, .name = "kiln_a_total", .help = "Things\nwith \\."};
	metric_register(&counter);
	metric_add(&counter, 2);
	metric_add(&counter, 3);
	assert_has("# HELP kiln_a_total Things\\nwith \\\\.\n# TYPE kiln_a_total counter\nkiln_a_total 5\n");
}

TEST(a_gauge_is_set_and_goes_down)
{
	static struct metric gauge = {.kind = METRIC_GAUGE, .name = "kiln_b", .help = "B."};
	metric_register(&gauge);
	metric_set(&gauge, 10);
	metric_add(&gauge, -12);
	assert_has("# TYPE kiln_b gauge\nkiln_b -2\n");
}

TEST(series_of_a_family_are_grouped_under_one_head)
{
	static struct metric first = {.kind = METRIC_COUNTER, .name = "kiln_c_total", .help = "C.", .labels = "x=\"1\""};
	static struct metric other = {.kind = METRIC_GAUGE, .name = "kiln_d", .help = "D."};
	static struct metric second = {
		.kind = METRIC_COUNTER, .name = "kiln_c_total", .help = "not shown", .labels = "x=\"2\""};
	metric_register(&first);
	metric_register(&other);
	metric_register(&second);
	assert_has(
		"# HELP kiln_c_total C.\n# TYPE kiln_c_total counter\nkiln_c_total{x=\"1\"} 0\nkiln_c_total{x=\"2\"} 0\n");
	assert_null(strstr(text.data, "not shown"));
}

TEST(a_histogram_has_cumulative_buckets_in_seconds_sum_and_count)
{
	static struct metric h = {.kind = METRIC_HISTOGRAM, .name = "kiln_e_seconds", .help = "E.", .labels = "k=\"v\""};
	metric_register(&h);
	metric_observe_us(&h, -5);
	metric_observe_us(&h, 500);
	metric_observe_us(&h, 501);
	metric_observe_us(&h, 8192000);
	metric_observe_us(&h, 9000000);
	assert_has(
		"# TYPE kiln_e_seconds histogram\n"
		"kiln_e_seconds_bucket{k=\"v\",le=\"0.0005\"} 2\n"
		"kiln_e_seconds_bucket{k=\"v\",le=\"0.001\"} 3\n");
	assert_has(
		"kiln_e_seconds_bucket{k=\"v\",le=\"4.096\"} 3\n"
		"kiln_e_seconds_bucket{k=\"v\",le=\"8.192\"} 4\n"
		"kiln_e_seconds_bucket{k=\"v\",le=\"+Inf\"} 5\n"
		"kiln_e_seconds_sum{k=\"v\"} 17.193001\n"
		"kiln_e_seconds_count{k=\"v\"} 5\n");
}

TEST(a_histogram_without_labels_has_only_le)
{
	static struct metric h = {.kind = METRIC_HISTOGRAM, .name = "kiln_f_seconds", .help = "F."};
	metric_register(&h);
	assert_has("kiln_f_seconds_bucket{le=\"0.0005\"} 0\n");
	assert_has("kiln_f_seconds_sum 0\nkiln_f_seconds_count 0\n");
}

TEST(the_last_line_ends_with_a_newline)
{
	assert_has("\n");
	assert_int_equal(text.data[text.len - 1], '\n');
}

TEST(a_full_buffer_is_an_error)
{
	CLEANUP(buffer_release_p) struct buffer small;
	buffer_init(&small, 10);
	assert_int_equal(metrics_render(&small), -1);
}

static void register_again(void *metric)
{
	metric_register(metric);
}

TEST(registering_twice_aborts)
{
	static struct metric twice = {.kind = METRIC_GAUGE, .name = "kiln_g", .help = "G."};
	metric_register(&twice);
	unit_assert_aborts(register_again, &twice);
}

static void *add_thousand(void *metric)
{
	for (int i = 0; i < 1000; i++) {
		metric_add(metric, 1);
		metric_observe_us(metric, 1);
	}
	return NULL;
}

TEST(threads_may_update_at_once)
{
	static struct metric shared = {.kind = METRIC_COUNTER, .name = "kiln_h_total", .help = "H."};
	metric_register(&shared);
	pthread_t threads[4];
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_thousand, &shared), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_has("kiln_h_total 4000\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counter_counts),
		cmocka_unit_test(a_gauge_is_set_and_goes_down),
		cmocka_unit_test(series_of_a_family_are_grouped_under_one_head),
		cmocka_unit_test(a_histogram_has_cumulative_buckets_in_seconds_sum_and_count),
		cmocka_unit_test(a_histogram_without_labels_has_only_le),
		cmocka_unit_test(the_last_line_ends_with_a_newline),
		cmocka_unit_test(a_full_buffer_is_an_error),
		cmocka_unit_test(registering_twice_aborts),
		cmocka_unit_test(threads_may_update_at_once),
	};
	return cmocka_run_group_tests(tests, render, release);
}
