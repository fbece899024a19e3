/*
 * Events of builds that this process has just committed. The relay takes them from here instead of reading them from
 * the trail again, which costs Postgres more than to write them. Only about speed: what is not here is read. What is
 * here was committed, so nobody can ever commit another event of its build and sequence: the bytes are the trail's.
 *
 * (A database that was restored to an earlier time is another one: it is not up again within the two seconds below.)
 *
 * Any thread. Bounded: what the relay has not asked for in two seconds (it had read it already, or another instance
 * publishes it) is forgotten, and of more than 8 MiB the oldest.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/pg/outbox.h"

struct outbox_recent;

/* One event, NUL-terminated texts. */
struct outbox_recent_event {
	const char *type, *traceparent; /* traceparent may be NULL */
	const uint8_t *hash;
	const char *body;
	size_t body_len;
};

struct outbox_recent *outbox_recent_new(void);
void outbox_recent_free(struct outbox_recent *recent);
/* After their commit is known. Copies them. */
void outbox_recent_add(struct outbox_recent *recent, const struct outbox_committed *events, size_t len);
/* The event, which is the caller's to release; NULL when it is not here. It is given once. */
struct outbox_recent_event *outbox_recent_take(struct outbox_recent *recent, const char *build_id, int32_t sequence);
void outbox_recent_release(struct outbox_recent *recent, struct outbox_recent_event *event);
