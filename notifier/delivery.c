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

/* The classes of attempts, and how many there were. */
static struct metric attempts[] = {
#define CLASS(text)                                                                                                    \
	{                                                                                                                  \
		.kind = METRIC_COUNTER, .name = "kiln_webhook_attempts_total", .help = "Attempts at webhooks by outcome.",     \
		.labels = "class=\"" text "\""                                                                                 \
	}
	CLASS("delivered"),    CLASS("redirect"),     CLASS("gone"),      CLASS("throttled"),
	CLASS("client_error"), CLASS("server_error"), CLASS("timeout"),   CLASS("unreachable"),
	CLASS("denied"),       CLASS("invalid"),      CLASS("cancelled"),
#undef CLASS
};

static void register_metrics(void) __attribute__((constructor));
static void register_metrics(void)
{
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++)
		metric_register(&attempts[i]);
}

static void count(const char *failure_class)
{
	size_t len = strlen(failure_class);

	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		const char *name = attempts[i].labels + strlen("class=\"");
		if (strncmp(name, failure_class, len) == 0 && name[len] == '"')
			metric_add(&attempts[i], 1);
	}
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

/* What an attempt without an answer was. */
static const char *class_of_error(enum error_kind kind)
{
	if (kind == ERR_DENIED)
		return "denied";
	if (kind == ERR_INVALID)
		return "invalid";
	if (kind == ERR_TIMEOUT)
		return "timeout";
	if (kind == ERR_CANCELLED || kind == ERR_LIMIT)
		return "cancelled";
	return "unreachable";
}

static const char *class_of_status(int status)
{
	if (status >= 200 && status < 300)
		return "delivered";
	if (status >= 300 && status < 400)
		return "redirect";
	if (status == 410)
		return "gone";
	if (status == 429 || status == 502 || status == 503 || status == 504)
		return "throttled";
	return status < 500 ? "client_error" : "server_error";
}

static void try_again(struct delivery *delivery, const struct schedule *schedule, int64_t retry_after_s)
{
	if (schedule_next(schedule, delivery->attempt, retry_after_s, &delivery->delay_ms))
		delivery->state = DELIVERY_PENDING;
	else
		delivery->state = DELIVERY_EXHAUSTED;
}

void delivery_judge(struct delivery *delivery, const struct http_response *response, const struct schedule *schedule)
{
	/* What the receiver has said counts, however the body behind it ends. */
	bool answered = response->error.kind == ERR_NONE || response->status >= 200;

	delivery->duration_ms = response->duration_us / 1000;
	delivery->status = answered ? response->status : 0;
	delivery->failure_class = answered ? class_of_status(response->status) : class_of_error(response->error.kind);
	if (answered)
		(void)snprintf(delivery->error, sizeof(delivery->error), "%s: HTTP status %d", delivery->failure_class,
					   response->status); /* cut is fine */
	else
		(void)snprintf(delivery->error, sizeof(delivery->error), "%s: %.400s", delivery->failure_class,
					   response->error.message); /* cut is fine */

	if (str_equal(delivery->failure_class, "delivered")) {
		delivery->state = DELIVERY_DELIVERED;
		delivery->error[0] = '\0';
	} else if (str_equal(delivery->failure_class, "cancelled")) {
		delivery->state = DELIVERY_RELEASED;
	} else if (str_equal(delivery->failure_class, "gone") || str_equal(delivery->failure_class, "denied") ||
			   str_equal(delivery->failure_class, "invalid")) {
		/* The receiver wants no more, or no later attempt can go better. */
		delivery->state = DELIVERY_EXHAUSTED;
	} else {
		try_again(delivery, schedule, str_equal(delivery->failure_class, "throttled") ? response->retry_after_s : -1);
	}
	count(delivery->failure_class);
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
