/*
 * Dispatch (docs/protocol.md section 6): a thread with a connection of its own that gives waiting builds to free slots.
 * It is woken after every commit that queued a build or freed a slot, by NOTIFY when a project's settings change (its
 * limit may have been raised), and waits for the one match at a time of the whole deployment: each change is seen by a
 * match that began after it. The timer (KILN_DISPATCH_TIMER_MS) is for not_before, queue time-outs and crashes only.
 */
#pragma once

#include "build-service/service.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

struct dispatcher;

/* For who may have committed what a match should see, and was not told: all is looked at. Nothing when `err` says that
 * it was not committed. Any thread. */
void dispatch_after_failure(struct service *service, const struct error *err);

int dispatcher_start(struct service *service, struct dispatcher **ret_dispatcher, struct error *err) MUST_CHECK;
/* Ends the thread after the match under way, and frees it. Not NULL. */
void dispatcher_stop(struct dispatcher *dispatcher);

/* Sends assignments again. Any thread, with a connection of its own; only what is still assigned is sent. *ret_full: the
 * producer has no room for the last of them. */
int dispatch_resend(struct service *service, struct pg_conn *conn, const struct fencing_token *tokens, size_t len,
					bool *ret_full, struct error *err) MUST_CHECK;
