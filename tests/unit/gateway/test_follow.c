/* The hand-over from stored to live: single claims, then thousands of random lives in which nothing may be missed,
 * nothing doubled, nothing out of order. */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "api-gateway/streams/follow.h"
#include "api-gateway/streams/log_lines.h"
#include "common/base/alloc.h"
#include "tests/unit/build_service/dice.h"

#define ROOM 100000

static struct follow follow;

static struct stream_item *item_of(int64_t offset, int64_t first, int64_t last)
{
	struct stream_item *item = xcalloc(1, sizeof(*item));
	atomic_init(&item->refs, 1);
	item->offset = offset;
	item->first = first;
	item->last = last;
	buffer_init(&item->feed_id, 8);
	buffer_init(&item->body, 8);
	return item;
}

static enum follow_verdict offer(int64_t offset, int64_t first, int64_t last)
{
	struct stream_item *item = item_of(offset, first, last);
	enum follow_verdict verdict = follow_offer(&follow, item);
	stream_item_unref(item);
	return verdict;
}

/* A read of the store, at once. */
static void read_up_to(int64_t last, bool more, int64_t covered)
{
	int64_t covers = follow_read_begins(&follow);
	follow_read_ends(&follow, last, NULL, more, covered < 0 ? covers : covered);
}

/* The sequence of the next kept one that goes out; 0 for none. */
static int64_t next(void)
{
	struct stream_item *item = follow_next(&follow);
	int64_t last = item != NULL ? item->last : 0;
	stream_item_unref(item);
	return last;
}

static void begin(enum stream_kind kind)
{
	follow_init(&follow, kind, ROOM);
}

static int teardown(void **state UNUSED)
{
	follow_release(&follow);
	return 0;
}

TEST(what_comes_while_the_store_is_read_comes_after_it)
{
	begin(STREAM_EVENTS);
	assert_int_equal(offer(10, 3, 3), FOLLOW_KEEP);
	assert_int_equal(offer(11, 4, 4), FOLLOW_KEEP);
	read_up_to(3, false, -1);
	assert_int_equal(offer(12, 5, 5), FOLLOW_KEEP);
	assert_true(follow_goes_live(&follow));
	/* 4 had been heard of before the read began, which did not find it: it is none of the build's. */
	assert_int_equal(next(), 0);
	assert_false(follow.live);
}

TEST(an_item_that_the_read_could_not_see_yet_goes_out_after_it)
{
	begin(STREAM_EVENTS);
	int64_t covers = follow_read_begins(&follow);
	assert_int_equal(offer(10, 3, 3), FOLLOW_KEEP);
	assert_int_equal(offer(11, 4, 4), FOLLOW_KEEP);
	follow_read_ends(&follow, 3, NULL, false, covers);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(next(), 4);
	assert_int_equal(next(), 0);
	assert_true(follow.live);
	assert_int_equal(offer(12, 5, 5), FOLLOW_SEND);
}

TEST(a_repeat_is_dropped)
{
	begin(STREAM_EVENTS);
	read_up_to(5, false, -1);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(offer(1, 5, 5), FOLLOW_DROP);
	assert_int_equal(offer(2, 6, 6), FOLLOW_SEND);
	assert_int_equal(offer(3, 6, 6), FOLLOW_DROP);
}

static enum follow_verdict offer_end(int64_t offset, int64_t sequence)
{
	struct stream_item *item = item_of(offset, sequence, sequence);
	item->terminal = true;
	enum follow_verdict verdict = follow_offer(&follow, item);
	stream_item_unref(item);
	return verdict;
}

TEST(a_builds_end_behind_the_clients_id_is_read_from_the_store)
{
	begin(STREAM_EVENTS);
	follow.sent = 50;
	read_up_to(0, false, -1);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(offer(1, 4, 4), FOLLOW_DROP);
	assert_int_equal(offer_end(2, 5), FOLLOW_READ);
	assert_false(follow.live);
}

TEST(a_builds_end_that_was_kept_behind_the_clients_id_is_read_from_the_store)
{
	begin(STREAM_EVENTS);
	follow.sent = 50;
	int64_t covers = follow_read_begins(&follow);
	assert_int_equal(offer_end(2, 5), FOLLOW_KEEP);
	follow_read_ends(&follow, 0, NULL, false, covers);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(next(), 0);
	assert_false(follow.live);
	/* A store that knows nothing of the end is not asked for ever. */
	read_up_to(0, false, -1);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(next(), 0);
	assert_true(follow.live);
}

