#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/config.h"
#include "executor/daemon/state_writer.h"

#define LEASE "11111111-1111-4111-8111-111111111111"
#define SOON_MS INT64_C(30000)

/* The disk. */
static atomic_bool hangs, fails;
static atomic_int waiting; /* for it */

int __wrap_fsync(int fd);

int __wrap_fsync(int fd UNUSED)
{
	atomic_fetch_add(&waiting, 1);
	while (atomic_load(&hangs))
		(void)poll(NULL, 0, 1);
	atomic_fetch_sub(&waiting, 1);
	errno = EIO;
	return atomic_load(&fails) ? -1 : 0;
}

static struct executor_config config; /* its janitor has nothing to do */
static struct mailbox *mailbox;
static struct janitor *janitor;
static struct state_writer *writer;

static int begin(void **state)
{
	static const char *const folders[] = {"results", "work", "locks", "trash", "spares", "mirrors"};
	if (folder_make(state) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		folder_mkdir(folders[i]);
	atomic_store(&hangs, false);
	atomic_store(&fails, false);
	config.state_dir = folder;
	mailbox = mailbox_new();
	janitor = janitor_start(&config, NULL);
	writer = state_writer_start(folder, mailbox, janitor);
	return 0;
}

static int end(void **state)
{
	atomic_store(&hangs, false);
	assert_true(state_writer_stop(writer, clock_boot_ms() + SOON_MS));
	assert_true(janitor_stop(janitor, clock_boot_ms() + SOON_MS));
	mailbox_free(mailbox);
	return folder_remove(state);
}

static bool exists(const char *name)
{
	CLEANUP(free_p) char *path = xasprintf("%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

static void wait_hanging(void)
{
	int64_t deadline_ms = clock_boot_ms() + SOON_MS;
	while (atomic_load(&waiting) == 0) {
		assert_true(clock_boot_ms() < deadline_ms);
		(void)poll(NULL, 0, 1);
	}
}

static void assert_nothing_told(void)
{
	struct pollfd ready = {.fd = mailbox_fd(mailbox), .events = POLLIN};
	assert_int_equal(poll(&ready, 1, 0), 0);
}

/* Takes one MAIL_SAVED; returns its error's text, the caller's, or NULL. */
static char *wait_told(void)
{
	struct pollfd ready = {.fd = mailbox_fd(mailbox), .events = POLLIN};
	assert_int_equal(poll(&ready, 1, (int)SOON_MS), 1);
	struct list_node mails;
	list_init(&mails);
	mailbox_take(mailbox, &mails);
	struct list_node *node = list_pop(&mails);
	CHECK(node != NULL);
	struct mail *mail = LIST_ITEM(node, struct mail, node);
	assert_int_equal(mail->kind, MAIL_SAVED);
	assert_string_equal(mail->lease_id, LEASE);
	assert_int_equal(mail->outcome == ERR_NONE, mail->data == NULL);
	char *why = mail->data;
	mail->data = NULL;
	mail_free(mail);
	return why;
}

TEST(a_disk_that_hangs_keeps_nobody_waiting_and_its_result_is_told_when_it_is_there)
{
	atomic_store(&hangs, true);
	assert_true(state_writer_save_result(writer, LEASE, "{}", 2)); /* it returns */
	wait_hanging();
	assert_nothing_told();
	assert_false(exists("results/" LEASE ".json"));
	atomic_store(&hangs, false);
	assert_null(wait_told());
	assert_true(exists("results/" LEASE ".json"));
}

TEST(what_cannot_be_written_is_told)
{
	atomic_store(&fails, true);
	assert_true(state_writer_save_result(writer, LEASE, "{}", 2));
	CLEANUP(free_p) char *why = wait_told();
	assert_non_null(why);
	assert_false(exists("results/" LEASE ".json"));
}

TEST(a_missing_folder_is_told)
{
	CLEANUP(free_p) char *path = xasprintf("%s/results", folder);
	assert_int_equal(rmdir(path), 0);
	assert_true(state_writer_save_result(writer, LEASE, "{}", 2));
	CLEANUP(free_p) char *why = wait_told();
	assert_non_null(strstr(why, "results"));
}

TEST(what_is_removed_while_it_is_being_saved_is_gone_in_the_end)
{
	atomic_store(&hangs, true);
	assert_true(state_writer_save_result(writer, LEASE, "{}", 2));
	wait_hanging();
	state_writer_remove_result(writer, LEASE);
	atomic_store(&hangs, false);
	assert_true(state_writer_stop(writer, clock_boot_ms() + SOON_MS)); /* does what is left */
	assert_null(wait_told());
	assert_false(exists("results/" LEASE ".json"));
	writer = state_writer_start(folder, mailbox, janitor);
}

TEST(what_an_attempt_and_a_spare_child_leave_is_cleared)
{
	static const char *const left[] = {"work/" LEASE, "spares/7", "spares/7.new"};
	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		folder_mkdir(left[i]);
	folder_write("locks/" LEASE, "");
	state_writer_clear_lease(writer, LEASE);
	state_writer_clear_spare(writer, 7);
	assert_true(state_writer_stop(writer, clock_boot_ms() + SOON_MS));
	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		assert_false(exists(left[i]));
	assert_false(exists("locks/" LEASE));
	writer = state_writer_start(folder, mailbox, janitor);
}

TEST(its_end_is_not_waited_for_when_the_disk_hangs)
{
	atomic_store(&hangs, true);
	assert_true(state_writer_save_result(writer, LEASE, "{}", 2));
	wait_hanging();
	assert_false(state_writer_stop(writer, clock_boot_ms() + 10));
	assert_false(state_writer_save_result(writer, LEASE, "{}", 2)); /* it ends */
}

TEST(no_more_than_so_many_wait)
{
	atomic_store(&hangs, true);
	assert_true(state_writer_save_result(writer, LEASE, "{}", 2));
	wait_hanging();
	for (size_t i = 0; i < STATE_WRITER_MAX_JOBS; i++)
		state_writer_clear_spare(writer, 7);
	for (size_t i = 0; i < STATE_WRITER_RESULTS_ONLY; i++)
		assert_true(state_writer_save_result(writer, LEASE, "{}", 2));
	assert_false(state_writer_save_result(writer, LEASE, "{}", 2));
	/* Told to the log. */
	state_writer_remove_result(writer, LEASE);
	state_writer_clear_lease(writer, LEASE);
	state_writer_clear_spare(writer, 7);
}

TEST(no_more_than_so_many_bytes_wait)
{
	const size_t half = STATE_WRITER_MAX_BYTES / 2;
	CLEANUP(free_p) char *text = xcalloc(1, half + 1);
	atomic_store(&hangs, true);
	assert_true(state_writer_save_result(writer, LEASE, text, half));
	wait_hanging();
	assert_false(state_writer_save_result(writer, LEASE, text, half + 1));
	assert_true(state_writer_save_result(writer, LEASE, text, half));
	assert_false(state_writer_save_result(writer, LEASE, text, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_disk_that_hangs_keeps_nobody_waiting_and_its_result_is_told_when_it_is_there,
										begin, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_written_is_told, begin, end),
		cmocka_unit_test_setup_teardown(a_missing_folder_is_told, begin, end),
		cmocka_unit_test_setup_teardown(what_is_removed_while_it_is_being_saved_is_gone_in_the_end, begin, end),
		cmocka_unit_test_setup_teardown(what_an_attempt_and_a_spare_child_leave_is_cleared, begin, end),
		cmocka_unit_test_setup_teardown(its_end_is_not_waited_for_when_the_disk_hangs, begin, end),
		cmocka_unit_test_setup_teardown(no_more_than_so_many_wait, begin, end),
		cmocka_unit_test_setup_teardown(no_more_than_so_many_bytes_wait, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
