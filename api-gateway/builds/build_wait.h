/*
 * Prefer: wait=N (RFC 7240): an answer about a build that waits on its loop, without a thread, until the build has
 * ended; a GET with If-None-Match only until its answer is another than those named. After N seconds, at the drain, and
 * when the client sends no more, the answer is what it would be at that moment without a wait.
 *
 * A GET whose first look fails is answered so at once. A look that fails later (Postgres is away) is made again every
 * second, and ends nothing before the time is over.
 *
 * Nothing is missed for the same reason as with streams (follow.h): the wait is subscribed to the build's events first
 * and looks at the build then, and events are in Postgres before they are in Kafka. A look is what GET does, on a
 * worker; there is one at the beginning, one after each event that matters, when events may have been lost, and at the
 * end.
 *
 * Limits: KILN_MAX_WAIT_S, KILN_MAX_WAITS and KILN_MAX_WAITS_PER_TOKEN. h2o keeps the body of a POST as long as its
 * request, beside which we may have a copy of our own: so the bodies of those that wait have at most WAIT_BODY_BYTES
 * for each wait that is allowed, all of them and a token's, however they share them. A preference that goes beyond
 * these limits is not applied, and Preference-Applied is missing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WAIT_BODY_BYTES (INT64_C(64) * 1024) /* a wait, on average */

struct answer;
struct build_waits;
struct loop;
struct request;
struct stream_item;

/* Makes the 202 of an accepted POST. */
typedef void wait_accepted_fn(struct request *request, struct answer *answer);

void build_waits_register_metrics(void); /* once */

/* On the loop's own thread, once. */
struct build_waits *build_waits_new(struct loop *loop);

/*
 * Loop. Waits for the build if the request asks for it (request->wait_s), and if it may. True: the answer comes later.
 * GET: of the build of the path. A POST gives `accepted`, which makes its 202 anew, when the build request->build_id
 * has not ended in time; else it is answered with the build. Who gets no last look within KILN_REQUEST_TIMEOUT_MS is
 * answered without: a GET with 503.
 */
bool build_wait_begin(struct request *request, wait_accepted_fn *accepted);

/* Loop: something has happened. */
void build_waits_offer(struct build_waits *waits, const struct stream_item *item);
/* Loop: anything may have happened. */
void build_waits_missed(struct build_waits *waits);
/* Loop: all are answered as soon as they can be. */
void build_waits_drain(struct build_waits *waits);
