#include "api-gateway/requests/send_limits.h"

#include "common/base/str.h"
#include "common/kafka/topics.h"

static const char *const sent_to[SEND_TOPICS] = {TOPIC_BUILD_REQUESTS, TOPIC_WORKER_EVENTS, TOPIC_BUILD_LOGS};

void send_limits_init(struct send_limits *limits, int places, int64_t patience_ms)
{
	CHECK(places > 0);
	limits->places = places;
	limits->patience_ms = patience_ms;
	for (size_t i = 0; i < SEND_TOPICS; i++) {
		CHECK(topic_find(sent_to[i])->partitions <= SEND_PARTITIONS_MAX);
		for (size_t j = 0; j < SEND_PARTITIONS_MAX; j++)
			wait_limit_init(&limits->partitions[i][j], places, patience_ms);
	}
	atomic_init(&limits->held, 0);
	atomic_init(&limits->trying, 0);
	atomic_init(&limits->came_ms, 0);
}

static struct wait_limit *partition_of(struct send_limits *limits, const char *topic, const void *key, size_t key_len)
{
	size_t i = 0;
	while (i < SEND_TOPICS && !str_equal(sent_to[i], topic))
		i++;
	CHECK(i < SEND_TOPICS);
	return &limits->partitions[i][topic_partition(topic_find(topic), key, key_len)];
}

static int count_away(const struct send_limits *limits, int64_t now_ms)
{
	int away = 0;
	for (size_t i = 0; i < SEND_TOPICS; i++) {
		for (size_t j = 0; j < SEND_PARTITIONS_MAX; j++)
			away += wait_limit_stays_away(&limits->partitions[i][j], now_ms);
	}
	return away;
}

static bool kafka_is_away(const struct send_limits *limits, int64_t now_ms)
{
	return now_ms - atomic_load(&limits->came_ms) >= limits->patience_ms && count_away(limits, now_ms) > 1;
}

static bool take_place(_Atomic int *taken, int places)
{
	if (taken == NULL || atomic_fetch_add(taken, 1) < places)
		return true;
	atomic_fetch_sub(taken, 1);
	return false;
}

static void give_place(_Atomic int *taken)
{
	if (taken != NULL)
		atomic_fetch_sub(taken, 1);
}

bool send_limits_enter(struct send_limits *limits, const char *topic, const void *key, size_t key_len, int64_t now_ms,
					   struct send_wait *ret_wait)
{
	struct send_wait wait = {.partition = partition_of(limits, topic, key, key_len)};
	if (wait_limit_stays_away(wait.partition, now_ms))
		wait.place = &limits->held;
	else if (kafka_is_away(limits, now_ms))
		wait.place = &limits->trying;
	if (!take_place(wait.place, limits->places))
		return false;
	if (!wait_limit_enter(wait.partition, now_ms)) {
		give_place(wait.place);
		return false;
	}
	*ret_wait = wait;
	return true;
}

void send_limits_leave(struct send_limits *limits, const struct send_wait *wait, enum wait_end end, int64_t now_ms)
{
	if (end == WAIT_CAME)
		atomic_store(&limits->came_ms, now_ms);
	wait_limit_leave(wait->partition, end, now_ms);
	give_place(wait->place);
}

bool send_limits_stay_away(const struct send_limits *limits, const struct wait_limit *partition, int64_t now_ms)
{
	return (partition != NULL && wait_limit_stays_away(partition, now_ms)) || kafka_is_away(limits, now_ms);
}
