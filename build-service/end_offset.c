#include "build-service/end_offset.h"

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define PAUSE_MIN_MS 1000 /* a leader that is being chosen */
#define PAUSE_MAX_MS 30000
#define ASK_MS 1000      /* more than a fetch under way keeps the connection for */
#define UNANSWERED_MAX 2 /* then Kafka is away, or as good as */

bool end_offset_gave_up(const struct end_offset_look *look)
{
	return look->unanswered >= UNANSWERED_MAX;
}

bool end_offset_ask(struct end_offset *end, struct end_offset_look *look, struct inbox *inbox, const char *topic,
					int32_t partition)
{
	if (end_offset_gave_up(look) || clock_boot_ms() < end->not_before_ms)
		return false;
	struct error err = ERROR_INIT;
	if (inbox_end_offset(inbox, topic, partition, ASK_MS, &end->value, &err) == 0) {
		end->pause_ms = 0;
		return true;
	}
	log_warn("the end of a partition is not known", "topic", topic, "partition", LOG_INT(partition), "error",
			 err.message, NULL);
	struct backoff backoff = {.min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS, .now_ms = end->pause_ms};
	end->pause_ms = backoff_next(&backoff);
	end->not_before_ms = clock_boot_ms() + end->pause_ms;
	look->unanswered++;
	return false;
}
