#include "common/model/labels.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(what_builds_can_ask_for_are_labels)
{
	struct error err = ERROR_INIT;
	assert_int_equal(labels_check("gpu, linux,a,0.b_c-d", &err), 0);
	assert_int_equal(labels_check("", &err), 0);
	assert_int_equal(labels_check("123456789012345678901234567890123456789012345678901234567890123", &err), 0);
}

TEST(what_no_build_can_ask_for_is_refused_by_name)
{
	static const char *const bad[] = {
		"GPU", "a b",      ".a",  "_a", "-a",
		"a/b", "\xc3\xbc", "a:b", "*",  "1234567890123456789012345678901234567890123456789012345678901234"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[128];
		struct error err = ERROR_INIT;
		(void)snprintf(text, sizeof(text), "linux, %s", bad[i]);
		assert_int_equal(labels_check(text, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		(void)snprintf(text, sizeof(text), "\"%s\"", bad[i]);
		assert_non_null(strstr(err.message, text));
	}
}

TEST(a_worker_has_no_more_labels_than_the_build_service_takes)
{
	static char text[LABELS_MAX_BYTES];
	size_t most = LABELS_MAX_BYTES / 5; /* "a" and four more */
	struct error err = ERROR_INIT;
	for (size_t i = 0; i <= most; i++)
		memcpy(text + 2 * i, "a,", 2);
	text[2 * most] = '\0';
	assert_int_equal(labels_check(text, &err), 0);
	text[2 * most] = 'a';
	assert_int_equal(labels_check(text, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_builds_can_ask_for_are_labels),
		cmocka_unit_test(what_no_build_can_ask_for_is_refused_by_name),
		cmocka_unit_test(a_worker_has_no_more_labels_than_the_build_service_takes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
