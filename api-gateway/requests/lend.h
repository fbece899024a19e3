/*
 * A request while another thread works on it: a worker (workers.h) or a look-up (build_reads.h). It is answered within
 * KILN_REQUEST_TIMEOUT_MS in any case, and one that sends a record (ROUTE_SENDS) within 2 s while Kafka does not answer;
 * what comes of it later is dropped. The answer of its deadline is true of all that comes later, too (stage.h): that
 * nothing was done, or outcome-unknown with the build that it may have started.
 */
#pragma once

#include "api-gateway/requests/request.h"

/* Once, before the loops. */
void lend_register_metrics(void);

/* Loop: before the other thread gets it. Copies what lies in h2o's memory, takes a reference, and sets the deadline:
 * one for all that a request needs of other threads. */
void request_lend(struct request *request);
/*
 * Worker, before each commit and each record: from here on the request may have an effect, and request->build_id, which
 * its deadline tells, stays as it is. -1, ERR_CANCELLED: the deadline has said that nothing was done.
 */
int lend_take_effect(struct request *request, struct error *err) MUST_CHECK;
/* Loop: nobody could take it. 503; the reference goes. */
void request_lend_refused(struct request *request);
/* Any thread that works on it: it would have to go on to somebody who cannot take it. 503 by the loop. */
void request_return_refused(struct request *request);
/* Any thread that works on it: the loop sends the answer, or has its responder begin, and drops the reference. */
void request_return(struct request *request);
