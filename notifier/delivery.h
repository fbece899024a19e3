/*
 * One claimed delivery and what became of its attempt. The deliveries thread owns it; between delivery_send and the
 * callback of `finished` it belongs to the HTTP client's thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/list.h"
#include "common/http/client.h"
#include "notifier/schedule.h"

/* What is written into webhook_deliveries.state; released: the attempt does not count, as if it had not been. */
enum delivery_state { DELIVERY_PENDING, DELIVERY_DELIVERED, DELIVERY_EXHAUSTED, DELIVERY_RELEASED };

/* How an attempt ended, by what follows from it. */
enum attempt_class {
	ATTEMPT_DELIVERED,
	ATTEMPT_REDIRECT,
	ATTEMPT_GONE,
	ATTEMPT_THROTTLED,
	ATTEMPT_CLIENT_ERROR,
	ATTEMPT_SERVER_ERROR,
	ATTEMPT_TIMEOUT,
	ATTEMPT_UNREACHABLE,
	ATTEMPT_DENIED,
	ATTEMPT_INVALID,
	ATTEMPT_CANCELLED
};

struct delivery {
	struct list_node node;          /* the deliveries thread's: all that are under way */
	struct list_node finished_node; /* those whose attempt has ended */
	char id[UUID_TEXT_SIZE];
	char *event_id, *event_type, *build_id, *url, *host, *project_id;
	char *traceparent, *request_id; /* of the POST that made the build; NULL when not known */
	void *secret;                   /* the project's, NULL when the project is gone */
	size_t secret_len;
	char *body;
	size_t body_len;
	int64_t attempt; /* this one's number, from 1 */
	int64_t claim;   /* this claim's, and no later one's of the delivery */

	/* The outcome. */
	enum delivery_state state;
	enum attempt_class attempt_class;
	int64_t delay_ms; /* until the next attempt, when pending */
	int status;       /* 0: no answer */
	char error[512];  /* "" when delivered */
	int64_t duration_ms;

	const struct schedule *schedule;
	void (*finished)(void *ctx, struct delivery *delivery);
	void *ctx;
};

void delivery_free(struct delivery *delivery);
/* Once, at the start. */
void delivery_register_metrics(void);
const char *delivery_state_name(enum delivery_state state);
/* "delivered", "client_error", … in errors and metrics. */
const char *attempt_class_name(enum attempt_class attempt_class);

/* Starts the attempt. `finished` is called once with the outcome filled in, on the client's thread, or at once on the
 * caller's. */
void delivery_send(struct delivery *delivery, struct http_client *client, const struct address_guard *guard,
				   int timeout_ms, const struct schedule *schedule,
				   void (*finished)(void *ctx, struct delivery *delivery), void *ctx);

/* The outcome of an answer; pure but for jitter. */
void delivery_judge(struct delivery *delivery, const struct http_response *response, const struct schedule *schedule);
