/* Several instances of an inbox, as processes of their own: this program calls itself as `member TOPIC CONSUMER
 * DATABASE-NAME DATABASE-URL`. */
#include "inbox_place.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/alloc.h"

#define PARTITIONS 4

static int set_up(void **state)
{
	(void)state;
	place_open();
	place_begin(PARTITIONS);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	place_end();
	place_close();
	return 0;
}

/* Runs until its standard input ends. */
static int run_member(char **argv)
{
	const struct test_database where = {.name = argv[4], .url = argv[5]};
	struct member member;
	char byte;
	member_start(&member, &where, argv[3], (const char *const[]){argv[2]}, 1, 0);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	member_stop(&member);
	return 0;
}

struct child {
	pid_t pid;
	int stdin_fd;
};

static struct child start_child(void)
{
	int pipe_fds[2];
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	char *const argv[] = {(char[]){"test"},    (char[]){"member"}, place.topic, place.consumer,
						  place.database.name, place.database.url, NULL};
	pid_t pid = fork();
	if (pid == 0) {
		if (dup2(pipe_fds[0], STDIN_FILENO) < 0)
			_exit(126);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	assert_true(pid > 0);
	(void)close(pipe_fds[0]); /* the child's */
	return (struct child){.pid = pid, .stdin_fd = pipe_fds[1]};
}

static void end_child(struct child *child)
{
	int status;
	(void)close(child->stdin_fd); /* is the message */
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	assert_int_equal(status, 0);
}

static bool is_stopped(pid_t pid)
{
	int status;
	return waitpid(pid, &status, WUNTRACED | WNOHANG) == pid && WIFSTOPPED(status);
}

static void an_instance_frozen_in_its_transaction_is_overtaken_and_changes_nothing(void **state)
{
	(void)state;
	/* The first one freezes while its transaction holds the offsets' locks. */
	struct child frozen = start_child();
	for (int i = 0; i < 40; i++)
		place_send("x");
	assert_becomes(place_stored_offsets() == 40, 60000);
	place_send(SAY_FREEZE);
	assert_becomes(is_stopped(frozen.pid), 60000);
	for (int i = 0; i < 40; i++)
		place_send("y");
	/* The second one inherits the partitions when the group has given the first one up, waits for its lock, and ends
	 * its session. The record that freezes processes must not freeze this one: the test's data is changed by nobody, so
	 * it is this process that is told to go on. */
	struct child heir = start_child();
	assert_becomes(is_stopped(heir.pid), 60000);
	assert_int_equal(kill(heir.pid, SIGCONT), 0);
	assert_becomes(place_stored_offsets() == place.sent, 60000);
	assert_int_equal(applied_rows(&place.database), place.sent);
	/* The zombie wakes up with a batch in hand. */
	assert_int_equal(kill(frozen.pid, SIGCONT), 0);
	for (int i = 0; i < 40; i++)
		place_send("z");
	assert_becomes(place_stored_offsets() == place.sent, 60000);
	assert_int_equal(applied_rows(&place.database), place.sent);
	assert_int_equal(applied_distinct(&place.database), place.sent);
	end_child(&frozen);
	end_child(&heir);
}

static int64_t rows_of(const char *ce_id)
{
	char *sql = xasprintf("SELECT count(*) FROM applied WHERE ce_id = '%s'", ce_id);
	int64_t rows = test_sql_int(&place.database, sql);
	free(sql);
	return rows;
}

static void a_zombie_with_records_on_the_way_applies_none_of_them_again(void **state)
{
	(void)state;
	struct child zombie = start_child();
	for (int i = 0; i < PARTITIONS; i++)
		place_send("x");
	assert_becomes(place_stored_offsets() == PARTITIONS, 60000);
	/* The broker answers the fetch that was under way when it was frozen: the answer waits in its socket. */
	assert_int_equal(kill(zombie.pid, SIGSTOP), 0);
	for (int i = 0; i < 10 * PARTITIONS; i++)
		place_send("y");
	struct child heir = start_child();
	assert_becomes(place_stored_offsets() == place.sent, 60000);
	assert_int_equal(kill(zombie.pid, SIGCONT), 0);
	for (int i = 0; i < 10 * PARTITIONS; i++)
		place_send("z");
	assert_becomes(place_stored_offsets() == place.sent, 60000);
	/* Both are members again when the one that is gone has left. */
	end_child(&heir);
	place_send("last");
	char last[16];
	(void)snprintf(last, sizeof(last), "r%d", place.sent - 1);
	assert_becomes(rows_of(last) == 1, 60000);
	assert_int_equal(applied_rows(&place.database), place.sent);
	assert_int_equal(applied_distinct(&place.database), place.sent);
	end_child(&zombie);
}

static void instances_that_come_and_go_apply_each_record_once(void **state)
{
	(void)state;
	struct child children[3];
	for (int i = 0; i < 3; i++)
		children[i] = start_child();
	int killed = 0;
	int64_t until_ms = test_now_ms() + 12000;
	for (int i = 0; test_now_ms() < until_ms; i++) {
		place_send("x");
		if (i % 400 == 399) {
			/* By turns: gone without a word, and gone with leave. */
			struct child *child = &children[killed % 3];
			if (killed % 2 == 0) {
				int status;
				assert_int_equal(kill(child->pid, SIGKILL), 0);
				assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
				(void)close(child->stdin_fd); /* nobody reads it */
			} else {
				end_child(child);
			}
			*child = start_child();
			killed++;
		}
	}
	assert_becomes(place_stored_offsets() == place.sent, 60000);
	assert_int_equal(applied_rows(&place.database), place.sent);
	assert_int_equal(applied_distinct(&place.database), place.sent);
	printf("# %d records, %d instances replaced\n", place.sent, killed);
	for (int i = 0; i < 3; i++)
		end_child(&children[i]);
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "member") == 0)
		return run_member(argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_instance_frozen_in_its_transaction_is_overtaken_and_changes_nothing, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(a_zombie_with_records_on_the_way_applies_none_of_them_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(instances_that_come_and_go_apply_each_record_once, set_up, tear_down),
	};
	cmocka_set_test_filter(getenv("KILN_TEST_FILTER")); /* a pattern, or all */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
