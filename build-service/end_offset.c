#include "build-service/end_offset.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#define ASK_MS 1000
#define ASK_AGAIN_MS 10000
#define UNANSWERED_MAX 2 /* then Kafka is away, or as good as */

bool end_offset_ask(struct end_offset_look *look, struct inbox *inbox, const char *topic, int32_t partition,
					int64_t *not_before_ms, int64_t *ret_end)
{
	if (look->unanswered >= UNANSWERED_MAX || clock_boot_ms() < *not_before_ms)
		return false;
	struct error err = ERROR_INIT;
	if (inbox_end_offset(inbox, topic, partition, ASK_MS, ret_end, &err) == 0)
		return true;
	log_warn("the end of a partition is not known", "topic", topic, "partition", LOG_INT(partition), "error",
			 err.message, NULL);
	*not_before_ms = clock_boot_ms() + ASK_AGAIN_MS;
	look->unanswered++;
	return false;
}
