#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "build-service/releases.h"
#include "common/base/clock.h"
#include "common/json/json.h"

#define PATIENCE_MS 60000
#define MANY 1100 /* more than may wait */

static const char one[] = "01890000-0000-7000-8000-00000000000a", other[] = "01890000-0000-7000-8000-00000000000b";

/* What was produced: the attempts' numbers, each with the last letter of its worker. */
static char produced[16384];

int __wrap_kafka_produce(struct kafka_producer *producer, const struct kafka_message *message, kafka_delivered *done,
						 void *ctx, struct error *err);
int __wrap_kafka_produce(struct kafka_producer *producer UNUSED, const struct kafka_message *message,
						 kafka_delivered *done UNUSED, void *ctx UNUSED, struct error *err)
{
	CLEANUP(cJSON_Delete_p) cJSON *data = NULL;
	assert_string_equal(message->event->type, "attempt.released");
	assert_int_equal(json_parse(message->data, message->data_len, &data, err), 0);
	size_t len = strlen(produced);
	(void)snprintf(produced + len, sizeof(produced) - len, "%d%c ", (int)json_get_int(data, "attempt", 0),
				   message->key[message->key_len - 1]);
	return 0;
}

static int begin(void **state)
{
	produced[0] = '\0';
	*state = releases_new(NULL);
	return 0;
}

static struct command released(const char *worker_id, int32_t attempt)
{
	struct command command = {.kind = COMMAND_RELEASED, .token = {.attempt = attempt}};
	memcpy(command.to.worker_id, worker_id, UUID_TEXT_SIZE);
	return command;
}

static void take(struct releases *releases, const char *worker_id, int32_t attempt)
{
	struct command_list list = {.items = NULL};
	const struct command command = released(worker_id, attempt);
	command_list_add(&list, &command);
	releases_take(releases, &list);
	assert_int_equal(list.len, 0);
	command_list_release(&list);
}

TEST(a_worker_s_releases_follow_its_next_assignment_in_their_order)
{
	struct releases *releases = *state;
	take(releases, one, 1);
	take(releases, other, 2);
	take(releases, one, 3);
	assert_string_equal(produced, "");
	releases_follow(releases, one);
	assert_string_equal(produced, "1a 3a ");
	releases_follow(releases, one);
	assert_string_equal(produced, "1a 3a ");
	releases_follow(releases, other);
	assert_string_equal(produced, "1a 3a 2b ");
	releases_free(releases);
	assert_string_equal(produced, "1a 3a 2b ");
}

TEST(what_no_assignment_takes_along_goes_when_the_first_has_waited_long_enough)
{
	struct releases *releases = *state;
	int64_t before_ms = clock_boot_ms();
	take(releases, one, 1);
	take(releases, other, 2);
	while (produced[0] == '\0' && clock_boot_ms() < before_ms + PATIENCE_MS)
		releases_tick(releases);
	assert_true(clock_boot_ms() - before_ms >= RELEASES_PATIENCE_MS);
	assert_string_equal(produced, "1a 2b ");
	/* And again: what comes later waits as long. */
	before_ms = clock_boot_ms();
	take(releases, one, 3);
	while (strlen(produced) == strlen("1a 2b ") && clock_boot_ms() < before_ms + PATIENCE_MS)
		releases_tick(releases);
	assert_true(clock_boot_ms() - before_ms >= RELEASES_PATIENCE_MS);
	assert_string_equal(produced, "1a 2b 3a ");
	releases_free(releases);
}

TEST(other_commands_stay_in_the_list)
{
	struct releases *releases = *state;
	struct command_list list = {.items = NULL};
	const struct command commands[] = {{.kind = COMMAND_CANCEL}, released(one, 1), {.kind = COMMAND_ABANDON}};
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_list_add(&list, &commands[i]);
	releases_take(releases, &list);
	assert_int_equal(list.len, 2);
	assert_int_equal(list.items[0].kind, COMMAND_CANCEL);
	assert_int_equal(list.items[1].kind, COMMAND_ABANDON);
	command_list_release(&list);
	releases_free(releases);
	assert_string_equal(produced, "1a ");
}

TEST(too_many_do_not_wait)
{
	struct releases *releases = *state;
	struct command_list list = {.items = NULL};
	for (int32_t i = 0; i < MANY; i++) {
		const struct command command = released(one, i);
		command_list_add(&list, &command);
	}
	releases_take(releases, &list);
	assert_true(strlen(produced) > MANY);
	command_list_release(&list);
	releases_free(releases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_worker_s_releases_follow_its_next_assignment_in_their_order, begin),
		cmocka_unit_test_setup(what_no_assignment_takes_along_goes_when_the_first_has_waited_long_enough, begin),
		cmocka_unit_test_setup(other_commands_stay_in_the_list, begin),
		cmocka_unit_test_setup(too_many_do_not_wait, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