TEST(a_hole_is_read_from_the_store)
{
	begin(STREAM_EVENTS);
	read_up_to(5, false, -1);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(offer(9, 7, 7), FOLLOW_READ);
	read_up_to(7, false, -1);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(next(), 0);
	assert_int_equal(offer(10, 8, 8), FOLLOW_SEND);
}

TEST(a_page_with_more_behind_it_is_not_the_end)
{
	begin(STREAM_EVENTS);
	read_up_to(5, true, -1);
	assert_false(follow_goes_live(&follow));
	read_up_to(9, false, -1);
	assert_true(follow_goes_live(&follow));
}

TEST(what_was_forgotten_is_read)
{
	begin(STREAM_EVENTS);
	follow.kept_max = 1;
	int64_t covers = follow_read_begins(&follow);
	assert_int_equal(offer(10, 1, 1), FOLLOW_KEEP);
	follow_read_ends(&follow, 0, NULL, false, covers);
	assert_false(follow_goes_live(&follow));
	read_up_to(1, false, -1);
	assert_true(follow_goes_live(&follow));
}

TEST(a_reader_who_falls_behind_gets_the_rest_from_the_store)
{
	begin(STREAM_EVENTS);
	read_up_to(5, false, -1);
	assert_true(follow_goes_live(&follow));
	follow_fall_behind(&follow);
	assert_int_equal(offer(9, 6, 6), FOLLOW_KEEP);
	read_up_to(6, false, -1);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(next(), 0);
	assert_int_equal(offer(10, 7, 7), FOLLOW_SEND);
}

TEST(a_read_that_began_before_a_restart_is_not_the_end)
{
	begin(STREAM_EVENTS);
	int64_t covers = follow_read_begins(&follow);
	follow_restart(&follow, 0, NULL);
	follow_read_ends(&follow, 5, NULL, false, covers);
	assert_false(follow_goes_live(&follow));
	read_up_to(6, false, -1);
	assert_true(follow_goes_live(&follow));
}

TEST(lines_that_the_store_may_not_have_yet_are_waited_for)
{
	begin(STREAM_LOGS);
	follow_restart(&follow, 20, NULL);
	read_up_to(log_sequence(1, 3), false, 19);
	assert_false(follow_goes_live(&follow));
	read_up_to(log_sequence(1, 5), false, 20);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(offer(20, log_sequence(1, 6), log_sequence(1, 9)), FOLLOW_SEND);
}

TEST(a_log_is_not_live_before_its_tail_is_known)
{
	begin(STREAM_LOGS);
	follow_restart(&follow, FOLLOW_UNKNOWN, NULL);
	read_up_to(log_sequence(1, 3), false, INT64_MAX - 1);
	assert_false(follow_goes_live(&follow));
}

TEST(the_next_attempts_log_begins_with_its_first_line)
{
	begin(STREAM_LOGS);
	follow_restart(&follow, 0, NULL);
	read_up_to(log_sequence(1, 3), false, 0);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(offer(5, log_sequence(2, 1), log_sequence(2, 2)), FOLLOW_SEND);
	assert_int_equal(offer(6, log_sequence(1, 4), log_sequence(1, 4)), FOLLOW_DROP);
	assert_int_equal(offer(7, log_sequence(3, 2), log_sequence(3, 2)), FOLLOW_READ);
}

TEST(a_record_of_which_a_part_was_sent_is_read_from_the_store)
{
	begin(STREAM_LOGS);
	follow_restart(&follow, 0, NULL);
	follow.sent = log_sequence(1, 5);
	read_up_to(0, false, 0);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(offer(3, log_sequence(1, 4), log_sequence(1, 8)), FOLLOW_READ);
}

/* A life: a writer, a store, a log and a stream, in random steps. Sequences are 1, 2, 3 …; the record of sequence s has
 * offset s + 99 (repeats come again with later offsets). Of events the store is first, of log lines the log. */
struct life {
	enum stream_kind kind;
	int64_t stored, published, offered; /* sequences */
	int64_t offset;                     /* the log's end */
	struct {
		int64_t sequence;
	} log[512];
	int64_t log_len, log_read, store_read; /* indexes: what the tail has offered, what the store has applied */
	bool reading, subscribed;
	int64_t read_last, read_covered, sent;
	bool read_more;
};

