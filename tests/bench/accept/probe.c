/*
 * kiln-bench-accept-probe: the least that answers a POST after Kafka's acknowledgement: h2o, one loop per core, the
 * body parsed by cJSON, librdkafka with the gateway's settings, one thread for delivery reports. "hello" as second
 * argument: no Kafka and no JSON, h2o alone.
 */
#include <cjson/cJSON.h>
#include <h2o.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <unistd.h>

#include "common/base/listen.h"

struct loop {
	h2o_context_t ctx; /* first */
	h2o_accept_ctx_t accept;
	h2o_multithread_receiver_t receiver;
};

struct op {
	h2o_multithread_message_t message;
	struct loop *loop;
	h2o_req_t *req; /* HTTP/1 keeps it until it is answered */
	int status;
	char id[37];
};

static h2o_globalconf_t config;
static rd_kafka_t *producer; /* NULL: hello */
static const char *topic;
static int listener;

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static int answer(h2o_req_t *req, int status, const char *id)
{
	char body[128];
	int len = snprintf(body, sizeof(body), "{\"task_id\":\"%s\",\"status\":\"pending\"}", id);
	req->res.status = status;
	req->res.reason = "Accepted";
	req->res.content_length = (size_t)len;
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
	h2o_send_inline(req, body, (size_t)len);
	return 0;
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
	(void)handler;
	if (producer == NULL)
		return answer(req, 202, "00000000-0000-4000-8000-000000000000");
	cJSON *tree = cJSON_ParseWithLength(req->entity.base, req->entity.len);
	struct op *op = malloc(sizeof(*op));
	if (tree == NULL || op == NULL)
		die("body", "not JSON");
	*op = (struct op){.loop = (struct loop *)req->conn->ctx, .req = req};
	static _Atomic unsigned count;
	(void)snprintf(op->id, sizeof(op->id), "%08x-0000-4000-8000-000000000000", count++);
	if (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(op->id, 36),
						  RD_KAFKA_V_VALUE(req->entity.base, req->entity.len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
						  RD_KAFKA_V_OPAQUE(op), RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("produce", "the queue is full");
	cJSON_Delete(tree);
	return 0;
}

static void delivered(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
	(void)handle, (void)opaque;
	struct op *op = message->_private;
	op->status = message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? 202 : 503;
	h2o_multithread_send_message(&op->loop->receiver, &op->message);
}

static void on_delivered(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	(void)receiver;
	while (!h2o_linklist_is_empty(messages)) {
		struct op *op = (struct op *)messages->next;
		h2o_linklist_unlink(&op->message.link);
		(void)answer(op->req, op->status, op->id); /* always 0 */
#ifndef __clang_analyzer__                         /* it does not see that what was unlinked is in no list any more */
		free(op);
#endif
	}
}

static void on_accept(h2o_socket_t *sock, const char *err)
{
	h2o_socket_t *accepted;
	while (err == NULL && (accepted = h2o_evloop_socket_accept(sock)) != NULL)
		h2o_accept(&((struct loop *)sock->data)->accept, accepted);
}

static void *run(void *arg)
{
	struct loop *loop = arg;
	h2o_context_init(&loop->ctx, h2o_evloop_create(), &config);
	loop->accept = (h2o_accept_ctx_t){.ctx = &loop->ctx, .hosts = config.hosts};
	h2o_multithread_register_receiver(loop->ctx.queue, &loop->receiver, on_delivered);
	h2o_socket_t *sock = h2o_evloop_socket_create(loop->ctx.loop, dup(listener), H2O_SOCKET_FLAG_DONT_READ);
	sock->data = loop;
	h2o_socket_read_start(sock, on_accept);
	while (h2o_evloop_run(loop->ctx.loop, INT32_MAX) == 0)
		;
	return NULL;
}

static void make_producer(const char *brokers)
{
	/* As kafka_producer_new makes the gateway's, but idempotent: without, this one was no faster. */
	static const char *const names[] = {"acks",        "enable.idempotence",   "linger.ms",
										"partitioner", "socket.nagle.disable", "message.timeout.ms"};
	static const char *const values[] = {"all", "true", "0", "murmur2_random", "true", "900"};
	char why[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	int failed = rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why)) != RD_KAFKA_CONF_OK;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !failed; i++)
		failed = rd_kafka_conf_set(conf, names[i], values[i], why, sizeof(why)) != RD_KAFKA_CONF_OK;
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	if (failed || (producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why))) == NULL)
		die("librdkafka", why);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage", "kiln-bench-accept-probe BROKERS TOPIC|hello PORT");
	if (strcmp(topic = argv[2], "hello") != 0)
		make_producer(argv[1]);
	struct error err;
	if (listen_on("127.0.0.1", argv[3], 0, 1024, &listener, &err) < 0)
		die("listen", err.message);
	h2o_config_init(&config);
	h2o_pathconf_t *path = h2o_config_register_path(
		h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), 65535), "/", 0);
	h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_request;
	pthread_t thread;
	for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++)
		(void)pthread_create(&thread, NULL, run, calloc(1, sizeof(struct loop)));
	(void)!write(STDOUT_FILENO, "ready\n", 6); /* the caller notices */
	for (;;)
		(void)(producer != NULL ? rd_kafka_poll(producer, 1000) : pause());
}
