#include "tests/unit/unit.h"

#include "api-gateway/callers/scopes.h"

TEST(names_and_bits_go_together)
{
	assert_int_equal(scope_from_name("admin"), SCOPE_ADMIN);
	assert_int_equal(scope_from_name("builds:write"), SCOPE_BUILDS_WRITE);
	assert_int_equal(scope_from_name("domains:write"), SCOPE_DOMAINS_WRITE);
	assert_int_equal(scope_from_name("builds:delete"), 0);
	for (size_t i = 0; scope_name(i) != NULL; i++)
		assert_int_equal(scope_from_name(scope_name(i)), UINT64_C(1) << i);
}

TEST(all_needed_scopes_must_be_held)
{
	uint64_t both = SCOPE_PROJECTS_WRITE | SCOPE_BUILDS_WRITE;
	assert_true(scopes_cover(both, both));
	assert_true(scopes_cover(both, SCOPE_BUILDS_WRITE));
	assert_false(scopes_cover(SCOPE_BUILDS_WRITE, both));
	assert_true(scopes_cover(0, 0));
}

TEST(write_does_not_include_read)
{
	assert_false(scopes_cover(SCOPE_BUILDS_WRITE, SCOPE_BUILDS_READ));
}

TEST(admin_has_every_scope)
{
	for (size_t i = 0; scope_name(i) != NULL; i++)
		assert_true(scopes_cover(SCOPE_ADMIN, UINT64_C(1) << i));
	assert_false(scopes_cover(~(uint64_t)SCOPE_ADMIN, SCOPE_ADMIN));
}

TEST(scopes_are_written_in_order)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 100);
	scopes_append(&text, SCOPE_BUILDS_WRITE | SCOPE_PROJECTS_WRITE, '+');
	assert_string_equal(text.data, "projects:write+builds:write");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_bits_go_together),  cmocka_unit_test(all_needed_scopes_must_be_held),
		cmocka_unit_test(write_does_not_include_read), cmocka_unit_test(admin_has_every_scope),
		cmocka_unit_test(scopes_are_written_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