static void sent(struct life *life, int64_t last)
{
	assert_int_equal(last, life->sent + 1);
	life->sent = last;
}

static void publish(struct life *life)
{
	if (life->log_len == (int64_t)ARRAY_LEN(life->log))
		return;
	bool repeat = life->published > 0 && dice(5) == 0;
	if (!repeat && life->kind == STREAM_EVENTS && life->published == life->stored)
		return; /* the store comes first */
	if (!repeat)
		life->published++;
	life->log[life->log_len++].sequence = repeat ? 1 + dice((int)life->published) : life->published;
}

static void store(struct life *life)
{
	if (life->kind == STREAM_EVENTS) {
		life->stored++;
	} else if (life->store_read < life->log_len) {
		int64_t sequence = life->log[life->store_read++].sequence;
		life->stored = sequence > life->stored ? sequence : life->stored;
	}
}

static int64_t line(const struct life *life, int64_t sequence)
{
	return life->kind == STREAM_LOGS ? log_sequence(1, sequence) : sequence;
}

static int64_t unline(const struct life *life, int64_t sequence)
{
	return life->kind == STREAM_LOGS ? sequence & UINT32_MAX : sequence;
}

static void tail(struct life *life)
{
	if (life->log_read == life->log_len)
		return;
	int64_t index = life->log_read++, sequence = line(life, life->log[index].sequence);
	if (life->subscribed && offer(index, sequence, sequence) == FOLLOW_SEND)
		sent(life, unline(life, sequence));
}

/* As a stream does: subscribes, then looks where the tail is. */
static void subscribe(struct life *life)
{
	life->subscribed = true;
	follow_restart(&follow, life->kind == STREAM_LOGS ? life->log_read : 0, NULL);
}

static void go_live(struct life *life)
{
	if (!follow_goes_live(&follow))
		return;
	for (int64_t last = next(); last != 0; last = next())
		sent(life, unline(life, last));
}

static void read_step(struct life *life)
{
	if (!life->reading) {
		if (follow.live)
			return;
		life->reading = true;
		life->read_covered = follow_read_begins(&follow);
		if (life->kind == STREAM_LOGS)
			life->read_covered = life->store_read;
		int64_t page = 1 + dice(4);
		life->read_more = life->stored - life->sent > page;
		life->read_last = life->read_more ? life->sent + page : life->stored;
		return;
	}
	life->reading = false;
	if (life->read_last > life->sent)
		life->sent = life->read_last;
	follow_read_ends(&follow, line(life, life->read_last), NULL, life->read_more, life->read_covered);
	if (!life->read_more)
		go_live(life);
}

static void step(struct life *life)
{
	switch (dice(6)) {
	case 0:
		publish(life);
		return;
	case 1:
		store(life);
		return;
	case 2:
	case 3:
		tail(life);
		return;
	case 4:
		read_step(life);
		return;
	default:
		if (dice(20) == 0)
			subscribe(life); /* again: the tail began elsewhere, or a loop lost items */
		else if (follow.live && dice(5) == 0)
			follow_fall_behind(&follow);
	}
}

static void settle(struct life *life)
{
	if (life->kind == STREAM_EVENTS) {
		while (life->published < life->stored && life->log_len < (int64_t)ARRAY_LEN(life->log))
			life->log[life->log_len++].sequence = ++life->published;
		life->stored = life->published;
	}
	for (int i = 0; i < 4096 && (life->log_read < life->log_len || life->reading || !follow.live); i++) {
		store(life);
		if (life->kind == STREAM_EVENTS)
			life->stored = life->published;
		tail(life);
		read_step(life);
	}
}

static void live_one_life(enum stream_kind kind)
{
	struct life life = {.kind = kind};
	begin(kind);
	follow.kept_max = dice(2) == 0 ? ROOM : 2000; /* a few items */
	int before = dice(60);
	for (int i = 0; i < before; i++)
		step(&life);
	life.reading = false;
	life.sent = 0;
	follow_release(&follow);
	begin(kind);
	follow.kept_max = dice(2) == 0 ? ROOM : 2000;
	subscribe(&life);
	int steps = 20 + dice(300);
	for (int i = 0; i < steps; i++)
		step(&life);
	settle(&life);
	assert_true(follow.live);
	assert_int_equal(life.sent, life.published);
	follow_release(&follow);
}

