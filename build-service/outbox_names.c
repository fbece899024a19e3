#include "build-service/outbox_names.h"

#include <string.h>

#include "common/kafka/topics.h"

void outbox_names_init(struct outbox_names *names)
{
	memset(names->parts, 0, sizeof(names->parts));
	rows_init(&names->rows, OUTBOX_NAME_COLUMNS);
}

void outbox_names_release(struct outbox_names *names)
{
	rows_release(&names->rows);
}

void outbox_names_clear(struct outbox_names *names)
{
	rows_clear(&names->rows);
	memset(names->parts, 0, sizeof(names->parts));
}

void outbox_names_add(struct outbox_names *names, const struct build *build)
{
	if (build->new_events == 0)
		return;
	const struct topic *topic = topic_find(TOPIC_BUILD_EVENTS);
	int32_t shard = topic_partition(topic, build->id, strlen(build->id));
	struct outbox_part *part = &names->parts[shard];
	if (part->builds >= OUTBOX_PART_BUILDS || part->bytes >= OUTBOX_PART_BYTES)
		*part = (struct outbox_part){.number = part->number + 1};
	part->builds++;
	part->bytes += build->new_bytes;
	rows_int(&names->rows, shard);
	rows_int(&names->rows, part->number);
	rows_text(&names->rows, build->id);
	rows_int(&names->rows, build->last_sequence - build->new_events + 1);
	rows_int(&names->rows, build->last_sequence);
	rows_int(&names->rows, (int64_t)build->new_bytes);
}
