/* attempt.assign: what a worker needs for an attempt (docs/messages.md), for the first sending and for every repeat. */
#pragma once

#include "build-service/commands.h"
#include "build-service/continued.h"
#include "build-service/service.h"
#include "build-service/transitions.h"
#include "common/base/buffer.h"
#include "common/pg/pg.h"

/* The largest command: a build's request and its history. */
#define ASSIGNMENT_MAX_BYTES ((size_t)12 * 1024 * 1024)

/* Texts are the caller's; NULL is JSON's null. */
struct assignment {
	struct addressee to;
	struct fencing_token token;
	enum attempt_mode mode;
	const char *assigned_at;
	const char *project_id, *project_name;
	const char *spec, *git, *earlier, *settle_end; /* JSON */
	const char *base_sha, *branch;
	struct continued continued;
	const char *traceparent;
};

/* The decision: the build goes to this worker, with a lease of its own. */
enum applied assignment_decide(const struct service *service, const struct transition_context *context,
							   struct build *build, const struct addressee *worker);
/* The commit's answer was lost: if it happened, nobody was told. The accept deadline finds out. */
void assignment_mind(struct service *service, const struct build *build);

/* What a row of read_assignments.sql says of the build; the texts live as long as the result. */
void assignment_take_row(struct assignment *assignment, const PGresult *rows, int row);
/* Appends the JSON. -1: too large for a message. */
int assignment_write(struct buffer *buf, const struct assignment *assignment) MUST_CHECK;
/* After the commit: sends it, and starts its accept deadline. What the producer has no room for is sent again later
 * (resend.c), and its deadline starts then. `body` is for scratch. Any thread. */
void assignment_send(struct service *service, const struct assignment *assignment, struct buffer *body);
/* Once more: when the first time there was no room, its accept deadline starts now. -1: it was not sent; ERR_LIMIT or
 * ERR_UNAVAILABLE: there is still no room. */
int assignment_send_again(struct service *service, const struct assignment *assignment, struct buffer *body,
						  struct error *err) MUST_CHECK;
