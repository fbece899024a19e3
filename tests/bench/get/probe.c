/*
 * kiln-bench-get-probe: the least that answers GET /builds/{id}: h2o, one loop per core, a Postgres connection for each
 * in pipeline mode, the row by its key. "hello" instead of the database's URL: h2o alone.
 */
#include <h2o.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <unistd.h>

#include "common/base/listen.h"

#define ID_LEN 36

struct op {
	struct op *next;
	h2o_req_t *req; /* HTTP/1 keeps it until it is answered */
};

struct loop {
	h2o_context_t ctx; /* first */
	h2o_accept_ctx_t accept;
	PGconn *pg;
	struct op *first, **last; /* in the order of the statements */
};

static const char statement[] =
	"SELECT b.id, b.project_id, b.project_name, b.status, b.phase, b.attempt, b.attempts_used, b.max_attempts, "
	"b.worker_id, r.spec::text, b.result::text, b.created_at, b.started_at, b.finished_at "
	"FROM build_audit b JOIN build_requests r ON r.build_id = b.id WHERE b.id = $1::uuid";

static h2o_globalconf_t config;
static const char *url; /* NULL: hello */
static int listener;

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static void answer(h2o_req_t *req, const char *body, size_t len)
{
	req->res.status = 200;
	req->res.reason = "OK";
	req->res.content_length = len;
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
	h2o_send_inline(req, body, len);
}

static void answer_row(h2o_req_t *req, const PGresult *rows)
{
	size_t room = 512;
	if (PQntuples(rows) != 1)
		die("build", "there is none");
	for (int column = 0; column < PQnfields(rows); column++)
		room += 64 + (size_t)PQgetlength(rows, 0, column);
	char *body = h2o_mem_alloc_pool(&req->pool, room);
	int len = 0;
	for (int column = 0; column < PQnfields(rows); column++)
		len += snprintf(body + len, room - (size_t)len, "%s\"%s\":\"%s\"", column == 0 ? "{" : ",",
						PQfname(rows, column), PQgetvalue(rows, 0, column));
	body[len++] = '}';
	answer(req, body, (size_t)len);
}

static void on_rows(h2o_socket_t *sock, const char *err)
{
	struct loop *loop = sock->data;
	if (err != NULL || PQconsumeInput(loop->pg) == 0)
		die("postgres", PQerrorMessage(loop->pg));
	while (loop->first != NULL && PQisBusy(loop->pg) == 0) {
		PGresult *rows = PQgetResult(loop->pg);
		if (rows != NULL && PQresultStatus(rows) == PGRES_TUPLES_OK) {
			struct op *op = loop->first;
			loop->first = op->next;
			if (loop->first == NULL)
				loop->last = &loop->first;
			answer_row(op->req, rows);
			free(op);
		} else if (rows != NULL && PQresultStatus(rows) != PGRES_PIPELINE_SYNC) {
			die("postgres", PQresultErrorMessage(rows));
		}
		PQclear(rows);
	}
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
	(void)handler;
	if (url == NULL) {
		answer(req, H2O_STRLIT("hello"));
		return 0;
	}
	struct loop *loop = (struct loop *)req->conn->ctx;
	struct op *op = malloc(sizeof(*op));
	char id[ID_LEN + 1];
	if (op == NULL || req->path.len < ID_LEN)
		die("path", "without an id");
	(void)snprintf(id, sizeof(id), "%.*s", ID_LEN, req->path.base + req->path.len - ID_LEN);
	*op = (struct op){.req = req};
	*loop->last = op;
	loop->last = &op->next;
	if (PQsendQueryPrepared(loop->pg, "get", 1, (const char *const[]){id}, NULL, NULL, 0) == 0 ||
		PQpipelineSync(loop->pg) == 0 || PQflush(loop->pg) != 0)
		die("postgres", PQerrorMessage(loop->pg));
	return 0;
}

static void open_postgres(struct loop *loop)
{
	loop->last = &loop->first;
	loop->pg = PQconnectdb(url);
	PGresult *prepared = PQprepare(loop->pg, "get", statement, 1, NULL);
	if (PQresultStatus(prepared) != PGRES_COMMAND_OK || PQenterPipelineMode(loop->pg) == 0 ||
		PQsetnonblocking(loop->pg, 1) != 0)
		die("postgres", PQerrorMessage(loop->pg));
	PQclear(prepared);
	h2o_socket_t *sock = h2o_evloop_socket_create(loop->ctx.loop, PQsocket(loop->pg), H2O_SOCKET_FLAG_DONT_READ);
	sock->data = loop;
	h2o_socket_read_start(sock, on_rows);
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
	if (url != NULL)
		open_postgres(loop);
	h2o_socket_t *sock = h2o_evloop_socket_create(loop->ctx.loop, dup(listener), H2O_SOCKET_FLAG_DONT_READ);
	sock->data = loop;
	h2o_socket_read_start(sock, on_accept);
	while (h2o_evloop_run(loop->ctx.loop, INT32_MAX) == 0)
		;
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		die("usage", "kiln-bench-get-probe POSTGRES-URL|hello PORT");
	url = strcmp(argv[1], "hello") != 0 ? argv[1] : NULL;
	struct error err;
	if (listen_on("127.0.0.1", argv[2], 0, 1024, &listener, &err) < 0)
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
		(void)pause();
}
