#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <unistd.h>

#include "executor/attempt/outcome.h"
#include "executor/git/credentials.h"

static int load(const char *name, const char *url_text, struct credential *ret, struct error *err)
{
	struct git_url url;
	assert_int_equal(git_url_parse(url_text, &url, err), 0);
	return credential_load(folder, name, &url, "demo", ret, err);
}

static void refused(const char *name, const char *url)
{
	struct credential credential = {NULL};
	struct error err = ERROR_INIT;
	assert_int_equal(load(name, url, &credential, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_null(strstr(err.message, "s3cret"));
	assert_null(credential.token);
}

TEST(a_token_for_the_url_is_given)
{
	folder_write("local.json", "{\"url_prefix\":\"https://h/org\",\"username\":\"bot\",\"token\":\"s3cret\"}");
	struct credential credential = {NULL};
	struct error err = ERROR_INIT;
	assert_int_equal(load("local", "https://h/org/a.git", &credential, &err), 0);
	assert_string_equal(credential.username, "bot");
	assert_string_equal(credential.token, "s3cret");
	credential_release(&credential);
}

TEST(it_is_given_for_no_other_url)
{
	folder_write("local.json", "{\"url_prefix\":\"https://h/org\",\"token\":\"s3cret\"}");
	refused("local", "https://h/organisation/a.git");
	refused("local", "https://evil/org/a.git");
	refused("local", "http://h/org/a.git");
	refused("local", "https://h:444/org/a.git");
}

TEST(projects_limit_it)
{
	folder_write("one.json", "{\"url_prefix\":\"https://h\",\"token\":\"s3cret\",\"projects\":[\"other\"]}");
	refused("one", "https://h/a.git");
	folder_write("two.json", "{\"url_prefix\":\"https://h\",\"token\":\"s3cret\",\"projects\":[\"other\",\"demo\"]}");
	struct credential credential = {NULL};
	struct error err = ERROR_INIT;
	assert_int_equal(load("two", "https://h/a.git", &credential, &err), 0);
	credential_release(&credential);
}

TEST(an_ssh_key_needs_known_hosts_and_an_ssh_url)
{
	folder_write(
		"key.json",
		"{\"url_prefix\":\"ssh://git@h\",\"ssh_private_key\":\"s3cret\",\"known_hosts\":\"h ssh-ed25519 AAAA\"}");
	struct credential credential = {NULL};
	struct error err = ERROR_INIT;
	assert_int_equal(load("key", "ssh://git@h/a.git", &credential, &err), 0);
	assert_string_equal(credential.ssh_private_key, "s3cret");
	credential_release(&credential);
	folder_write("key.json",
				 "{\"url_prefix\":\"ssh://h\",\"ssh_private_key\":\"s3cret\",\"known_hosts\":\"x\","
				 "\"username\":\"a'; touch b\"}");
	refused("key", "ssh://h/a.git");
	folder_write("key.json", "{\"url_prefix\":\"ssh://git@h\",\"ssh_private_key\":\"s3cret\"}");
	refused("key", "ssh://git@h/a.git");
	folder_write("key.json", "{\"url_prefix\":\"https://h\",\"ssh_private_key\":\"s3cret\",\"known_hosts\":\"x\"}");
	refused("key", "https://h/a.git");
}

TEST(malformed_files_and_odd_names_are_refused)
{
	refused("no-such", "https://h/a");
	refused("../etc/passwd", "https://h/a");
	refused("", "https://h/a");
	folder_write("bad.json", "[]");
	refused("bad", "https://h/a");
	folder_write("bad.json", "{\"token\":\"s3cret\"}");
	refused("bad", "https://h/a");
	folder_write("bad.json", "{\"url_prefix\":\"https://h\"}");
	refused("bad", "https://h/a");
	folder_write("bad.json", "{\"url_prefix\":\"https://h\",\"token\":\"s3cret\\nurl=https://evil\"}");
	refused("bad", "https://h/a");
	folder_write("bad.json", "{\"url_prefix\":\"https://h\",\"token\":\"s3cret\",\"username\":\"a\\rb\"}");
	refused("bad", "https://h/a");
}

/* While a publication goes on it looks again; at an attempt's end it is this machine's failure. */
static void this_workers(const char *dir, const char *name)
{
	struct credential credential = {NULL};
	struct error err = ERROR_INIT;
	struct outcome outcome;
	struct git_url url;
	outcome_init(&outcome);
	assert_int_equal(git_url_parse("https://h/a", &url, &err), 0);
	assert_int_equal(credential_load(dir, name, &url, "demo", &credential, &err), -1);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_null(strstr(err.message, "s3cret"));
	assert_int_equal(outcome_fail_git(&outcome, &err), -1);
	assert_string_equal(outcome.error_class, "internal");
	assert_true(outcome.retryable);
	outcome_release(&outcome);
}

TEST(what_this_worker_cannot_read_now_is_tried_again_and_not_the_remotes)
{
	char path[256], gone[256];
	(void)snprintf(path, sizeof(path), "%s/link.json", folder);
	(void)snprintf(gone, sizeof(gone), "%s/gone", folder);
	assert_int_equal(symlink(gone, path), 0);
	this_workers(folder, "link");
	this_workers(gone, "local");
	folder_mkdir("folder.json");
	this_workers(folder, "folder");
	folder_write("empty.json", "");
	this_workers(folder, "empty");
	folder_write("half.json", "{\"url_prefix\":\"https://h\",\"token\":\"s3cret\"");
	this_workers(folder, "half");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_for_the_url_is_given),
		cmocka_unit_test(it_is_given_for_no_other_url),
		cmocka_unit_test(projects_limit_it),
		cmocka_unit_test(an_ssh_key_needs_known_hosts_and_an_ssh_url),
		cmocka_unit_test(malformed_files_and_odd_names_are_refused),
		cmocka_unit_test(what_this_worker_cannot_read_now_is_tried_again_and_not_the_remotes),
	};
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
