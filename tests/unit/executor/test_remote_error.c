#include "tests/unit/unit.h"

#include "executor/git/remote.h"

TEST(credentials)
{
	assert_int_equal(remote_error_kind("fatal: Authentication failed for 'https://h/x/'\n"), ERR_DENIED);
	assert_int_equal(remote_error_kind("fatal: could not read Username for 'https://h': terminal prompts disabled\n"),
					 ERR_DENIED);
	assert_int_equal(remote_error_kind("fatal: unable to access 'https://h/': The requested URL returned error: 403\n"),
					 ERR_DENIED);
	assert_int_equal(
		remote_error_kind("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n"),
		ERR_DENIED);
	assert_int_equal(
		remote_error_kind("Host key verification failed.\nfatal: Could not read from remote repository.\n"),
		ERR_DENIED);
}

TEST(repositories_that_are_not_there)
{
	assert_int_equal(remote_error_kind("fatal: repository 'https://h/x.git/' not found\n"), ERR_NOT_FOUND);
	assert_int_equal(remote_error_kind("ERROR: Repository not found.\nfatal: Could not read from remote repository.\n"),
					 ERR_NOT_FOUND);
	assert_int_equal(remote_error_kind("fatal: '/x' does not appear to be a git repository\n"), ERR_NOT_FOUND);
}

TEST(the_network)
{
	assert_int_equal(remote_error_kind("fatal: unable to access 'https://h/': Could not resolve host: h\n"),
					 ERR_UNAVAILABLE);
	assert_int_equal(remote_error_kind("fatal: unable to access 'https://h/': Failed to connect to h port 443\n"),
					 ERR_UNAVAILABLE);
	assert_int_equal(remote_error_kind("fatal: the remote end hung up unexpectedly\n"), ERR_UNAVAILABLE);
	assert_int_equal(remote_error_kind("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502\n"),
					 ERR_UNAVAILABLE);
	assert_int_equal(remote_error_kind(""), ERR_UNAVAILABLE);
	assert_int_equal(remote_error_kind("fatal: repository 'x'\nwas ' not found\n"), ERR_UNAVAILABLE);
}

TEST(what_the_server_says_is_not_taken_for_gits_words)
{
	assert_int_equal(remote_error_kind("remote: Permission to x denied\nfatal: the remote end hung up unexpectedly\n"),
					 ERR_UNAVAILABLE);
	assert_int_equal(remote_error_kind("remote: fatal: repository 'x' not found\n"), ERR_UNAVAILABLE);
	assert_int_equal(remote_error_kind("remote: No space left on device\nremote: x is corrupt"), ERR_UNAVAILABLE);
	assert_int_equal(remote_error_kind("remote: Repository not found.\nfatal: Authentication failed for 'x'\n"),
					 ERR_DENIED);
}

TEST(a_ref_that_was_listed_and_is_gone_may_come_back)
{
	assert_int_equal(remote_error_kind("fatal: couldn't find remote ref refs/heads/x\n"), ERR_UNAVAILABLE);
}

TEST(our_own_side)
{
	assert_int_equal(remote_error_kind(
						 "fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output\n"),
					 ERR_LIMIT);
	assert_int_equal(remote_error_kind("error: refs/kiln/x does not point to a valid object!\n"), ERR_INTERNAL);
	assert_int_equal(remote_error_kind("fatal: loose object 1 (stored in x) is corrupt\n"), ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials),
		cmocka_unit_test(repositories_that_are_not_there),
		cmocka_unit_test(the_network),
		cmocka_unit_test(what_the_server_says_is_not_taken_for_gits_words),
		cmocka_unit_test(a_ref_that_was_listed_and_is_gone_may_come_back),
		cmocka_unit_test(our_own_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
