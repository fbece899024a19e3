/* POST /builds/{taskId}/cancel: a wish, durable in Kafka when it is answered with 202. */
#include "api-gateway/builds/accept.h"
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/requests/once.h"
#include "api-gateway/builds/wish.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"

static int send_wish(struct request *request, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer value;
	buffer_init(&value, 1024);
	char time[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(clock_wall_us(), time);
	struct json_writer w;
	json_writer_init(&w, &value);
	json_object_begin(&w, NULL);
	json_string(&w, "build_id", request->param);
	json_string(&w, "requested_by", request->token->id);
	json_string(&w, "requested_at", time);
	audit_write_origin(&w, request);
	json_object_end(&w);
	CHECK(buffer_ok(&value));
	const struct wish wish = {TOPIC_BUILD_REQUESTS, "build.cancel_requested", request->param, value.data, value.len};
	return wish_send(request, &wish, err);
}

static bool answer_accepted(struct request *request, const char *status)
{
	struct json_writer w;
	answer_json(&request->answer, 202, &w);
	json_object_begin(&w, NULL);
	accept_write_links(&w, &request->answer, request->param, status);
	json_object_end(&w);
	return true;
}

static bool answer_ended(struct request *request, const char *status)
{
	char detail[64];
	(void)snprintf(detail, sizeof(detail), "The build has %s.", str_equal(status, "failed") ? "failed" : "completed");
	problem_write(&request->answer, PROBLEM_BUILD_ENDED, request->id, &(struct problem_extras){.build_status = status},
				  detail);
	return true;
}

static bool cancel(struct request *request, const struct build_found *found)
{
	const char *status = build_found_status(found);
	if (str_equal(status, "completed") || str_equal(status, "failed"))
		return answer_ended(request, status);
	bool wished = found->row != NULL && pg_bool(found->row, 0, "cancel_requested");
	if (str_equal(status, "cancelled") || wished)
		return answer_accepted(request, status); /* said before, and durable */
	struct error err = ERROR_INIT;
	if (send_wish(request, &err) < 0) {
		(void)accept_problem(request, err.kind);
		return true;
	}
	return answer_accepted(request, status);
}

/* Without a key it goes on while Postgres is away, for builds that the tail knows; a key can neither be looked for nor
 * kept then. */
bool build_cancel(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(build_found_release) struct build_found found = {0};
	if (handler_no_body(request) < 0)
		return true;
	if (request->idempotency_key.data == NULL)
		return build_lookup_to_wish(request, &db, &found) < 0 || cancel(request, &found);
	struct once once;
	if (once_begin(request, NULL, &db, &once) < 0 || build_lookup(request, &db, &found) < 0)
		return true;
	(void)cancel(request, &found); /* always answers */
	bool sent = request->answer.status == 202;
	if (once_end(request, &db, &once) < 0 && sent)
		(void)problem_answer_unknown(request, "The wish was sent, but its key could not be kept.");
	return true;
}
