/* GET /builds/{taskId}/explain: what keeps the build from starting, whose turn is before, who could run it, and when.
 */
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/builds/explain_read.h"
#include "api-gateway/handlers.h"
#include "api-gateway/callers/scopes.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#define WORKERS_SHOWN 100
#define NO_WORKER_MAX_BYTES 4096

static void write_time(struct json_writer *w, const char *key, int64_t wall_us)
{
	char text[CLOCK_RFC3339_SIZE];
	if (wall_us < 0) {
		json_null(w, key);
		return;
	}
	clock_format_rfc3339(wall_us, text);
	json_string(w, key, text);
}

static void write_head(struct json_writer *w, const char *id, const char *project_id, const char *project_name,
					   const char *status, const char *phase)
{
	json_object_begin(w, NULL);
	json_string(w, "task_id", id);
	json_object_begin(w, "project");
	json_string(w, "id", project_id);
	json_string(w, "name", project_name);
	json_object_end(w);
	json_string(w, "status", status);
	json_string(w, "phase", phase);
}

static void write_blocker_text(struct json_writer *w, const char *code, const char *detail)
{
	json_object_begin(w, NULL);
	json_string(w, "code", code);
	json_string(w, "detail", detail);
	json_object_end(w);
}

static void write_blocker(struct json_writer *w, const char *code, const char *format, ...) PRINTF_LIKE(3, 4);
static void write_blocker(struct json_writer *w, const char *code, const char *format, ...)
{
	char detail[256];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(detail, sizeof(detail), format, args); /* numbers and times: it fits */
	va_end(args);
	write_blocker_text(w, code, detail);
}

/* Of a build that does not wait for a slot. */
static void write_no_queue(struct json_writer *w, int64_t now_us)
{
	json_null(w, "queue");
	json_int(w, "workers_fitting", 0);
	json_array_begin(w, "workers");
	json_array_end(w);
	json_null(w, "estimate");
	write_time(w, "as_of", now_us);
	json_object_end(w);
}

/* Its request is durable, and no row yet. */
static void write_unapplied(struct json_writer *w, struct request *request, const struct build_found *found)
{
	const cJSON *project = json_get(found->request, "project");
	write_head(w, request->param, json_get_string(project, "id"), json_get_string(project, "name"), "pending",
			   "queued");
	json_array_begin(w, "blockers");
	write_blocker(w, "not_applied", "The request is durable; the build service has not applied it yet.");
	if (json_get_bool(found->request, "provisional", false))
		write_blocker(w, "project_provisional", "The project becomes permanent when this request is applied.");
	json_array_end(w);
	write_no_queue(w, clock_wall_us());
}

static void write_settled(struct json_writer *w, const struct explain_snapshot *snapshot)
{
	json_array_begin(w, "blockers");
	if (str_equal(snapshot->phase, "assigned"))
		write_blocker(w, "awaiting_accept", "Worker %s was given the build and has not accepted it yet.",
					  snapshot->worker_id);
	json_array_end(w);
	write_no_queue(w, snapshot->input.now_us);
}

static void count_standings(const struct explain_input *input, size_t fitting, size_t ret_counts[EXPLAIN_BEHIND + 1])
{
	memset(ret_counts, 0, sizeof(*ret_counts) * (EXPLAIN_BEHIND + 1));
	for (size_t i = 0; i < fitting; i++)
		ret_counts[input->workers[i].standing]++;
}

static void write_no_worker(struct json_writer *w, const struct explain_input *input)
{
	CLEANUP(buffer_release_p) struct buffer sentence;
	buffer_init(&sentence, NO_WORKER_MAX_BYTES);
	explain_no_worker(input, &sentence);
	write_blocker_text(w, "no_worker", sentence.data);
}

static void write_blockers(struct json_writer *w, const struct explain_snapshot *snapshot,
						   const struct explanation *found)
{
	const struct explain_input *input = &snapshot->input;
	size_t counts[EXPLAIN_BEHIND + 1];
	count_standings(input, found->fitting, counts);
	json_array_begin(w, "blockers");
	if ((found->blockers & EXPLAIN_NOT_BEFORE) != 0) {
		char text[CLOCK_RFC3339_SIZE];
		clock_format_rfc3339(input->not_before_us, text);
		write_blocker(w, "not_before", "It is tried again, at %s at the earliest.", text);
	}
	if ((found->blockers & EXPLAIN_PROJECT_FULL) != 0)
		write_blocker(w, "project_full", "As many builds of its project run as may: %lld of %d.",
					  (long long)snapshot->concurrency_used, (int)input->limit);
	if ((found->blockers & EXPLAIN_PROJECT_GONE) != 0)
		write_blocker(w, "project_gone", "Its project is gone: the database was restored from an older backup.");
	if ((found->blockers & EXPLAIN_NO_WORKER) != 0)
		write_no_worker(w, input);
	if ((found->blockers & EXPLAIN_WORKERS_AWAY) != 0)
		write_blocker(w, "workers_unavailable",
					  "No worker that could run it takes builds now: %zu draining, %zu lost, %zu silent, %zu behind.",
					  counts[EXPLAIN_DRAINING], counts[EXPLAIN_LOST], counts[EXPLAIN_SILENT], counts[EXPLAIN_BEHIND]);
	if ((found->blockers & EXPLAIN_SLOTS_BUSY) != 0)
		write_blocker(w, "slots_busy", "All slots of the %zu worker%s that could run it now are taken.",
					  counts[EXPLAIN_BUSY], counts[EXPLAIN_BUSY] == 1 ? "" : "s");
	if ((found->blockers & EXPLAIN_BEHIND_OTHERS) != 0)
		write_blocker(w, "behind_others", "The free slots go to builds whose turn is before.");
	json_array_end(w);
}

