#include "tests/unit/unit.h"

static int released;

static void count_release(const int *value)
{
	released += *value;
}

static void set(int *value, int to)
{
	*value = to;
}

struct thing {
	int member;
};

static void thing_free(struct thing *thing)
{
	released += thing->member;
}
DEFINE_CLEANUP(struct thing, thing_free)

TEST(cleanup_runs_when_the_variable_leaves_its_scope)
{
	released = 0;
	{
		CLEANUP(count_release) int value = 3;
		assert_int_equal(released, 0);
		set(&value, 4);
	}
	assert_int_equal(released, 4);
}

TEST(a_defined_cleanup_skips_null)
{
	released = 0;
	struct thing thing = {7};
	{
		CLEANUP(thing_free_p) struct thing *none = NULL;
		CLEANUP(thing_free_p) struct thing *some = &thing;
		assert_null(none);
		assert_non_null(some);
	}
	assert_int_equal(released, 7);
}

TEST(container_of_finds_the_embedding_object)
{
	struct thing thing = {1};
	assert_ptr_equal(CONTAINER_OF(&thing.member, struct thing, member), &thing);
}

static void break_invariant(void *arg)
{
	/* cppcheck-suppress incorrectStringBooleanError ; it is there to be printed */
	CHECK(arg == NULL && "said so");
}

TEST(a_true_check_does_nothing)
{
	break_invariant(NULL);
}

TEST(a_false_check_aborts_with_file_and_expression_on_stderr)
{
	struct buffer output;
	int status = unit_run_in_child(break_invariant, &released, &output);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(output.data, "test_compiler.c:"));
	assert_non_null(strstr(output.data, "arg == NULL"));
	buffer_release(&output);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cleanup_runs_when_the_variable_leaves_its_scope),
		cmocka_unit_test(a_defined_cleanup_skips_null),
		cmocka_unit_test(container_of_finds_the_embedding_object),
		cmocka_unit_test(a_true_check_does_nothing),
		cmocka_unit_test(a_false_check_aborts_with_file_and_expression_on_stderr),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
