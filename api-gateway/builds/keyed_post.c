#include "api-gateway/builds/keyed_post.h"

#include <time.h>

#include "api-gateway/callers/caches.h"
#include "api-gateway/builds/recent_builds.h"
#include "api-gateway/builds/tail.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define CONFIRM_MS 1000 /* as long as a GET waits for a proof */
#define LOOK_AGAIN_MS 20

static enum key_verdict judge(const struct keyed_post *keyed)
{
	return key_index_judge(keyed->request->gateway->keys, keyed->question.partition, keyed->build_id, keyed->hash,
						   &keyed->question.row);
}

static int too_many(struct request *request)
{
	return problem_answer(request, PROBLEM_OVERLOADED, "Too many requests are waiting.");
}

/* The thread of the look-ups. */
static void looked_up(struct key_question *question)
{
	struct keyed_post *keyed = CONTAINER_OF(question, struct keyed_post, question);
	request_post(keyed->request, keyed->request->on_loop);
}

/* `then` gets the request, with the reference that is taken here. */
static bool ask(struct keyed_post *keyed, int64_t until_ms, void (*then)(struct request *request))
{
	struct request *request = keyed->request;
	keyed->question.until_ms = until_ms;
	keyed->question.answered = looked_up;
	request->on_loop = then;
	request_ref(request);
	if (key_lookups_ask(request->gateway->key_lookups, &keyed->question))
		return true;
	request_unref(request);
	return false;
}

static void go_on(struct request *request)
{
	if (!request->answered)
		request_again(request);
	request_unref(request);
}

int keyed_post_begin(struct request *request, const char *build_id, const uint8_t hash[SHA256_SIZE], bool *ret_waits,
					 enum key_verdict *ret_verdict)
{
	struct keyed_post *keyed = request->keyed;
	*ret_waits = keyed == NULL;
	if (keyed != NULL) {
		*ret_verdict = judge(keyed);
		return 0;
	}
	keyed = request->keyed = xcalloc(1, sizeof(*keyed));
	keyed->request = request;
	memcpy(keyed->build_id, build_id, UUID_TEXT_SIZE);
	memcpy(keyed->question.build_id, build_id, UUID_TEXT_SIZE);
	memcpy(keyed->hash, hash, SHA256_SIZE);
	keyed->question.partition = tail_partition(build_id);
	list_init(&keyed->waiter.node);
	if (ask(keyed, 0, go_on))
		return 0;
	*ret_waits = false;
	return too_many(request);
}

void keyed_post_delivered(struct request *request, const struct kafka_delivery *delivery)
{
	request->keyed->waiter.partition = delivery->partition;
	request->keyed->waiter.offset = delivery->offset;
}

/* The caller's reference goes on to `confirmed`. */
static void confirm(struct keyed_post *keyed, enum key_verdict verdict)
{
	/* The record was read, so a key that nobody knows was forgotten again. */
	keyed->confirmed(keyed->request, verdict == KEY_FREE ? KEY_UNDECIDED : verdict);
}

static void on_row(struct request *request)
{
	confirm(request->keyed, judge(request->keyed));
}

static void on_passed(struct request *request)
{
	struct keyed_post *keyed = request->keyed;
	enum key_verdict verdict = judge(keyed);
	bool decided = (verdict == KEY_SAME || verdict == KEY_OTHER) && keyed->question.row.state != KEY_ROW_UNKNOWN;
	/* Postgres will have a row, for whoever was first has made it; or may answer by now. */
	if (!decided && !request->answered && ask(keyed, clock_boot_ms() + CONFIRM_MS, on_row))
		request_unref(request); /* on_row has another one */
	else
		confirm(keyed, verdict);
}

/* The tail's thread. */
static void passed(struct key_waiter *waiter)
{
	request_post(CONTAINER_OF(waiter, struct keyed_post, waiter)->request, on_passed);
}

void keyed_post_confirm(struct request *request, void (*confirmed)(struct request *request, enum key_verdict verdict))
{
	struct keyed_post *keyed = request->keyed;
	keyed->confirmed = confirmed;
	keyed->waiter.passed = passed;
	if (key_index_wait(request->gateway->keys, &keyed->waiter))
		on_passed(request);
}

void keyed_post_give_up(struct request *request)
{
	struct keyed_post *keyed = request->keyed;
	if (keyed != NULL && keyed->confirmed != NULL && key_index_cancel(request->gateway->keys, &keyed->waiter))
		request_unref(request);
}

int keyed_post_find(struct request *request, struct db *db, const char *build_id, const uint8_t hash[SHA256_SIZE],
					enum key_verdict *ret_verdict)
{
	struct key_row row;
	struct error err = ERROR_INIT;
	int32_t partition = tail_partition(build_id);
	if (key_lookups_query(db->conn, build_id, partition, &row, &err) < 0)
		return db_problem(request, &err);
	*ret_verdict = key_index_judge(request->gateway->keys, partition, build_id, hash, &row);
	return 0;
}

enum key_verdict keyed_post_confirm_waiting(struct request *request, struct db *db, const char *build_id,
											const uint8_t hash[SHA256_SIZE], const struct kafka_delivery *delivery)
{
	int64_t deadline_ms = clock_boot_ms() + CONFIRM_MS;
	if (!recent_builds_wait(request->gateway->recent, delivery->partition, delivery->offset + 1, deadline_ms))
		return KEY_UNDECIDED;
	for (;;) {
		struct key_row row = {0};
		struct error err = ERROR_INIT;
		if (key_lookups_query(db->conn, build_id, delivery->partition, &row, &err) < 0) {
			log_warn("database", "request_id", request->id, "error", err.message, NULL);
			row.state = caches_database_up(request->gateway->caches) ? KEY_ROW_FAILED : KEY_ROW_UNKNOWN;
		}
		enum key_verdict verdict = key_index_judge(request->gateway->keys, delivery->partition, build_id, hash, &row);
		if (verdict == KEY_SAME || verdict == KEY_OTHER)
			return verdict;
		if (clock_boot_ms() >= deadline_ms)
			return KEY_UNDECIDED;
		clock_pause_ms(LOOK_AGAIN_MS);
	}
}

int keyed_post_problem(struct request *request, enum key_verdict verdict)
{
	if (verdict == KEY_OTHER)
		return problem_answer(request, PROBLEM_KEY_REUSED, "The key was used for another body.");
	return problem_answer_unknown(
		request, "The record is in Kafka; whether it is the first one of its key was not found out in time.");
}
