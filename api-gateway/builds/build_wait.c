#include "api-gateway/builds/build_wait.h"

#include <poll.h>
#include <stdlib.h>

#include "api-gateway/callers/caches.h"
#include "api-gateway/config.h"
#include "api-gateway/requests/fill.h"
#include "api-gateway/builds/build_answer.h"
#include "api-gateway/requests/representation.h"
#include "api-gateway/callers/scopes.h"
#include "api-gateway/requests/loop.h"
#include "api-gateway/streams/stream_private.h"
#include "api-gateway/requests/workers.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"

#define TICK_MS 100
#define TICKS_A_SECOND 10
#define RETRY_MS 1000 /* after a look that failed */

static struct metric waits_gauge = {
	.kind = METRIC_GAUGE, .name = "kiln_gateway_waits", .help = "Requests that wait for a build (Prefer: wait)."};
static struct metric looks_total = {.kind = METRIC_COUNTER,
									.name = "kiln_gateway_wait_looks_total",
									.help = "Times that a build was looked at for a request that waits for it."};

/* The first look and the last are what the request would be without a wait. Those between share the workers with
 * streams, which leave some to requests. */
enum turn { TURN_REQUEST, TURN_SHARED, TURNS };

/* A loop's. */
struct build_waits {
	struct loop *loop;
	struct stream_hub *hub;
	struct list_node all;
	struct list_node to_look[TURNS]; /* those for which no worker was free, in the order of their coming */
	struct list_node buckets[STREAM_BUCKETS];
	h2o_timeout_t interval;
	h2o_timeout_entry_t tick;
	unsigned ticks;
};

struct build_wait {
	struct build_waits *waits;
	struct list_node node, key_node, look_node; /* of all, a bucket, to_look or none */
	struct request *request;                    /* a reference */
	wait_accepted_fn *accepted;                 /* of a POST; NULL: a GET */
	char key[UUID_TEXT_SIZE];
	uint16_t bucket;
	int64_t body_bytes; /* taken from the limit */
	int64_t until_ms;
	int64_t retry_ms; /* 0: no look is due */
	bool looking;     /* request->answer is a worker's */
	bool again;       /* something has happened since that look began */
	enum turn turn;   /* … as one of those */
	bool seen;        /* there was a look */
	bool found;       /* … which did not fail */
	bool over;        /* the next look is the last one */
	bool ended;       /* the build, as the last look saw it */
	struct worker_task task;
	struct hub_note note;
};

void build_waits_register_metrics(void)
{
	metric_register(&waits_gauge);
	metric_register(&looks_total);
}

static bool take_limits(struct streams *streams, const uint8_t *token_hash, int64_t body_bytes)
{
	struct error err = ERROR_INIT;
	if (open_limits_take(streams->wait_limits, token_hash, &err) < 0)
		return false;
	if (open_limits_take_many(streams->wait_bytes, token_hash, body_bytes, &err) == 0)
		return true;
	open_limits_give(streams->wait_limits, token_hash);
	return false;
}

static void give_limits(struct streams *streams, const uint8_t *token_hash, int64_t body_bytes)
{
	/* In this order no more tokens hold bytes than waits. */
	open_limits_give_many(streams->wait_bytes, token_hash, body_bytes);
	open_limits_give(streams->wait_limits, token_hash);
}

static void unsubscribe(struct build_wait *wait)
{
	list_remove(&wait->node);
	list_remove(&wait->key_node);
	list_remove(&wait->look_node);
	stream_hub_want_events(wait->waits->hub, wait->bucket, -1);
	give_limits(wait->waits->hub->shared, wait->request->token->hash, wait->body_bytes);
	metric_add(&waits_gauge, -1);
}

static void add_applied(const struct request *request, struct answer *answer)
{
	if (answer->status < 400)
		answer_field(answer, "preference-applied", "wait=%lld", (long long)request->wait_s);
}

/* Sends what there is. */
static void finish(struct build_wait *wait)
{
	struct request *request = wait->request;
	unsubscribe(wait);
	if (wait->accepted != NULL && wait->ended) { /* request->answer is the build */
		answer_field(&request->answer, "location", "/builds/%s", wait->key);
		answer_field(&request->answer, "content-location", "/builds/%s", wait->key);
	} else if (wait->accepted != NULL) {
		answer_clear(&request->answer);
		wait->accepted(request, &request->answer);
	}
	add_applied(request, &request->answer);
	request_send(request);
	request_unref(request);
	free(wait);
}

/* The token does not work any more, or has fallen out of the cache: a GET begins anew, without a wait. */
static void begin_anew(struct build_wait *wait)
{
	struct request *request = wait->request;
	if (wait->accepted != NULL) {
		wait->ended = false; /* what it has done while it worked, it may hear of */
		finish(wait);
		return;
	}
	unsubscribe(wait);
	api_token_unref(request->token);
	request->token = NULL;
	request->filled &= ~(unsigned)FILL_TOKEN;
	request->wait_s = 0;
	answer_clear(&request->answer);
	request_again(request);
	request_unref(request);
	free(wait);
}

static void look(struct build_wait *wait);

