/* The fence refs of builds that have ended, which are removed by children, a few at a time; the others wait. What waits
 * is in memory only: a fence that stays does no harm. Main thread only. */
#pragma once

#include <stddef.h>

#include "common/base/list.h"
#include "common/model/fencing_token.h"

struct daemon;
struct reported_text;

#define TIDYING_MAX_WAITING 256

struct tidying {
	struct list_node waiting;
	size_t waiting_len;
};

void tidying_init(struct tidying *tidying);
void tidying_release(struct tidying *tidying);

/* For the stored result of an attempt that was released as its build's last. */
void tidying_want(struct daemon *daemon, const struct fencing_token *token, const struct reported_text *stored);
/* Starts what there is room for. */
void tidying_tick(struct daemon *daemon);
