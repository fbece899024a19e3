#include "api-gateway/streams/follow.h"

#include <string.h>

#include "common/base/log.h"

void follow_init(struct follow *follow, enum stream_kind kind, size_t kept_max)
{
	*follow = (struct follow){.kind = kind, .kept_max = kept_max};
	memset(&follow->place, 0xFF, sizeof(follow->place)); /* -1: nowhere yet */
}

void follow_release(struct follow *follow)
{
	item_queue_clear(&follow->kept);
}

static void raise_goal(struct follow *follow, const struct stream_item *item)
{
	if (stream_is_feed(follow->kind)) {
		if (follow->feed_goal.next[item->slot] <= item->offset)
			follow->feed_goal.next[item->slot] = item->offset + 1;
	} else if (follow->goal <= item->offset) {
		follow->goal = item->offset + 1;
	}
}

static void keep(struct follow *follow, struct stream_item *item)
{
	if (follow->kept.bytes + stream_item_bytes(item) <= follow->kept_max) {
		item_queue_push(&follow->kept, item);
		return;
	}
	for (size_t i = 0; i < follow->kept.len; i++)
		raise_goal(follow, follow->kept.items[i]);
	raise_goal(follow, item);
	item_queue_clear(&follow->kept);
}

/* What a live stream does with it. */
static enum follow_verdict judge(const struct follow *follow, const struct stream_item *item)
{
	if (stream_is_feed(follow->kind))
		return item->offset < follow->place.next[item->slot] ? FOLLOW_DROP : FOLLOW_SEND;
	/* Whoever gave an id that is ahead of the build gets nothing more; that it has ended, the store says. */
	if (item->last <= follow->sent)
		return follow->kind == STREAM_EVENTS && item->terminal ? FOLLOW_READ : FOLLOW_DROP;
	/* A later attempt's log begins with its first line. */
	bool next_attempt =
		follow->kind == STREAM_LOGS && item->first >> 32 > follow->sent >> 32 && (uint32_t)item->first == 1;
	return item->first == follow->sent + 1 || next_attempt ? FOLLOW_SEND : FOLLOW_READ;
}

static void hand_out(struct follow *follow, const struct stream_item *item)
{
	if (stream_is_feed(follow->kind))
		feed_place_merge(&follow->place, &item->place);
	else
		follow->sent = item->last;
}

enum follow_verdict follow_offer(struct follow *follow, struct stream_item *item)
{
	if (item->offset >= follow->heard)
		follow->heard = item->offset + 1;
	if (!follow->live) {
		keep(follow, item);
		return FOLLOW_KEEP;
	}
	enum follow_verdict verdict = judge(follow, item);
	if (verdict == FOLLOW_SEND)
		hand_out(follow, item);
	if (verdict == FOLLOW_READ) {
		follow->live = false;
		follow->drained = false;
		raise_goal(follow, item);
		keep(follow, item);
	}
	return verdict;
}

void follow_fall_behind(struct follow *follow)
{
	follow->live = false;
	follow->drained = false;
}

void follow_restart(struct follow *follow, int64_t goal, const struct feed_place *feed_goal)
{
	follow->live = false;
	follow->drained = false;
	follow->stale = true;
	/* Of this log or of one that was cut: what was heard of before says nothing any more, and is before the goal. */
	item_queue_clear(&follow->kept);
	follow->heard = follow->covered = 0;
	follow->goal = goal;
	if (feed_goal != NULL)
		follow->feed_goal = *feed_goal;
}

int64_t follow_read_begins(struct follow *follow)
{
	follow->stale = false;
	return follow->heard > follow->goal ? follow->heard : follow->goal;
}

void follow_read_ends(struct follow *follow, int64_t last, const struct feed_place *place, bool more, int64_t covered)
{
	if (last > follow->sent)
		follow->sent = last;
	if (place != NULL)
		feed_place_merge(&follow->place, place);
	follow->drained = !more && !follow->stale;
	if (!more)
		follow->covered = covered;
}

bool follow_goes_live(struct follow *follow)
{
	if (follow->live || !follow->drained)
		return follow->live;
	follow->live = stream_is_feed(follow->kind) ? feed_place_covers(&follow->place, &follow->feed_goal)
												: follow->covered >= follow->goal;
	if (!follow->live)
		follow->drained = false;
	return follow->live;
}

/* The store was read to its end, beyond this item, and it was not there: it never will be. */
static bool is_stray(const struct follow *follow, const struct stream_item *item)
{
	return !stream_is_feed(follow->kind) && item->offset < follow->covered;
}

struct stream_item *follow_next(struct follow *follow)
{
	while (follow->live && follow->kept.len > 0) {
		struct stream_item *item = follow->kept.items[0];
		enum follow_verdict verdict = judge(follow, item);
		if (verdict != FOLLOW_DROP && is_stray(follow, item)) {
			log_warn("a record that the store does not have is left out", "key", item->key, "offset",
					 LOG_INT(item->offset), NULL);
			verdict = FOLLOW_DROP;
		}
		if (verdict == FOLLOW_READ) {
			follow->live = false;
			follow->drained = false;
			raise_goal(follow, item);
			return NULL;
		}
		if (verdict == FOLLOW_SEND) {
			hand_out(follow, item);
			stream_item_ref(item);
		}
		item_queue_drop(&follow->kept, 1);
		if (verdict == FOLLOW_SEND)
			return item;
	}
	return NULL;
}
