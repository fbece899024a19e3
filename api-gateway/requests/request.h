/*
 * One request from its parsed head to its answer.
 *
 * Life: made on its loop; held by h2o's pool (until the connection is done with it) and by whoever works on it. Both
 * ends are dropped on the loop, so the count is plain. h2o may destroy its request at any moment on the loop: `h2o` is
 * NULL then, and an answer goes nowhere.
 *
 * Who works on a request owns `answer` and everything else here until it hands the request back to the loop by
 * request_post. Only the loop touches `h2o`, `refs`, `answered`.
 */
#pragma once

#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api-gateway/callers/admission.h"
#include "api-gateway/http/answer.h"
#include "api-gateway/requests/audit.h"
#include "api-gateway/http/client_address.h"
#include "api-gateway/callers/entities.h"
#include "api-gateway/http/field_list.h"
#include "api-gateway/gateway.h"
#include "api-gateway/requests/lookups.h"
#include "api-gateway/http/problem.h"
#include "api-gateway/lists/query.h"
#include "api-gateway/routes.h"
#include "api-gateway/requests/stage.h"
#include "api-gateway/streams/streams.h"
#include "api-gateway/http/traceparent.h"
#include "api-gateway/requests/worker_task.h"
#include "common/base/error.h"
#include "common/http/request_id.h"
#include "common/json/json.h"
#include "common/kafka/bursts.h"

struct loop;
struct keyed_post;
struct request;

/* Who answers a request instead of request_send, when what works on it is done: an event stream, a file's bytes. */
struct responder {
	void (*begin)(struct request *request);   /* loop, once at most */
	void (*release)(struct request *request); /* loop: the request is done with what it has planned */
};

struct request {
	struct gateway *gateway;
	struct loop *loop;
	h2o_req_t *h2o;
	unsigned refs;
	bool answered; /* sent, or given up */

	const struct route *route; /* NULL: none fits */
	bool is_head;
	bool takes_gzip; /* Accept-Encoding, of a GET */
	size_t offer;    /* which of the route's types the client wants */
	char param[64];  /* the {…} of the path, decoded; "" when the route has none */
	char id[REQUEST_ID_MAX + 1];
	char traceparent[TRACEPARENT_SIZE];
	struct client_address client;
	struct audit_note audit;
	struct api_token *token; /* a reference; NULL on public routes */
	uint8_t token_hash[SHA256_SIZE];
	uint8_t answer_key[SHA256_SIZE]; /* derived from the token's text, with an Idempotency-Key (once.h) */
	struct query query;
	int64_t wait_s;               /* Prefer: wait that is or may be applied; 0: none (build_wait.h) */
	bool waited;                  /* it was applied: how long the request took says nothing of us */
	struct admission_share share; /* zero: not counted (rate_limit.h) */
	uint64_t guesser;             /* of a token that is looked up (guesses.h) */

	/* What the caches did not have and a worker looked up in Postgres (fill.h). */
	unsigned filling;          /* the fill_kind under way */
	unsigned filled;           /* bits of fill_kind that were looked up; NULL below then means: there is none */
	struct project *project;   /* a reference */
	struct template *template; /* a reference */
	char template_ref[80];     /* NAME or NAME@VERSION to look up */

	struct keyed_post *keyed; /* of a build with an Idempotency-Key (keyed_post.h); one block of memory, owned */

	/* In h2o's memory at first; request_detach moves them into `copies`. */
	struct slice body, content_type, content_encoding, if_match, if_none_match, idempotency_key, last_event_id;
	struct slice rest, range, if_range; /* of routes with ROUTE_FILE */
	char *copies;

	const struct responder *responder; /* NULL: nobody else */
	struct stream_plan *plan;          /* the answer is a stream (streams.h); NULL: it is `answer` */
	struct download *download;         /* its body is a file (downloads.h); NULL: it is the answer's own */

	int64_t started_us;                    /* clock_boot_us */
	char build_id[UUID_TEXT_SIZE];         /* for the log, and of a build that is being accepted; "" */
	bool lent;                             /* loop: another thread has it (lend.h), which may write build_id */
	_Atomic enum stage stage;              /* while it is lent */
	_Atomic(struct wait_limit *) sends_to; /* as well: where its record goes (send_limits.h); NULL: not known yet */

	void (*again)(struct request *request); /* request_again; dispatch.c */

	/* The hand-over between threads; one at a time. */
	h2o_multithread_message_t message;
	void (*on_loop)(struct request *request);  /* what the loop does with it */
	struct worker_task task;                   /* runs `job` */
	void (*job)(struct request *request);      /* on a worker (workers.h) */
	void (*job_done)(struct request *request); /* on the loop after it; NULL: request_return */
	struct lookup read;                        /* build_reads.h */
	enum error_kind delivery;                  /* the fate of the record that was sent (accept.c) */
	struct list_node acknowledged;             /* as well */

	h2o_timeout_entry_t deadline;

	struct answer answer; /* this and what follows keeps its memory from request to request */
	struct buffer record; /* the value of a build's record, until its report (accept.c) */
	struct {
		struct bursts_op op;
		struct cloudevent event;
		char ce_id[UUID_TEXT_SIZE];
	} sending;                  /* the record's message, as well */
	struct request *next_spare; /* while it waits for the next one */
};

/* Once, before the loops. */
void requests_register_metrics(void);
/* Loop: for a request that h2o gives us. It is linked to h2o's pool. */
struct request *request_new(struct loop *loop, h2o_req_t *h2o);
/* Loop. */
void request_ref(struct request *request);
void request_unref(struct request *request);

/* Who has the request: the build that it is about (an id of UUID_TEXT_SIZE). The loop reads it while a request waits
 * (build_wait.h), so the same id again writes nothing. */
void request_set_build(struct request *request, const char *build_id);

/* Loop, before another thread gets the request: copies what lies in h2o's memory. */
void request_detach(struct request *request);
/* Any thread: gives the request back; the loop calls on_loop(request). */
void request_post(struct request *request, void (*on_loop)(struct request *request));
/* Loop, after something that it needed was looked up: it begins again at the token, unless its client has gone. */
void request_again(struct request *request);
/* Loop: sends request->answer (once; later calls and requests whose client has gone do nothing). */
void request_send(struct request *request);
/* Loop: sends the head of request->answer; h2o_send and `generator` are to bring a body of that length
 * (SIZE_MAX: none is told). */
void request_begin(struct request *request, size_t length, h2o_generator_t *generator);
/* Loop: sends another answer than request->answer, which somebody may still be writing. It is released. */
void request_send_other(struct request *request, struct answer *answer);
/* Loop: sends the head of request->answer and `first`, which must live as long as the process; then the socket is the
 * callback's (NULL: the client has gone), and what h2o held for the request is gone. */
void request_upgrade(struct request *request, h2o_iovec_t first,
					 void (*done)(void *data, h2o_socket_t *sock, size_t size), void *data);
/* Loop, before an answer is written: the client has KILN_WRITE_TIMEOUT_MS to take it. */
void request_watch_writing(struct request *request);
/* Loop: calls `expired` unless the answer was sent before. */
void request_set_deadline(struct request *request, h2o_timeout_t *timeout, h2o_timeout_cb expired);

/* The body as JSON: Content-Type, length, syntax. -1: the problem is in request->answer. */
int request_read_json(struct request *request, bool merge_patch, cJSON **ret_tree) MUST_CHECK;
