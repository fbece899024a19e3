#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>

#include "common/base/alloc.h"
#include "executor/daemon/mailbox.h"

static void post(struct mailbox *mailbox, enum mail_kind kind, int64_t value)
{
	struct mail *mail = xcalloc(1, sizeof(*mail));
	mail->kind = kind;
	mail->value = value;
	mailbox_post(mailbox, mail);
}

static size_t take(struct mailbox *mailbox, int64_t *values, size_t max)
{
	struct list_node mails;
	size_t count = 0;
	list_init(&mails);
	mailbox_take(mailbox, &mails);
	for (struct list_node *node = list_pop(&mails); node != NULL; node = list_pop(&mails)) {
		struct mail *mail = CONTAINER_OF(node, struct mail, node);
		if (count < max)
			values[count] = mail->value;
		count++;
		mail_free(mail);
	}
	return count;
}

static bool readable(struct mailbox *mailbox)
{
	struct pollfd ready = {.fd = mailbox_fd(mailbox), .events = POLLIN};
	return poll(&ready, 1, 0) == 1;
}

TEST(all_kinds_of_mail_keep_one_order)
{
	struct mailbox *mailbox = mailbox_new();
	assert_false(readable(mailbox));
	post(mailbox, MAIL_COMMAND, 1);
	post(mailbox, MAIL_DELIVERED, 2);
	post(mailbox, MAIL_COMMAND, 3);
	post(mailbox, MAIL_HEARTBEAT, 4);
	assert_true(readable(mailbox));
	int64_t values[4];
	assert_int_equal(take(mailbox, values, 4), 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(values[i], i + 1);
	assert_false(readable(mailbox));
	mailbox_free(mailbox);
}

TEST(commands_are_bounded_deliveries_are_not)
{
	struct mailbox *mailbox = mailbox_new();
	int64_t commands = 0;
	while (mailbox_command_room(mailbox)) {
		post(mailbox, MAIL_COMMAND, commands++);
		assert_true(commands < 100000);
	}
	post(mailbox, MAIL_DELIVERED, 0);
	int64_t values[1];
	assert_int_equal(take(mailbox, values, 1), commands + 1);
	assert_true(mailbox_command_room(mailbox));
	mailbox_free(mailbox);
}

#define POSTS 20000

static void *post_many(void *arg)
{
	for (int i = 0; i < POSTS; i++)
		post(arg, MAIL_DELIVERED, 1);
	return NULL;
}

TEST(no_mail_of_two_threads_is_lost)
{
	struct mailbox *mailbox = mailbox_new();
	pthread_t threads[2];
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, mailbox), 0);
	size_t total = 0;
	while (total < 2 * (size_t)POSTS) {
		struct pollfd ready = {.fd = mailbox_fd(mailbox), .events = POLLIN};
		assert_int_equal(poll(&ready, 1, 60000), 1);
		int64_t values[1];
		total += take(mailbox, values, 1);
	}
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(total, 2 * (size_t)POSTS);
	mailbox_free(mailbox);
}

TEST(what_is_left_is_freed)
{
	struct mailbox *mailbox = mailbox_new();
	post(mailbox, MAIL_COMMAND, 1);
	mailbox_free(mailbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds_of_mail_keep_one_order),
		cmocka_unit_test(commands_are_bounded_deliveries_are_not),
		cmocka_unit_test(no_mail_of_two_threads_is_lost),
		cmocka_unit_test(what_is_left_is_freed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
