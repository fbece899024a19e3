#include "notifier/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/base/str.h"
#include "notifier/webhook.h"

#define CONNECT_TIMEOUT_MS 5000
#define MAX_RESPONSE_BYTES 4096

/* What each class is called, what it makes of the delivery (PENDING: exhausted when the schedule is at its end), and how
 * many there were. */
static struct {
	const char *name;
	enum delivery_state state;
	struct metric total;
} classes[] = {
#define CLASS(text, next)                                                                                              \
	{                                                                                                                  \
		.name = (text), .state = (next), .total = {                                                                    \
			.kind = METRIC_COUNTER,                                                                                    \
			.name = "kiln_webhook_attempts_total",                                                                     \
			.help = "Attempts at webhooks by outcome.",                                                                \
			.labels = "class=\"" text "\""                                                                             \
		}                                                                                                              \
	}
	[ATTEMPT_DELIVERED] = CLASS("delivered", DELIVERY_DELIVERED),
	[ATTEMPT_REDIRECT] = CLASS("redirect", DELIVERY_PENDING),
	[ATTEMPT_GONE] = CLASS("gone", DELIVERY_EXHAUSTED), /* the receiver wants no more */
	[ATTEMPT_THROTTLED] = CLASS("throttled", DELIVERY_PENDING),
	[ATTEMPT_CLIENT_ERROR] = CLASS("client_error", DELIVERY_PENDING),
	[ATTEMPT_SERVER_ERROR] = CLASS("server_error", DELIVERY_PENDING),
	[ATTEMPT_TIMEOUT] = CLASS("timeout", DELIVERY_PENDING),
	[ATTEMPT_UNREACHABLE] = CLASS("unreachable", DELIVERY_PENDING),
	/* No later attempt can go better. */
	[ATTEMPT_DENIED] = CLASS("denied", DELIVERY_EXHAUSTED),
	[ATTEMPT_INVALID] = CLASS("invalid", DELIVERY_EXHAUSTED),
	[ATTEMPT_CANCELLED] = CLASS("cancelled", DELIVERY_RELEASED),
#undef CLASS
};

void delivery_register_metrics(void)
{
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		metric_register(&classes[i].total);
}

void delivery_free(struct delivery *delivery)
{
	if (delivery->secret != NULL)
		explicit_bzero(delivery->secret, delivery->secret_len);
	free(delivery->event_id);
	free(delivery->event_type);
	free(delivery->build_id);
	free(delivery->url);
	free(delivery->host);
	free(delivery->project_id);
	free(delivery->traceparent);
	free(delivery->request_id);
	free(delivery->secret);
	free(delivery->body);
	free(delivery);
}

const char *delivery_state_name(enum delivery_state state)
{
	static const char *const names[] = {"pending", "delivered", "exhausted", "released"};

	return names[state];
}

const char *attempt_class_name(enum attempt_class attempt_class)
{
	return classes[attempt_class].name;
}

/* What an attempt without an answer was. */
static enum attempt_class class_of_error(enum error_kind kind)
{
	if (kind == ERR_DENIED)
		return ATTEMPT_DENIED;
	if (kind == ERR_INVALID)
		return ATTEMPT_INVALID;
	if (kind == ERR_TIMEOUT)
		return ATTEMPT_TIMEOUT;
	if (kind == ERR_CANCELLED || kind == ERR_LIMIT)
		return ATTEMPT_CANCELLED;
	return ATTEMPT_UNREACHABLE;
}

static enum attempt_class class_of_status(int status)
{
	if (status >= 200 && status < 300)
		return ATTEMPT_DELIVERED;
	if (status >= 300 && status < 400)
		return ATTEMPT_REDIRECT;
	if (status == 410)
		return ATTEMPT_GONE;
	if (status == 429 || status == 502 || status == 503 || status == 504)
		return ATTEMPT_THROTTLED;
	return status < 500 ? ATTEMPT_CLIENT_ERROR : ATTEMPT_SERVER_ERROR;
}

static void tell(struct delivery *delivery, const struct http_response *response, bool answered)
{
	const char *name = attempt_class_name(delivery->attempt_class);
	if (delivery->attempt_class == ATTEMPT_DELIVERED)
		delivery->error[0] = '\0';
	else if (answered)
		(void)snprintf(delivery->error, sizeof(delivery->error), "%s: HTTP status %d", name,
					   response->status); /* cut is fine */
	else
		(void)snprintf(delivery->error, sizeof(delivery->error), "%s: %.400s", name,
					   response->error.message); /* cut is fine */
}

void delivery_judge(struct delivery *delivery, const struct http_response *response, const struct schedule *schedule)
{
	/* What the receiver has said counts, however the body behind it ends. */
	bool answered = response->error.kind == ERR_NONE || response->status >= 200;
	enum attempt_class ended = answered ? class_of_status(response->status) : class_of_error(response->error.kind);

	delivery->duration_ms = response->duration_us / 1000;
	delivery->status = answered ? response->status : 0;
	delivery->attempt_class = ended;
	tell(delivery, response, answered);
	delivery->state = classes[ended].state;
	if (delivery->state == DELIVERY_PENDING &&
		!schedule_next(schedule, delivery->attempt, ended == ATTEMPT_THROTTLED ? response->retry_after_s : -1,
					   &delivery->delay_ms))
		delivery->state = DELIVERY_EXHAUSTED;
	metric_add(&classes[ended].total, 1);
}

static void on_response(void *ctx, const struct http_response *response)
{
	struct delivery *delivery = ctx;

	delivery_judge(delivery, response, delivery->schedule);
	delivery->finished(delivery->ctx, delivery);
}

/* An attempt that ends before anything is sent. */
static void end_unsent(struct delivery *delivery, const struct error *err)
{
	struct http_response response = {.error = *err, .retry_after_s = -1};

	on_response(delivery, &response);
}

static int prepare_and_send(struct delivery *delivery, struct http_client *client, const struct address_guard *guard,
							int timeout_ms, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer signature = {.data = NULL};
	int64_t now_s = clock_wall_us() / 1000000;

	if (delivery->secret == NULL)
		return error_set(err, ERR_INVALID, "the project is gone, and its secret with it");
	if (address_guard_check_url(guard, delivery->url, "http,https", err) < 0)
		return -1;
	buffer_init(&signature, 256);
	webhook_sign(delivery->secret, delivery->secret_len, delivery->event_id, now_s, delivery->body, delivery->body_len,
				 &signature);
	CLEANUP(strv_free_p)
	char **headers =
		webhook_headers(delivery->event_id, now_s, signature.data, delivery->traceparent, delivery->request_id);
	const struct http_request request = {
		.method = "POST",
		.url = delivery->url,
		.headers = (const char *const *)headers,
		.body = delivery->body,
		.body_len = delivery->body_len,
		.timeout_ms = timeout_ms,
		.connect_timeout_ms = timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS,
		.max_response_bytes = MAX_RESPONSE_BYTES,
	};
	return http_client_send(client, &request, on_response, delivery, err);
}

void delivery_send(struct delivery *delivery, struct http_client *client, const struct address_guard *guard,
				   int timeout_ms, const struct schedule *schedule,
				   void (*finished)(void *ctx, struct delivery *delivery), void *ctx)
{
	struct error err = ERROR_INIT;

	delivery->schedule = schedule;
	delivery->finished = finished;
	delivery->ctx = ctx;
	if (prepare_and_send(delivery, client, guard, timeout_ms, &err) < 0)
		end_unsent(delivery, &err);
}
