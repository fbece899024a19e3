#include "common/http/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/list.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/http/easy.h"
#include "common/http/exchange.h"

#define POLL_MS 1000

struct http_client {
	const struct address_guard *guard;
	CURLM *multi;
	pthread_t thread;
	size_t max_in_flight, max_queued;
	size_t in_flight;         /* the thread's */
	struct list_node running; /* the thread's */

	pthread_mutex_t mutex; /* for what follows */
	struct list_node queued;
	size_t queued_len;
	bool stopping;
};

static struct exchange *next_queued(struct http_client *client)
{
	mutex_lock(&client->mutex);
	struct list_node *node = client->in_flight < client->max_in_flight ? list_pop(&client->queued) : NULL;
	if (node != NULL)
		client->queued_len--;
	mutex_unlock(&client->mutex);
	return node != NULL ? LIST_ITEM(node, struct exchange, node) : NULL;
}

static bool is_stopping(struct http_client *client)
{
	mutex_lock(&client->mutex);
	bool stopping = client->stopping;
	mutex_unlock(&client->mutex);
	return stopping;
}

/* True when something was started. */
static bool start_queued(struct http_client *client)
{
	struct exchange *exchange;
	bool started = false;

	while ((exchange = next_queued(client)) != NULL) {
		exchange_prepare(exchange, client->guard);
		CURLMcode code = curl_multi_add_handle(client->multi, exchange->easy);
		if (code != CURLM_OK) {
			exchange_end(exchange, CURLE_FAILED_INIT);
			continue;
		}
		list_append(&client->running, &exchange->node);
		client->in_flight++;
		started = true;
	}
	return started;
}

static void remove_running(struct http_client *client, struct exchange *exchange)
{
	list_remove(&exchange->node);
	client->in_flight--;
	curl_multi_remove_handle(client->multi, exchange->easy);
}

static void collect_ended(struct http_client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
		struct exchange *exchange = NULL;
		CURLcode code = message->data.result;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
		remove_running(client, exchange);
		exchange_end(exchange, code);
	}
}

static void *client_thread(void *ctx)
{
	struct http_client *client = ctx;
	int running = 0;

	while (!is_stopping(client)) {
		curl_multi_perform(client->multi, &running);
		collect_ended(client);
		/* Nothing is polled for: descriptors, libcurl's own timers and curl_multi_wakeup end the wait. A wake-up that
		 * came before the wait ends it at once. */
		if (!start_queued(client))
			curl_multi_poll(client->multi, NULL, 0, POLL_MS, NULL);
	}
	LIST_FOR_EACH (node, &client->running) {
		struct exchange *exchange = LIST_ITEM(node, struct exchange, node);
		remove_running(client, exchange);
		exchange_cancel(exchange);
	}
	/* Nobody can queue any more: http_client_send refuses. */
	LIST_FOR_EACH (node, &client->queued) {
		list_remove(node);
		exchange_cancel(LIST_ITEM(node, struct exchange, node));
	}
	return NULL;
}

int http_client_new(const struct address_guard *guard, size_t max_in_flight, size_t max_queued,
					struct http_client **ret_client, struct error *err)
{
	struct http_client *client = xcalloc(1, sizeof(*client));

	http_curl_init();
	client->guard = guard;
	client->max_in_flight = max_in_flight;
	client->max_queued = max_queued;
	list_init(&client->running);
	list_init(&client->queued);
	mutex_init(&client->mutex);
	client->multi = curl_multi_init();
	CHECK(client->multi != NULL);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)max_in_flight);
	curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);

	if (thread_start(&client->thread, "http-client", 256UL * 1024, client_thread, client, err) < 0) {
		curl_multi_cleanup(client->multi);
		(void)pthread_mutex_destroy(&client->mutex); /* nobody holds it */
		free(client);
		return -1;
	}
	*ret_client = client;
	return 0;
}

void http_client_free(struct http_client *client)
{
	if (client == NULL)
		return;
	mutex_lock(&client->mutex);
	client->stopping = true;
	mutex_unlock(&client->mutex);
	curl_multi_wakeup(client->multi);
	thread_join(client->thread);
	curl_multi_cleanup(client->multi);
	(void)pthread_mutex_destroy(&client->mutex); /* nobody holds it */
	free(client);
}

int http_client_send(struct http_client *client, const struct http_request *request, http_done *done, void *ctx,
					 struct error *err)
{
	struct exchange *exchange = exchange_new(request, done, ctx);

	mutex_lock(&client->mutex);
	bool refused = client->stopping || client->queued_len >= client->max_queued;
	if (!refused) {
		list_append(&client->queued, &exchange->node);
		client->queued_len++;
	}
	mutex_unlock(&client->mutex);
	if (refused) {
		exchange_free(exchange);
		return error_set(err, ERR_LIMIT, "too many HTTP requests are waiting");
	}
	curl_multi_wakeup(client->multi);
	return 0;
}
