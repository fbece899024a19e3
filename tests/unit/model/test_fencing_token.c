#include "tests/unit/unit.h"

#include <string.h>

#include "common/model/fencing_token.h"

#define BUILD "019363b1-aaaa-7000-8000-000000000001"
#define LEASE "11111111-1111-4111-8111-111111111111"

static int read_token(const char *json, struct fencing_token *ret, struct error *err)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	assert_int_equal(json_parse(json, strlen(json), &tree, err), 0);
	return fencing_token_read(tree, ret, err);
}

TEST(all_three_parts_are_read_and_compared)
{
	struct fencing_token a, b;
	struct error err = ERROR_INIT;
	assert_int_equal(
		read_token("{\"build_id\":\"" BUILD "\",\"attempt\":2,\"lease_id\":\"" LEASE "\",\"x\":1}", &a, &err), 0);
	b = a;
	assert_true(fencing_token_equal(&a, &b));
	b.attempt = 3;
	assert_false(fencing_token_equal(&a, &b));
	b = a;
	b.lease_id[0] = '2';
	assert_false(fencing_token_equal(&a, &b));
	b = a;
	b.build_id[0] = '2';
	assert_false(fencing_token_equal(&a, &b));
}

TEST(what_is_written_is_read_again)
{
	struct fencing_token a, b;
	struct error err = ERROR_INIT;
	assert_int_equal(read_token("{\"build_id\":\"" BUILD "\",\"attempt\":1,\"lease_id\":\"" LEASE "\"}", &a, &err), 0);
	struct buffer text;
	struct json_writer w;
	buffer_init(&text, 1024);
	json_writer_init(&w, &text);
	json_object_begin(&w, NULL);
	fencing_token_write(&w, &a);
	json_object_end(&w);
	assert_int_equal(read_token(text.data, &b, &err), 0);
	assert_true(fencing_token_equal(&a, &b));
	buffer_release(&text);
}

TEST(missing_and_malformed_parts_are_refused)
{
	static const char *const bad[] = {
		"{}",
		"{\"build_id\":\"" BUILD "\",\"attempt\":1}",
		"{\"build_id\":\"" BUILD "\",\"attempt\":0,\"lease_id\":\"" LEASE "\"}",
		"{\"build_id\":\"" BUILD "\",\"attempt\":1.5,\"lease_id\":\"" LEASE "\"}",
		"{\"build_id\":\"" BUILD "\",\"attempt\":\"1\",\"lease_id\":\"" LEASE "\"}",
		"{\"build_id\":\"../../../../../../../../../etc/passwd\",\"attempt\":1,\"lease_id\":\"" LEASE "\"}",
		"{\"build_id\":\"" BUILD "\",\"attempt\":1,\"lease_id\":\"../x\"}",
		"{\"build_id\":7,\"attempt\":1,\"lease_id\":\"" LEASE "\"}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fencing_token token;
		struct error err = ERROR_INIT;
		assert_int_equal(read_token(bad[i], &token, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_three_parts_are_read_and_compared),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(missing_and_malformed_parts_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