TEST(in_no_life_of_events_is_one_missed_or_doubled)
{
	for (int i = 0; i < 20000; i++)
		live_one_life(STREAM_EVENTS);
	begin(STREAM_EVENTS);
}

TEST(in_no_life_of_lines_is_one_missed_or_doubled)
{
	for (int i = 0; i < 20000; i++)
		live_one_life(STREAM_LOGS);
	begin(STREAM_LOGS);
}

TEST(a_feed_drops_what_its_place_is_behind_and_sends_the_rest)
{
	begin(STREAM_ALL);
	struct feed_place place = {{10, 20}};
	follow.place = place;
	follow_restart(&follow, 0, &place);
	(void)follow_read_begins(&follow);
	follow_read_ends(&follow, 0, &place, false, 0);
	assert_true(follow_goes_live(&follow));
	struct stream_item *item = item_of(9, 1, 1);
	item->place = (struct feed_place){{10, 25}};
	assert_int_equal(follow_offer(&follow, item), FOLLOW_DROP);
	item->offset = 10;
	item->place = (struct feed_place){{11, 15}};
	assert_int_equal(follow_offer(&follow, item), FOLLOW_SEND);
	assert_int_equal(follow.place.next[0], 11);
	assert_int_equal(follow.place.next[1], 20); /* never back */
	stream_item_unref(item);
}

TEST(a_feed_goes_live_when_history_has_reached_where_the_tail_was)
{
	begin(STREAM_ALL);
	struct feed_place from = {{0, 0}}, goal = {{5, 5}}, half = {{5, 3}};
	follow.place = from;
	follow_restart(&follow, 0, &goal);
	struct stream_item *item = item_of(5, 1, 1);
	item->place = (struct feed_place){{6, 5}};
	assert_int_equal(follow_offer(&follow, item), FOLLOW_KEEP);
	(void)follow_read_begins(&follow);
	follow_read_ends(&follow, 0, &half, true, 0);
	assert_false(follow_goes_live(&follow));
	(void)follow_read_begins(&follow);
	follow_read_ends(&follow, 0, &goal, false, 0);
	assert_true(follow_goes_live(&follow));
	assert_int_equal(next(), 1);
	assert_int_equal(follow_offer(&follow, item), FOLLOW_DROP);
	stream_item_unref(item);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_comes_while_the_store_is_read_comes_after_it, teardown),
		cmocka_unit_test_teardown(an_item_that_the_read_could_not_see_yet_goes_out_after_it, teardown),
		cmocka_unit_test_teardown(a_repeat_is_dropped, teardown),
		cmocka_unit_test_teardown(a_builds_end_behind_the_clients_id_is_read_from_the_store, teardown),
		cmocka_unit_test_teardown(a_builds_end_that_was_kept_behind_the_clients_id_is_read_from_the_store, teardown),
		cmocka_unit_test_teardown(a_hole_is_read_from_the_store, teardown),
		cmocka_unit_test_teardown(a_page_with_more_behind_it_is_not_the_end, teardown),
		cmocka_unit_test_teardown(what_was_forgotten_is_read, teardown),
		cmocka_unit_test_teardown(a_reader_who_falls_behind_gets_the_rest_from_the_store, teardown),
		cmocka_unit_test_teardown(a_read_that_began_before_a_restart_is_not_the_end, teardown),
		cmocka_unit_test_teardown(lines_that_the_store_may_not_have_yet_are_waited_for, teardown),
		cmocka_unit_test_teardown(a_log_is_not_live_before_its_tail_is_known, teardown),
		cmocka_unit_test_teardown(the_next_attempts_log_begins_with_its_first_line, teardown),
		cmocka_unit_test_teardown(a_record_of_which_a_part_was_sent_is_read_from_the_store, teardown),
		cmocka_unit_test_teardown(in_no_life_of_events_is_one_missed_or_doubled, teardown),
		cmocka_unit_test_teardown(in_no_life_of_lines_is_one_missed_or_doubled, teardown),
		cmocka_unit_test_teardown(a_feed_drops_what_its_place_is_behind_and_sends_the_rest, teardown),
		cmocka_unit_test_teardown(a_feed_goes_live_when_history_has_reached_where_the_tail_was, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
