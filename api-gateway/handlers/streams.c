/* Event streams: who may have them, and from where. What they do then is api-gateway/streams/stream.c. */
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "api-gateway/streams/sse.h"
#include "api-gateway/streams/stream_read.h"

static bool has_last_id(const struct request *request)
{
	return request->last_event_id.data != NULL && request->last_event_id.len > 0;
}

/* A client that comes again sends the URL that it began with and the id that it got last: the id knows better. */
static int find_after(struct request *request, enum cursor_kind cursor, int64_t *ret_after)
{
	if (page_sequence(request, cursor, ret_after) < 0)
		return -1;
	struct error err = ERROR_INIT;
	if (has_last_id(request) &&
		sse_read_sequence(request->last_event_id.data, request->last_event_id.len, ret_after, &err) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
	return 0;
}

/* An EventSource comes again for ever, unless it gets 204 (HTML, section 9.2.3). */
static void answer_whole(struct request *request, const struct stream_read *read)
{
	stream_head(&request->answer);
	if (read->bytes.len == 0)
		answer_empty(&request->answer, 204);
	else
		(void)buffer_append(&request->answer.body, read->bytes.data, read->bytes.len); /* request_send: buffer_ok */
}

/* True: request->answer is made. */
static bool answer_ended(struct request *request, struct db *db, const struct stream_plan *plan)
{
	struct stream_read read;
	struct error err = ERROR_INIT;
	stream_read_init(&read, plan->kind, plan->key, plan->after);
	bool answered = true;
	if (stream_read_run(&read, request->gateway, db->conn, &err) < 0)
		(void)db_problem(request, &err);
	else if (read.complete)
		answer_whole(request, &read);
	else
		answered = false;
	stream_read_release(&read);
	return answered;
}

bool build_stream(struct request *request, enum stream_kind kind, enum cursor_kind cursor)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(build_found_release) struct build_found found = {0};
	struct stream_plan plan = {.kind = kind};
	if (find_after(request, cursor, &plan.after) < 0 || build_lookup_taking(request, &db, &found) < 0)
		return true;
	memcpy(plan.key, request->param, sizeof(plan.key)); /* a UUID: it was found */
	if (!build_found_ended(&found) || !answer_ended(request, &db, &plan))
		stream_plan(request, &plan);
	return true;
}

static int find_place(struct request *request, struct stream_plan *plan)
{
	struct error err = ERROR_INIT;
	plan->has_place = has_last_id(request);
	if (plan->has_place &&
		feed_place_read(request->last_event_id.data, request->last_event_id.len, &plan->place, &err) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
	return 0;
}

bool project_events(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(project_unref_p) struct project *project = NULL;
	struct stream_plan plan = {.kind = STREAM_PROJECT};
	if (find_place(request, &plan) < 0 || db_take(request, &db) < 0 ||
		handler_project(request, &db, false, &project) < 0)
		return true;
	memcpy(plan.key, project->id, sizeof(plan.key));
	stream_plan(request, &plan);
	return true;
}

bool all_events(struct request *request)
{
	struct stream_plan plan = {.kind = STREAM_ALL};
	if (handler_all_projects(request) < 0 || find_place(request, &plan) < 0)
		return true;
	stream_plan(request, &plan);
	stream_begin(request);
	return false;
}