/* Has what it waits for come true? A GET that would fail without a wait fails at once; later on, what cannot be told
 * now may be told before its time is over. */
static bool is_done(const struct build_wait *wait)
{
	int status = wait->request->answer.status;
	if (wait->accepted != NULL)
		return wait->ended;
	bool is_news = wait->request->if_none_match.data != NULL && status == 200;
	bool is_problem = status != 200 && status != 304 && (status != 503 || !wait->found);
	return wait->ended || is_news || is_problem;
}

static void start_looks(struct build_waits *waits);

static void look_done(struct stream_hub *hub, struct hub_note *note)
{
	struct build_wait *wait = CONTAINER_OF(note, struct build_wait, note);
	if (wait->turn == TURN_SHARED)
		(void)atomic_fetch_sub(&hub->shared->reads, 1); /* given back */
	wait->looking = false;
	wait->seen = true;
	metric_add(&looks_total, 1);
	start_looks(wait->waits); /* the worker is free */
	if (wait->over || wait->request->h2o == NULL || is_done(wait)) {
		finish(wait);
		return;
	}
	bool failed = wait->request->answer.status != 200 && wait->request->answer.status != 304;
	wait->retry_ms = failed ? clock_boot_ms() + RETRY_MS : 0;
	wait->found = wait->found || !failed;
	/* It would be old when the wait is over. */
	answer_release(&wait->request->answer);
	answer_init(&wait->request->answer);
	if (wait->again)
		look(wait);
}

/* Worker. */
static void run_look(struct worker_task *task)
{
	struct build_wait *wait = CONTAINER_OF(task, struct build_wait, task);
	answer_clear(&wait->request->answer);
	wait->ended = build_answer(wait->request);
	representation_finish(wait->request, true);
	wait->note.on_loop = look_done;
	stream_hub_post(wait->waits->hub, &wait->note);
}

static bool start_look(struct build_wait *wait, enum turn turn)
{
	struct streams *streams = wait->waits->hub->shared;
	bool is_shared = turn == TURN_SHARED;
	if (!is_shared || atomic_fetch_add(&streams->reads, 1) < streams->reads_max) {
		wait->looking = true;
		wait->again = false;
		wait->turn = turn;
		wait->task.run = run_look;
		if (workers_try(streams->gateway->workers, &wait->task))
			return true;
		wait->looking = false;
	}
	if (is_shared)
		(void)atomic_fetch_sub(&streams->reads, 1); /* as if it had never been */
	return false;
}

/* For those without a worker the tick tries again. */
static void start_looks(struct build_waits *waits)
{
	for (size_t turn = 0; turn < TURNS; turn++) {
		LIST_FOR_EACH (node, &waits->to_look[turn]) {
			if (!start_look(LIST_ITEM(node, struct build_wait, look_node), (enum turn)turn))
				break; /* nor is there one for those behind it, who may be many */
			list_remove(node);
		}
	}
}

/* The caller calls start_looks, once for however many. */
static void want_look(struct build_wait *wait)
{
	enum turn turn = wait->seen && !wait->over ? TURN_SHARED : TURN_REQUEST;
	wait->retry_ms = 0;
	if (wait->looking) {
		wait->again = true;
	} else if (list_empty(&wait->look_node) || wait->over) { /* the last look need not wait for a shared turn */
		list_remove(&wait->look_node);
		list_append(&wait->waits->to_look[turn], &wait->look_node);
	}
}

static void look(struct build_wait *wait)
{
	want_look(wait);
	start_looks(wait->waits);
}

/* A POST has its 202 to fall back on; a GET is answered by one more look. The caller calls start_looks. */
static void end_soon(struct build_wait *wait)
{
	int64_t now_ms = clock_boot_ms();
	if (wait->until_ms > now_ms)
		wait->until_ms = now_ms;
	bool was_over = wait->over;
	wait->over = true;
	if (wait->looking)
		return;
	if (wait->accepted != NULL || wait->request->h2o == NULL)
		finish(wait);
	else if (!was_over)
		want_look(wait);
}

