/*
 * What a handler on the loop needs and the caches do not have is looked up in Postgres by a worker; then the request is
 * dispatched again. Every kind is looked up at most once per request, so the second time absence is a fact.
 */
#pragma once

#include "api-gateway/requests/request.h"

enum fill_kind {
	FILL_TOKEN = 1,    /* by request->token_hash → request->token */
	FILL_PROJECT = 2,  /* by request->param, id or name → request->project */
	FILL_TEMPLATE = 4, /* by request->template_ref → request->template */
};

/* Loop: the caller must not answer; the request comes back through request_again, or is answered with 503. */
void fill_begin(struct request *request, enum fill_kind kind);
