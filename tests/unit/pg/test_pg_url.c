#include "common/pg/pg.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(connection_strings_of_libpq_are_taken)
{
	static const char *const good[] = {
		"postgresql://kiln:pw%20n@127.0.0.1:5432/kiln",
		"postgres://kiln@[::1]/kiln?sslmode=require",
		"postgresql:///kiln?host=/run/postgresql",
		"postgresql://a:1,b:2,c/kiln",
		"postgresql://a,b,c:5433/kiln",
		"host=a,b port=5433 user=kiln password='p w'",
		"hostaddr=10.0.0.1,10.0.0.2 port=1,2",
		"dbname=kiln",
		"",
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct error err = ERROR_INIT;
		if (pg_url_check(good[i], &err) < 0)
			fail_msg("%s: %s", good[i], err.message);
	}
}

TEST(what_libpq_would_never_connect_by_is_refused_without_a_word_of_it)
{
	static const char *const bad[] = {
		"secret",
		"mysql://secret@a/kiln",
		"postgresql://kiln:secret@a:secret/kiln",
		"postgresql://secret@a:0/kiln",
		"postgresql://secret@a:65536/kiln",
		"postgresql://secret@[::1/kiln",
		"postgresql://secret@a/kiln?secret=1",
		"host=a,b,c port=1,2 password=secret",
		"host=a,b hostaddr=10.0.0.1 password=secret",
		"host=a port=1, password=secret",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = ERROR_INIT;
		if (pg_url_check(bad[i], &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_null(strstr(err.message, "secret"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connection_strings_of_libpq_are_taken),
		cmocka_unit_test(what_libpq_would_never_connect_by_is_refused_without_a_word_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
