#include "build-service/end_offset.h"

#define ASK_MS 1000      /* more than a fetch under way keeps the connection for */
#define UNANSWERED_MAX 2 /* then Kafka is away, or as good as */

bool end_offset_gave_up(const struct end_offset_look *look)
{
	return look->unanswered >= UNANSWERED_MAX;
}

bool end_offset_ask(struct end_offset *end, struct end_offset_look *look, struct inbox *inbox, const char *topic,
					int32_t partition)
{
	if (end_offset_gave_up(look) || !partition_pause_is_over(&end->pause))
		return false;
	struct error err = ERROR_INIT;
	if (inbox_end_offset(inbox, topic, partition, ASK_MS, &end->value, &err) == 0) {
		partition_pause_clear(&end->pause);
		return true;
	}
	partition_pause_begin(&end->pause, topic, partition, err.message);
	look->unanswered++;
	return false;
}
