#include "api-gateway/requests/fill.h"

#include "api-gateway/callers/caches.h"
#include "api-gateway/callers/rate_limit.h"
#include "api-gateway/requests/workers.h"

static int look_up(struct request *request, struct pg_conn *conn, struct error *err)
{
	struct caches *caches = request->gateway->caches;
	switch (request->filling) {
	case FILL_TOKEN:
		return caches_load_token(caches, conn, request->token_hash, &request->token, err);
	case FILL_PROJECT:
		return caches_load_project(caches, conn, request->param, &request->project, err);
	case FILL_TEMPLATE:
		return caches_load_template(caches, conn, request->template_ref, &request->template, err);
	}
	return error_set(err, ERR_INTERNAL, "unknown fill");
}

static void fill_job(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	struct error err = ERROR_INIT;
	if (db_take(request, &db) < 0)
		return;
	if (look_up(request, db.conn, &err) < 0)
		(void)db_problem(request, &err); /* answered by fill_done */
}

static void fill_done(struct request *request)
{
	if (request->filling == FILL_TOKEN && (request->token != NULL || request->answer.status != 0))
		rate_limit_not_guessed(request);
	if (!request->answered) {
		request->filled |= request->filling;
		if (request->answer.status != 0)
			request_send(request);
		else
			request_again(request);
	}
	request_unref(request);
}

void fill_begin(struct request *request, enum fill_kind kind)
{
	request->filling = kind;
	bool begun = workers_run(request, fill_job, fill_done);
	if (!begun && kind == FILL_TOKEN) /* h2o has the request still */
		rate_limit_not_guessed(request);
}
