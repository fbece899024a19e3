/* Builds whose time in the queue is over, and settling builds that have waited too long: the dispatcher's timer. One
 * thread's. */
#pragma once

#include "build-service/build_set.h"
#include "build-service/service.h"
#include "build-service/transitions.h"

struct timeouts {
	struct service *service;
	struct pg_conn *conn;
	struct build_set set;
	struct transition_context context;
};

void timeouts_init(struct timeouts *timeouts, struct service *service, struct pg_conn *conn);
void timeouts_release(struct timeouts *timeouts);
int timeouts_run(struct timeouts *timeouts, struct error *err) MUST_CHECK;