/* Its reading side is closed: it has gone, or it wants no more than this answer. */
static bool client_left(h2o_req_t *h2o)
{
	h2o_socket_t *sock = h2o->conn->callbacks->get_socket(h2o->conn);
	struct pollfd one = {.fd = h2o_socket_get_fd(sock), .events = POLLRDHUP};
	return poll(&one, 1, 0) == 1 && (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* Once a second. */
static void look_after(struct build_wait *wait)
{
	struct request *request = wait->request;
	if (request->answered)
		return; /* given up, while a worker has it still */
	if (request->h2o == NULL) {
		end_soon(wait);
	} else if (client_left(request->h2o)) {
		request->h2o->http1_is_persistent = 0;
		end_soon(wait);
	} else if (!wait->looking && !caches_token_works(wait->waits->loop->gateway->caches, request->token)) {
		begin_anew(wait);
	}
}

static void check_time(struct build_wait *wait, int64_t now_ms)
{
	bool is_late = !wait->over && now_ms >= wait->until_ms;
	wait->over = wait->over || is_late;
	if (is_late || (wait->retry_ms != 0 && now_ms >= wait->retry_ms))
		want_look(wait);
}

/* No worker was free for the last look, or it does not end. */
static bool gives_up(const struct build_wait *wait, int64_t now_ms)
{
	return !wait->request->answered &&
		   now_ms - wait->until_ms >= wait->waits->loop->gateway->config->request_timeout_ms;
}

/* A worker may have request->answer; then look_done is the end of the wait. */
static void give_up(struct build_wait *wait)
{
	struct request *request = wait->request;
	struct answer answer;
	answer_init(&answer);
	if (wait->accepted != NULL)
		wait->accepted(request, &answer);
	else
		problem_write(&answer, PROBLEM_OVERLOADED, request->id, NULL, "Too many requests are waiting.");
	add_applied(request, &answer);
	request_send_other(request, &answer);
	if (!wait->looking)
		finish(wait);
}

static void on_tick(h2o_timeout_entry_t *entry)
{
	struct build_waits *waits = CONTAINER_OF(entry, struct build_waits, tick);
	int64_t now_ms = clock_boot_ms();
	bool is_second = ++waits->ticks % TICKS_A_SECOND == 0;
	LIST_FOR_EACH (node, &waits->all) {
		struct build_wait *wait = LIST_ITEM(node, struct build_wait, node);
		check_time(wait, now_ms);
		if (gives_up(wait, now_ms))
			give_up(wait);
		else if (is_second)
			look_after(wait);
	}
	start_looks(waits);
	if (!list_empty(&waits->all))
		h2o_timeout_link(waits->loop->ctx.loop, &waits->interval, &waits->tick);
}

static bool is_possible(const struct request *request, const char *build_id)
{
	/* A POST answered with the build is a read. */
	return request->wait_s > 0 && request->h2o != NULL && uuid_is_valid(build_id, strlen(build_id)) &&
		   !request->loop->streams->draining && scopes_cover(request->token->scopes, SCOPE_BUILDS_READ);
}

bool build_wait_begin(struct request *request, wait_accepted_fn *accepted)
{
	struct build_waits *waits = request->loop->waits;
	const char *build_id = accepted != NULL ? request->build_id : request->param;
	int64_t body_bytes = (int64_t)request->body.len;
	if (!is_possible(request, build_id) || !take_limits(waits->hub->shared, request->token->hash, body_bytes)) {
		request->wait_s = 0;
		return false;
	}
	struct build_wait *wait = xcalloc(1, sizeof(*wait));
	wait->waits = waits;
	wait->request = request;
	wait->accepted = accepted;
	wait->body_bytes = body_bytes;
	memcpy(wait->key, build_id, sizeof(wait->key));
	memcpy(request->param, wait->key, sizeof(wait->key)); /* from here on it is about the build */
	request_set_build(request, wait->key);
	wait->bucket = stream_bucket(wait->key);
	wait->until_ms = clock_boot_ms() + request->wait_s * 1000;
	list_init(&wait->look_node);
	list_append(&waits->all, &wait->node);
	list_append(&waits->buckets[wait->bucket], &wait->key_node);
	metric_add(&waits_gauge, 1);
	request_ref(request);
	request->waited = true;
	request->body = (struct slice){NULL, 0}; /* it was accepted */
	request_detach(request);
	h2o_timeout_unlink(&request->deadline);
	stream_hub_want_events(waits->hub, wait->bucket, 1);
	if (!h2o_timeout_is_linked(&waits->tick))
		h2o_timeout_link(waits->loop->ctx.loop, &waits->interval, &waits->tick);
	look(wait);
	return true;
}

void build_waits_offer(struct build_waits *waits, const struct stream_item *item)
{
	LIST_FOR_EACH (node, &waits->buckets[stream_bucket(item->key)]) {
		struct build_wait *wait = LIST_ITEM(node, struct build_wait, key_node);
		bool matters = item->terminal || wait->request->if_none_match.data != NULL;
		if (matters && strcmp(wait->key, item->key) == 0)
			want_look(wait);
	}
	start_looks(waits);
}

void build_waits_missed(struct build_waits *waits)
{
	LIST_FOR_EACH (node, &waits->all)
		want_look(LIST_ITEM(node, struct build_wait, node));
	start_looks(waits);
}

void build_waits_drain(struct build_waits *waits)
{
	LIST_FOR_EACH (node, &waits->all)
		end_soon(LIST_ITEM(node, struct build_wait, node));
	start_looks(waits);
}

struct build_waits *build_waits_new(struct loop *loop)
{
	struct build_waits *waits = xcalloc(1, sizeof(*waits));
	waits->loop = loop;
	waits->hub = loop->streams;
	list_init(&waits->all);
	for (size_t turn = 0; turn < TURNS; turn++)
		list_init(&waits->to_look[turn]);
	for (size_t i = 0; i < STREAM_BUCKETS; i++)
		list_init(&waits->buckets[i]);
	h2o_timeout_init(loop->ctx.loop, &waits->interval, TICK_MS);
	waits->tick.cb = on_tick;
	return waits;
}
