/*
 * Results that wait for attempt.released (docs/protocol.md section 5): each a file STATE/results/LEASE.json, fsynced
 * before the result is sent, which is sent again until it is released, also by later daemons. A daemon that is killed
 * before the file is there has not sent it: the attempt is lost, and what it pushed is adopted. A disk that fails, or
 * hangs for too long, costs only the durability. In memory is only what is needed to list and find them. The files are
 * written and removed by state_writer.h; nothing here waits for a disk but reading what is in its cache. Main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/backoff.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/model/fencing_token.h"

#define REPORTED_NAME_SIZE 64

struct reported_item {
	struct fencing_token token;
	char *text;                     /* the file's, for as long as there is no such file; else NULL */
	bool saving;                    /* it is listed, and not sent before it is saved or `next_ms` has come */
	char under_way[UUID_TEXT_SIZE]; /* ce_id of the message that Kafka has not acknowledged yet, "" = none */
	bool acknowledged;              /* by Kafka: it was sent by this daemon, and none is under way */
	int64_t next_ms;
	struct backoff backoff;
};

struct reported {
	const char *state_dir;
	int dir_fd;
	struct backoff backoff; /* as each begins */
	struct reported_item *items;
	size_t len, size;
};

/* What the file holds besides the token. */
struct reported_text {
	cJSON *tree;
	const char *id;          /* ce_id of attempt.finished */
	const char *finished;    /* its data */
	const char *traceparent; /* the assignment's; "" = none */
	const char *fence;       /* where the fence ref was left, or NULL */
	const cJSON *assignment; /* project and git of the assignment: to reach the fence ref */
};

/* Reads what earlier daemons left; due at once. Broken files are logged and removed. */
int reported_open(struct reported *reported, const char *state_dir, int first_interval_ms,
				  struct error *err) MUST_CHECK;
void reported_release(struct reported *reported);

struct reported_item *reported_find(struct reported *reported, const struct fencing_token *token);
/* The name of its file. */
void reported_file_name(const char *lease_id, char ret[REPORTED_NAME_SIZE]);
/* Lists one that is being saved. It is due when reported_saved is called, at the latest at `until_ms`. */
void reported_add(struct reported *reported, const struct fencing_token *token, const char *text, size_t len,
				  int64_t until_ms);
/* The file is there, or (`saved` false) will not be: then the text stays in memory. Returns the one it is about; NULL =
 * it was removed meanwhile. */
const struct reported_item *reported_saved(struct reported *reported, const char *lease_id, bool saved, int64_t now_ms);
/* Whether one is still being saved. */
bool reported_saving(const struct reported *reported);
/* -1: the file is gone or broken. Release by cJSON_Delete(text->tree). */
int reported_read(struct reported *reported, const struct reported_item *item, struct reported_text *ret_text,
				  struct error *err) MUST_CHECK;
/* From the list; its file is the caller's. */
void reported_remove(struct reported *reported, struct reported_item *item);
/* A message with this ce_id goes to Kafka. */
void reported_sent(struct reported_item *item, const char *id);
/* Kafka has the message with this ce_id. */
void reported_acknowledged(struct reported *reported, const char *id);
/* The next that is due, with its next time set (doubled, to a minute); NULL = none. */
struct reported_item *reported_due(struct reported *reported, int64_t now_ms);
int64_t reported_due_ms(const struct reported *reported);
