/* What the files of the proxy know of each other. Everything here runs on the proxy's thread but where proxy.h says
 * otherwise. */
#pragma once

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/list.h"
#include "common/base/wakeup.h"
#include "common/http/chunks.h"
#include "executor/proxy/json_scan.h"
#include "executor/proxy/model_usage.h"
#include "executor/proxy/proxy.h"
#include "executor/proxy/reach.h"
#include "executor/proxy/request_head.h"

#define MODEL_PROXY_CONNECTIONS 32
#define MODEL_PROXY_TUNNELS 64 /* besides the connections */
#define MODEL_PROXY_TOKEN_SIZE 64
#define MODEL_PROXY_LINE_BYTES ((size_t)1024) /* the longest access line */

struct model_proxy {
	struct model_proxy_options options;
	char token[MODEL_PROXY_TOKEN_SIZE];
	char authorization[2 * MODEL_PROXY_TOKEN_SIZE]; /* "Basic …": a proxy's user and password, of a CONNECT */
	int listen_fd, port;
	pthread_t thread;
	bool started;

	/* The thread's. */
	CURLM *multi;
	struct list_node connections; /* struct connection */
	size_t connections_len;
	struct list_node tunnels; /* struct tunnel */
	size_t tunnels_len;
	struct model_meter meter;
	char *last_key;
	int64_t accept_ms; /* nobody is accepted before */

	_Atomic int64_t active_ms;

	pthread_mutex_t mutex; /* for what follows */
	bool stopping;
	struct buffer lines;
	struct model_meter told; /* a copy of meter */
	char *new_key;
	struct wakeup wakeup;
};

/* A connection of the agent's, with at most one request under way. */
struct connection {
	struct list_node node;
	struct model_proxy *proxy;
	int fd; /* -1: a tunnel's now */
	struct buffer in, out;
	size_t head_seen; /* bytes of `in` that were no whole head yet */
	struct call *call;
	bool keep_alive;
	bool dead;      /* nobody is there any more: ends as soon as nothing calls into it */
	bool finishing; /* nothing more is read; ends when `out` is written */
	bool lingering; /* it is written and said so; what still comes is thrown away */
	int64_t due_ms;
};

/* One request of the agent's, and the one that it becomes. */
struct call {
	struct connection *connection;
	const struct model_route *route; /* NULL: none that is let through */
	char what[128];                  /* "POST /v1/messages" */
	bool is_head;
	int64_t started_us, first_byte_us;

	/* The request's body. */
	int64_t body_left; /* -1: chunked */
	struct phr_chunked_decoder decoder;
	bool body_done;
	int64_t request_bytes;
	struct json_scan scan;
	struct reach_reader reach;
	struct buffer body; /* decoded, for libcurl to take */

	/* Refused, or failed before an answer came: what is answered here. 0 = not. */
	int refusal_status;
	char refusal[384];

	/* The request upstream. */
	CURL *easy;
	struct curl_slist *headers;
	char *url, *key;
	bool upload_paused, answer_paused;
	bool given; /* libcurl has taken the last byte of the body */
	bool upstream_ended;
	char curl_message[CURL_ERROR_SIZE];

	/* Its answer. */
	int status;
	struct buffer head;     /* header lines for the agent */
	int64_t content_length; /* -1: not said */
	char content_type[64];
	bool head_sent;
	struct usage_reader usage;
	char *held; /* bytes that may be the beginning of the key */
	size_t held_len;

	bool admitted; /* by the meter: to be settled */
	bool ended;    /* logged and settled */
};

/* ---- call.c: a request from its head to the access line */

/* Never NULL: a request that is not let through becomes one that is refused when its body has been read. */
struct call *call_new(struct connection *connection, const struct request_head *head);
void call_free(struct call *call); /* accepts NULL; cuts what is under way */
bool call_wants_body(const struct call *call);
/* Takes what belongs to the body off the front of `in`. */
void call_take_body(struct call *call, struct buffer *in);
/* Answers here instead of upstream. The first reason stays. */
void call_refuse(struct call *call, int status, const char *format, ...) PRINTF_LIKE(3, 4);
/* The model's counts, and the line in the build's log; once. `cut`: why the answer is not whole, NULL = it is. */
void call_end(struct call *call, const char *cut);
/* Does what can be done now. True when the request is over and answered, or its connection is to end. */
bool call_is_over(struct call *call);

/* ---- upstream.c: libcurl's side of it */

void upstream_start(struct call *call, const struct request_head *head);
/* There is more of the body, or all of it; or room for more of the answer. */
void upstream_wake(struct call *call);
/* libcurl is done with it. */
void upstream_done(struct call *call, CURLcode code);
/* Takes it back from libcurl. */
void upstream_cut(struct call *call);

/* ---- connection.c: the agent's side of it */

void connection_new(struct model_proxy *proxy, int fd);
void connection_free(struct connection *connection);
/* What is to be polled for; 0 = nothing. */
short connection_events(const struct connection *connection);
void connection_ready(struct connection *connection, short events);
/* After every turn: what has become possible, and what is overdue. False: it is over, and freed. */
bool connection_tend(struct connection *connection, int64_t now_ms);
/* Room for an answer's bytes. */
bool connection_has_room(const struct connection *connection);
/* Writes what it can of `out`. */
void connection_write(struct connection *connection);
void connection_answer(struct connection *connection, int status, const char *message, bool head_only);
void connection_due_in(struct connection *connection, int64_t ms);

/* ---- tunnel.c: CONNECT */

struct tunnel; /* its `node` comes first */

/* Refuses, or takes the connection's descriptor and what was read behind the head, which leaves the connection dead. */
void tunnel_take(struct connection *connection, const struct request_head *head, size_t head_size);
/* After every turn, as connection_tend. */
bool tunnel_tend(struct tunnel *tunnel, int64_t now_ms);
int64_t tunnel_due_ms(const struct tunnel *tunnel);
#define TUNNEL_FDS 2
/* What is to be polled for; how many. */
size_t tunnel_fds(const struct tunnel *tunnel, struct pollfd fds[TUNNEL_FDS]);
/* One of them was ready: tunnel_tend sees to it. */
void tunnel_ready(struct tunnel *tunnel);
/* `cut`: why it has not come to its own end, NULL = it has. */
void tunnel_free(struct tunnel *tunnel, const char *cut);

/* ---- proxy.c */

/* The meter has changed, and this is the line of the call that changed it (without its newline; whatever is no
 * printable ASCII becomes a question mark). */
void proxy_tell(struct model_proxy *proxy, const char *line);
void proxy_tell_key(struct model_proxy *proxy, const char *key);
/* A call goes on. */
void proxy_is_active(struct model_proxy *proxy);
/* Too many lines wait to be taken: no new requests. */
bool proxy_is_held_up(struct model_proxy *proxy);

/* The memory of a buffer that holds nothing now. */
static inline void give_back(struct buffer *buffer)
{
	size_t max = buffer->max;
	if (buffer->len > 0)
		return;
	buffer_release(buffer);
	buffer_init(buffer, max);
}
