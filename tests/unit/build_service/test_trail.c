/* Events whose metadata is large: a transaction has a limit that the builds of it can reach together. */
#include "tests/unit/build_service/lives.h"

#include <string.h>

#include "common/base/alloc.h"

#define LARGE_BYTES ((size_t)8 * 1024 * 1024)

TEST(a_trail_is_full_before_events_are_left_out_and_not_whole_after)
{
	char *metadata = xmalloc(LARGE_BYTES + 1);
	memset(metadata, ' ', LARGE_BYTES);
	memcpy(metadata, "{}", 2);
	metadata[LARGE_BYTES] = '\0';
	sample.build.metadata = metadata;
	while (!trail_is_full(&sample.trail))
		trail_emit(&sample.trail, &sample.build, "build.phase", NULL);
	assert_true(trail_is_whole(&sample.trail));
	for (size_t i = 0; i <= TRAIL_MAX_BYTES / LARGE_BYTES; i++)
		trail_emit(&sample.trail, &sample.build, "build.phase", NULL);
	assert_false(trail_is_whole(&sample.trail));
	trail_begin(&sample.trail);
	assert_true(trail_is_whole(&sample.trail) && !trail_is_full(&sample.trail));
	free(metadata);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trail_is_full_before_events_are_left_out_and_not_whole_after),
	};
	return cmocka_run_group_tests_name("trail", tests, lives_set_up, lives_tear_down);
}
