#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include "common/base/str.h"
#include "executor/daemon/worker_identity.h"

#define GIVEN "22222222-2222-4222-8222-222222222222"

TEST(the_worker_id_stays_and_the_counter_grows)
{
	struct worker_identity first, second;
	struct error err = ERROR_INIT;
	assert_int_equal(worker_identity_take(folder, NULL, &first, &err), 0);
	assert_int_equal(first.counter, 1);
	worker_identity_release(&first);
	assert_int_equal(worker_identity_take(folder, NULL, &second, &err), 0);
	assert_string_equal(first.worker_id, second.worker_id);
	assert_int_equal(second.counter, 2);
	assert_string_not_equal(first.nonce, second.nonce);
	worker_identity_release(&second);
}

TEST(a_given_id_overrides)
{
	struct worker_identity identity;
	struct error err = ERROR_INIT;
	assert_int_equal(worker_identity_take(folder, GIVEN, &identity, &err), 0);
	assert_string_equal(identity.worker_id, GIVEN);
	worker_identity_release(&identity);
}

TEST(the_state_directory_has_one_daemon)
{
	struct worker_identity first, second;
	struct error err = ERROR_INIT;
	assert_int_equal(worker_identity_take(folder, NULL, &first, &err), 0);
	assert_int_equal(worker_identity_take(folder, NULL, &second, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	worker_identity_release(&first);
	assert_int_equal(worker_identity_take(folder, NULL, &second, &err), 0);
	assert_int_equal(second.counter, first.counter + 1);
	worker_identity_release(&second);
}

TEST(broken_files_are_refused_rather_than_replaced)
{
	struct worker_identity identity;
	struct error err = ERROR_INIT;
	folder_write("incarnation", "seven\n");
	assert_int_equal(worker_identity_take(folder, NULL, &identity, &err), -1);
	folder_write("incarnation", "7\n");
	folder_write("worker-id", "me\n");
	assert_int_equal(worker_identity_take(folder, NULL, &identity, &err), -1);
	folder_write("worker-id", GIVEN "\n");
	assert_int_equal(worker_identity_take(folder, NULL, &identity, &err), 0);
	assert_int_equal(identity.counter, 8);
	worker_identity_release(&identity);
}

static bool addressed(const struct worker_identity *identity, const char *worker_id, int64_t counter, const char *nonce)
{
	char text[512];
	(void)snprintf(text, sizeof(text), "{\"worker_id\":\"%s\",\"incarnation\":{\"counter\":%lld,\"nonce\":\"%s\"}}",
				   worker_id, (long long)counter, nonce);
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(json_parse(text, strlen(text), &tree, &err), 0);
	return worker_identity_is_addressed(identity, tree);
}

TEST(commands_are_for_exactly_this_incarnation)
{
	struct worker_identity identity;
	struct error err = ERROR_INIT;
	assert_int_equal(worker_identity_take(folder, NULL, &identity, &err), 0);
	assert_true(addressed(&identity, identity.worker_id, identity.counter, identity.nonce));
	assert_false(addressed(&identity, GIVEN "x", identity.counter, identity.nonce));
	assert_false(addressed(&identity, identity.worker_id, identity.counter + 1, identity.nonce));
	assert_false(addressed(&identity, identity.worker_id, identity.counter - 1, identity.nonce));
	assert_false(addressed(&identity, identity.worker_id, identity.counter, GIVEN));
	worker_identity_release(&identity);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_worker_id_stays_and_the_counter_grows, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(a_given_id_overrides, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(the_state_directory_has_one_daemon, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(broken_files_are_refused_rather_than_replaced, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(commands_are_for_exactly_this_incarnation, folder_make, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
