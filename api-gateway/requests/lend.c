#include "api-gateway/requests/lend.h"

#include "api-gateway/requests/loop.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

static struct metric refused_total = {.kind = METRIC_COUNTER,
									  .name = "kiln_gateway_refused_requests_total",
									  .help = "Requests refused because too many waited for a worker."};

void lend_register_metrics(void)
{
	metric_register(&refused_total);
}

/* What is true of a request that was found there, whatever comes of it. `for_kafka`: which is away. */
static void write_late(const struct request *request, enum stage stage, bool for_kafka, struct answer *answer)
{
	bool reads = strcmp(request->route->method, "GET") == 0;
	if (stage == STAGE_EFFECT) {
		problem_write(answer, PROBLEM_OUTCOME_UNKNOWN, request->id,
					  &(struct problem_extras){.task_id = request->build_id},
					  "The request takes too long; whether it will have an effect is not known.");
	} else if (for_kafka) {
		problem_write(answer, PROBLEM_KAFKA_UNAVAILABLE, request->id, NULL,
					  "Kafka does not answer; nothing was accepted.");
	} else if (stage == STAGE_WAITING && !reads) {
		metric_add(&refused_total, 1);
		problem_write(answer, PROBLEM_OVERLOADED, request->id, NULL, "No worker was free in time.");
	} else {
		problem_write(answer, PROBLEM_DATABASE_UNAVAILABLE, request->id, NULL, "The database did not answer in time.");
	}
}

/* Whoever works on it goes on; the result is dropped when it comes. */
static void give_up(struct request *request, bool for_kafka)
{
	struct answer answer;
	answer_init(&answer);
	write_late(request, stage_give_up(&request->stage), for_kafka, &answer);
	log_warn("request deadline passed", "request_id", request->id, "path", request->route->pattern, NULL);
	request_send_other(request, &answer);
}

static void deadline_passed(h2o_timeout_entry_t *entry)
{
	give_up(CONTAINER_OF(entry, struct request, deadline), false);
}

/* Of a request that sends a record: it may still wait for a worker, and those for Kafka. A Postgres that is slow has as
 * long as with all others. */
static void kafka_deadline_passed(h2o_timeout_entry_t *entry)
{
	struct request *request = CONTAINER_OF(entry, struct request, deadline);
	if (send_limits_stay_away(&request->gateway->sends, atomic_load(&request->sends_to), clock_boot_ms()))
		give_up(request, true);
	else
		request_set_deadline(request, &request->loop->rest_timeout, deadline_passed);
}

static void set_deadline(struct request *request)
{
	struct loop *loop = request->loop;
	bool sends = (request->route->flags & ROUTE_SENDS) != 0;
	if (sends && request->gateway->config->request_timeout_ms > ACCEPT_DEADLINE_MS)
		request_set_deadline(request, &loop->accept_timeout, kafka_deadline_passed);
	else
		request_set_deadline(request, &loop->request_timeout, deadline_passed);
}

void request_lend(struct request *request)
{
	request_detach(request);
	request_ref(request);
	request->lent = true;
	atomic_store(&request->stage, STAGE_WAITING);
	atomic_store(&request->sends_to, NULL);
	if (!h2o_timeout_is_linked(&request->deadline))
		set_deadline(request);
}

int lend_take_effect(struct request *request, struct error *err)
{
	if (stage_take_effect(&request->stage))
		return 0;
	return error_set(err, ERR_CANCELLED, "the request was given up: its deadline has passed");
}

static void refuse(struct request *request)
{
	metric_add(&refused_total, 1);
	(void)problem_answer(request, PROBLEM_OVERLOADED, "Too many requests are waiting.");
}

void request_lend_refused(struct request *request)
{
	request->lent = false;
	refuse(request);
	request_send(request);
	request_unref(request);
}

static void come_back(struct request *request)
{
	if (request->responder != NULL)
		request->responder->begin(request);
	else
		request_send(request);
	request_unref(request);
}

void request_return(struct request *request)
{
	request_post(request, come_back);
}

void request_return_refused(struct request *request)
{
	refuse(request);
	request_return(request);
}
