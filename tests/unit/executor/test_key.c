#include "tests/unit/unit.h"

#include <string.h>

#include "executor/proxy/key.h"
#include "tests/unit/executor/folder.h"

#define KEY "sk-sk-key"

static int read_key(const char *text, char **ret_key, struct error *err)
{
	char path[300];
	if (text != NULL)
		folder_write("key", text);
	(void)snprintf(path, sizeof(path), "%s/%s", folder, text != NULL ? "key" : "none");
	return model_key_read(path, ret_key, err);
}

TEST(a_key_is_one_line)
{
	static const char *const good[] = {KEY, KEY "\n", KEY "\r\n", KEY "\n\n"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		CLEANUP(model_key_free_p) char *key = NULL;
		struct error err = ERROR_INIT;
		assert_int_equal(read_key(good[i], &key, &err), 0);
		assert_string_equal(key, KEY);
	}
}

TEST(a_file_that_holds_no_key_is_an_error_that_does_not_quote_it)
{
	static const char *const wrong[] = {"",  "\n", "short", "two words of it", "two\nlines-of-it", "with-a-\x01-byte",
										NULL};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char *key = NULL;
		struct error err = ERROR_INIT;
		assert_int_equal(read_key(wrong[i], &key, &err), -1);
		assert_int_equal(err.kind, ERR_DENIED);
		assert_true(wrong[i] == NULL || strlen(wrong[i]) < 5 || strstr(err.message, wrong[i]) == NULL);
	}
}

/* As a stream that is cut into pieces passes it. */
static void hidden_is(const char *text, const char *wanted)
{
	size_t len = strlen(text);
	for (size_t piece = 1; piece <= len + 1; piece++) {
		char work[128], passed[128];
		size_t held = 0, passed_len = 0;
		for (size_t at = 0; at < len; at += piece) {
			size_t more = len - at < piece ? len - at : piece;
			memcpy(work + held, text + at, more);
			size_t all = held + more;
			held = model_key_hide(KEY, work, all);
			memcpy(passed + passed_len, work, all - held);
			passed_len += all - held;
			memmove(work, work + all - held, held);
		}
		memcpy(passed + passed_len, work, held);
		assert_int_equal(passed_len + held, strlen(wanted));
		assert_memory_equal(passed, wanted, passed_len + held);
	}
}

TEST(the_key_is_hidden_however_the_stream_is_cut)
{
	hidden_is("no key here, only sk-", "no key here, only sk-");
	hidden_is("key=" KEY ".", "key=*********.");
	hidden_is(KEY KEY, "******************");
	hidden_is("sk-sk-sk-key", "sk-*********");
	hidden_is("sk-sk-kesk-sk-key", "sk-sk-ke*********");
	hidden_is("sk-sk-ke", "sk-sk-ke");
	hidden_is("", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_one_line),
		cmocka_unit_test(a_file_that_holds_no_key_is_an_error_that_does_not_quote_it),
		cmocka_unit_test(the_key_is_hidden_however_the_stream_is_cut),
	};
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
