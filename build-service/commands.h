/*
 * Commands to workers (docs/protocol.md section 4): sent right after the commit that decided them (attempt.released a
 * little later: releases.h), never through the outbox. What is lost is repeated by the next heartbeats. Each names the
 * incarnation that it is for.
 */
#pragma once

#include "build-service/addressee.h"
#include "build-service/build.h"
#include "common/kafka/producer.h"

/* Who has the build's current attempt, and its token. */
void build_assignee(const struct build *build, struct fencing_token *ret_token, struct addressee *ret_worker);

enum command_kind { COMMAND_CANCEL, COMMAND_RELEASED, COMMAND_ABANDON, COMMAND_FENCED, COMMAND_DRAIN };

struct command {
	enum command_kind kind;
	struct addressee to;
	struct fencing_token token; /* not for COMMAND_FENCED and COMMAND_DRAIN */
	bool last;                  /* COMMAND_RELEASED: the build has ended */
	const char *reason;         /* COMMAND_FENCED; static */
};

/* What a transaction decided; sent when it has committed. */
struct command_list {
	struct command *items;
	size_t len, size;
};
void command_list_release(struct command_list *list);
void command_list_clear(struct command_list *list);
void command_list_add(struct command_list *list, const struct command *command);

/* Sends all and clears the list. What cannot be queued is logged and left to the heartbeats. Any thread. */
void commands_send(struct kafka_producer *producer, struct command_list *list);

/* Sends attempt.assign (`body`, see assignment.h). `done` is called on the producer's thread when its fate is known;
 * -1: it was not queued and `done` is not called. */
int commands_send_assign(struct kafka_producer *producer, const char *worker_id, const char *body, size_t body_len,
						 const char *traceparent, kafka_delivered *done, void *ctx, struct error *err) MUST_CHECK;