static void write_labels(struct json_writer *w, const char *class_name)
{
	CLEANUP(strv_free_p) char **parts = strv_split(class_name, ',');
	bool settling = str_equal(class_name, "*");
	json_bool(w, "settling", settling);
	json_string(w, "agent", settling ? NULL : parts[0]);
	json_array_begin(w, "labels");
	for (size_t i = 1; !settling && parts[0] != NULL && parts[i] != NULL; i++)
		json_string(w, NULL, parts[i]);
	json_array_end(w);
}

static void write_queue(struct json_writer *w, const struct explain_snapshot *snapshot, const struct explanation *found)
{
	const struct explain_input *input = &snapshot->input;
	json_object_begin(w, "queue");
	write_labels(w, input->class_name);
	json_bool(w, "parked", input->parked);
	json_int(w, "position", found->position);
	json_string(w, "line", found->in_project_line ? "project" : "workers");
	write_time(w, "queued_at", snapshot->queued_us);
	write_time(w, "not_before", input->not_before_us);
	write_time(w, "deadline", snapshot->deadline_us);
	json_object_end(w);
}

static void write_workers(struct json_writer *w, const struct request *request, const struct explain_input *input,
						  size_t fitting)
{
	bool reads_workers = scopes_cover(request->token->scopes, SCOPE_WORKERS_READ);
	json_int(w, "workers_fitting", (int64_t)fitting);
	json_array_begin(w, "workers");
	for (size_t i = 0; i < fitting && i < WORKERS_SHOWN; i++) {
		const struct explain_worker *worker = &input->workers[i];
		json_object_begin(w, NULL);
		json_string(w, "worker_id", worker->id);
		json_string(w, "hostname", reads_workers ? worker->hostname : NULL);
		json_string(w, "standing", explain_standing_name(worker->standing));
		json_int(w, "slots", worker->slots);
		json_int(w, "slots_free", worker->free);
		json_object_end(w);
	}
	json_array_end(w);
}

static void write_estimate(struct json_writer *w, const struct explain_snapshot *snapshot,
						   const struct explanation *found)
{
	const struct explain_input *input = &snapshot->input;
	char method[256];
	if (found->starts_us < 0) {
		json_null(w, "estimate");
		return;
	}
	if (found->blockers == 0)
		(void)snprintf(method, sizeof(method), "Nothing is in its way: it starts with the next match.");
	else if (found->blockers == EXPLAIN_NOT_BEFORE)
		(void)snprintf(method, sizeof(method), "It is its turn when its time has come.");
	else
		(void)snprintf(
			method, sizeof(method),
			"The builds before it and then it take what gets free in turn, each for %lld ms: so long have builds of "
			"the projects concerned held a slot on average, by the last %lld.",
			(long long)input->mean_ms, (long long)snapshot->durations);
	json_object_begin(w, "estimate");
	write_time(w, "starts_at", found->starts_us);
	json_string(w, "method", method);
	json_object_end(w);
}

static void write_waiting(struct json_writer *w, const struct request *request, struct explain_snapshot *snapshot)
{
	struct explain_input *input = &snapshot->input;
	struct explanation found = explain(input);
	write_blockers(w, snapshot, &found);
	write_queue(w, snapshot, &found);
	write_workers(w, request, input, found.fitting);
	write_estimate(w, snapshot, &found);
	write_time(w, "as_of", input->now_us);
	json_object_end(w);
}

bool build_explain(struct request *request)
{
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(build_found_release) struct build_found found = {0};
	struct json_writer w;
	if (db_take(request, &db) < 0 || build_lookup(request, &db, &found) < 0)
		return true;
	if (found.row == NULL) {
		answer_json(&request->answer, 200, &w);
		write_unapplied(&w, request, &found);
		return true;
	}
	CLEANUP(explain_release) struct explain_snapshot snapshot;
	if (explain_read(request, &db, &snapshot) < 0)
		return true;
	answer_json(&request->answer, 200, &w);
	write_head(&w, request->param, snapshot.project_id, snapshot.project_name, snapshot.status, snapshot.phase);
	if (snapshot.waits)
		write_waiting(&w, request, &snapshot);
	else
		write_settled(&w, &snapshot);
	return true;
}
