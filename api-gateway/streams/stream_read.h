/*
 * A page of what is stored for one stream, as the text that is sent. Events and logs are read from Postgres by a
 * worker, feeds from Kafka by stream_history.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/streams/follow.h"
#include "api-gateway/gateway.h"
#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/ids.h"

#define STREAM_PAGE_BYTES ((size_t)256 * 1024) /* a page ends with the event that reaches it */

struct stream_read {
	/* What is wanted. */
	enum stream_kind kind;
	char key[UUID_TEXT_SIZE];
	int64_t after;
	int64_t log_end; /* logs of an ended build: where its partition ends, as an earlier read has found; else -1 */
	struct feed_place from, to; /* feeds */
	bool sees_projects;         /* feeds: project.* too */
	/* What was found. */
	struct buffer bytes;
	int64_t last;              /* the sequence of the last one in `bytes`; `after` when there is none */
	bool more;                 /* there is more behind it */
	int64_t covered;           /* logs: the log store had applied everything below it */
	bool build_ended;          /* before the rows were read */
	struct feed_place reached; /* feeds: everything before it was looked at */
	bool reset;                /* feeds: `from` is no place of the topics as they are now */
	/* The build has ended, and everything of the stream is in `bytes` or before it. */
	bool complete;
};

void stream_read_init(struct stream_read *read, enum stream_kind kind, const char *key, int64_t after);
void stream_read_release(struct stream_read *read);

/* Worker: events and logs. Errors leave `bytes` unspecified. */
struct pg_conn;
int stream_read_run(struct stream_read *read, struct gateway *gateway, struct pg_conn *conn,
					struct error *err) MUST_CHECK;
