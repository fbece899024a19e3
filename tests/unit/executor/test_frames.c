#include "tests/unit/unit.h"

#include <string.h>

#include "executor/frames.h"

TEST(frames_come_out_as_they_went_in)
{
	struct buffer buf;
	buffer_init(&buf, 4096);
	assert_int_equal(frame_append(&buf, FRAME_LOG, 7, "hello", 5), 0);
	assert_int_equal(frame_append(&buf, FRAME_CANCEL, 8, NULL, 0), 0);
	struct frame frame;
	assert_int_equal(frame_peek(&buf, &frame), 1);
	assert_int_equal(frame.type, FRAME_LOG);
	assert_int_equal(frame.id, 7);
	assert_int_equal(frame.len, 5);
	assert_memory_equal(frame.data, "hello", 5);
	frame_consume(&buf, &frame);
	assert_int_equal(frame_peek(&buf, &frame), 1);
	assert_int_equal(frame.type, FRAME_CANCEL);
	frame_consume(&buf, &frame);
	assert_int_equal(frame_peek(&buf, &frame), 0);
	buffer_release(&buf);
}

TEST(every_prefix_needs_more_bytes)
{
	struct buffer whole;
	buffer_init(&whole, 4096);
	assert_int_equal(frame_append(&whole, FRAME_PHASE, 1, "0123456789", 10), 0);
	for (size_t len = 0; len < whole.len; len++) {
		struct buffer part;
		struct frame frame;
		buffer_init(&part, 4096);
		assert_int_equal(buffer_append(&part, whole.data, len), 0);
		assert_int_equal(frame_peek(&part, &frame), 0);
		buffer_release(&part);
	}
	buffer_release(&whole);
}

TEST(unknown_types_and_lengths_beyond_the_limit_are_no_frames)
{
	struct buffer buf;
	struct frame frame;
	buffer_init(&buf, 4096);
	uint32_t header[4] = {0, 99, 0, 0};
	assert_int_equal(buffer_append(&buf, header, sizeof(header)), 0);
	assert_int_equal(frame_peek(&buf, &frame), -1);
	buffer_clear(&buf);
	header[0] = FRAME_MAX_BYTES + 1;
	header[1] = FRAME_LOG;
	assert_int_equal(buffer_append(&buf, header, sizeof(header)), 0);
	assert_int_equal(frame_peek(&buf, &frame), -1);
	buffer_release(&buf);
}

TEST(a_frame_that_does_not_fit_leaves_the_buffer_as_it_was)
{
	struct buffer buf;
	buffer_init(&buf, 40);
	assert_int_equal(frame_append(&buf, FRAME_LOG, 1, "12345", 5), 0);
	size_t before = buf.len;
	assert_int_equal(frame_append(&buf, FRAME_LOG, 2, "0123456789", 10), -1);
	assert_int_equal(buf.len, before);
	buffer_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_as_they_went_in),
		cmocka_unit_test(every_prefix_needs_more_bytes),
		cmocka_unit_test(unknown_types_and_lengths_beyond_the_limit_are_no_frames),
		cmocka_unit_test(a_frame_that_does_not_fit_leaves_the_buffer_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
