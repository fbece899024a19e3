#include "build-service/results.h"

#include <string.h>

#include "build-service/fields.h"
#include "build-service/result.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"

#define SHA_MAX (SHA_TEXT_SIZE - 1)
#define BRANCH_MAX (BRANCH_TEXT_SIZE - 1)
#define SANDBOX_MAX 64
#define CONTINUED_MAX 16
/* A terminal event holds the result, the metadata and a little more, and has to fit into one message. */
#define RESULT_MAX_BYTES ((size_t)KAFKA_MAX_MESSAGE_BYTES - (size_t)1536 * 1024)
#define CANONICAL_MAX_BYTES ((size_t)32 * 1024 * 1024)

void report_release(struct report *report)
{
	cJSON_Delete(report->data);
	report->data = NULL;
}

static bool is_sha_or_null(const char *text)
{
	return text == NULL || str_is_sha(text, strlen(text));
}

static int read_phase(const cJSON *data, struct occurrence *occurrence, struct error *err)
{
	occurrence->what = HAPPENED_PHASE;
	if (build_phase_parse(json_get_string(data, "phase"), &occurrence->phase.phase) < 0 ||
		occurrence->phase.phase < PHASE_PREPARING)
		return error_set(err, ERR_INVALID, "phase: unknown");
	if (field_optional_text(data, "base_sha", SHA_MAX, &occurrence->phase.base_sha, err) < 0 ||
		field_optional_text(data, "branch", BRANCH_MAX, &occurrence->phase.branch, err) < 0 ||
		field_optional_text(data, "sandbox", SANDBOX_MAX, &occurrence->phase.sandbox, err) < 0 ||
		field_optional_text(data, "continued", CONTINUED_MAX, &occurrence->phase.continued, err) < 0 ||
		field_optional_text(data, "commit_sha", SHA_MAX, &occurrence->phase.commit_sha, err) < 0)
		return -1;
	if (occurrence->phase.continued != NULL && !str_equal(occurrence->phase.continued, "resumed") &&
		!str_equal(occurrence->phase.continued, "context"))
		return error_set(err, ERR_INVALID, "continued: neither resumed nor context");
	if (!is_sha_or_null(occurrence->phase.base_sha) || !is_sha_or_null(occurrence->phase.commit_sha))
		return error_set(err, ERR_INVALID, "base_sha or commit_sha: not an object name");
	if (occurrence->phase.phase == PHASE_PUSHING && occurrence->phase.commit_sha == NULL)
		return error_set(err, ERR_INVALID, "pushing without commit_sha");
	return 0;
}

static int read_outcome(const char *text, enum outcome *ret_outcome)
{
	static const char *const names[] = {"completed", "failed", "cancelled"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_equal(text, names[i])) {
			*ret_outcome = (enum outcome)i;
			return 0;
		}
	}
	return -1;
}

/* NULL when it is not a result. */
static const char *canonical_result(const cJSON *data, const struct schema_set *schemas, struct arena *arena)
{
	cJSON *result = cJSON_GetObjectItemCaseSensitive(data, "result");
	if (!cJSON_IsObject(result))
		return NULL;
	const struct schema *schema = schemas == NULL ? NULL : schema_find(schemas, "build-result.json");
	if (schema != NULL) {
		struct schema_problems *problems = arena_alloc(arena, sizeof(*problems));
		bool valid = schema_validate(schema, result, problems);
		schema_problems_release(problems);
		if (!valid)
			return NULL;
	}
	struct buffer buf;
	buffer_init(&buf, CANONICAL_MAX_BYTES);
	int written = json_canonical(&buf, result);
	if (written == 0 && buf.len > RESULT_MAX_BYTES) {
		(void)cJSON_ReplaceItemInObjectCaseSensitive(result, "output", cJSON_CreateString("")); /* is there */
		(void)cJSON_ReplaceItemInObjectCaseSensitive(result, "files_changed", cJSON_CreateArray());
		buffer_clear(&buf);
		written = json_canonical(&buf, result);
	}
	const char *text = NULL;
	if (written == 0 && buf.len <= RESULT_MAX_BYTES)
		text = arena_strndup(arena, buf.data, buf.len);
	buffer_release(&buf);
	return text;
}

static void read_finish(struct report *report, const struct schema_set *schemas, struct arena *arena)
{
	const cJSON *data = report->data;
	struct occurrence *occurrence = &report->occurrence;
	occurrence->what = HAPPENED_FINISH;
	const char *result = canonical_result(data, schemas, arena);
	enum outcome outcome;
	if (result == NULL || read_outcome(json_get_string(data, "outcome"), &outcome) < 0) {
		/* The processes are gone and nothing better will come. What was pushed is for settling to find: that it was,
		 * by this result, would say of no commit which. */
		occurrence->finish.outcome = OUTCOME_FAILED;
		occurrence->finish.error_class = "internal";
		occurrence->finish.error_message = "the worker's result is not valid";
		return;
	}
	occurrence->finish.outcome = outcome;
	occurrence->finish.published = json_get_bool(data, "published", false);
	occurrence->finish.closed = json_get_bool(data, "closed", false);
	occurrence->finish.retryable = json_get_bool(data, "retryable", false);
	occurrence->finish.result = result;
	const cJSON *parsed = json_get(data, "result");
	if (occurrence->finish.published && is_sha_or_null(json_get_string(parsed, "commit_sha")))
		report->commit_sha = json_get_string(parsed, "commit_sha");
	if (outcome == OUTCOME_COMPLETED)
		return;
	const cJSON *error = json_get(parsed, "error");
	occurrence->finish.error_class = arena_strdup(arena, json_get_string(error, "class"));
	occurrence->finish.error_message = arena_strdup(arena, json_get_string(error, "message"));
	if (occurrence->finish.error_class == NULL || occurrence->finish.error_message == NULL) {
		occurrence->finish.error_class = outcome == OUTCOME_CANCELLED ? "cancelled" : "internal";
		occurrence->finish.error_message = "the worker gave no reason";
		occurrence->finish.result = NULL; /* made from these */
	}
}

int report_read(const char *ce_id, const char *type, const char *text, size_t len, const struct schema_set *schemas,
				struct arena *arena, struct report *ret_report, struct error *err)
{
	struct report report = {.kind = REPORT_OTHER, .ce_id = ce_id, .type = type, .text = text};
	if (str_equal(type, "attempt.accepted"))
		report.kind = REPORT_ACCEPTED;
	else if (str_equal(type, "attempt.phase"))
		report.kind = REPORT_PHASE;
	else if (str_equal(type, "attempt.finished"))
		report.kind = REPORT_FINISHED;
	if (report.kind == REPORT_OTHER) {
		*ret_report = report;
		return 0;
	}
	if (json_parse(text, len, &report.data, err) < 0)
		return -1;
	report.occurrence.what = HAPPENED_ACCEPT;
	if (fencing_token_read(report.data, &report.occurrence.token, err) < 0 ||
		field_addressee(report.data, &report.from, err) < 0 ||
		(report.kind == REPORT_PHASE && read_phase(report.data, &report.occurrence, err) < 0)) {
		report_release(&report);
		return -1;
	}
	if (report.kind == REPORT_FINISHED)
		read_finish(&report, schemas, arena);
	*ret_report = report;
	return 0;
}

enum applied report_apply(const struct transition_context *context, const struct report *report, struct build *build,
						  struct command_list *commands)
{
	struct occurrence occurrence = report->occurrence;
	if (report->kind == REPORT_FINISHED && occurrence.finish.result == NULL)
		occurrence.finish.result =
			result_made(context->trail->arena, build, occurrence.finish.error_class, occurrence.finish.error_message);
	enum applied applied = transition_apply(context, build, &occurrence);
	/* Whatever came of it, the worker need not keep the result any longer. */
	if (report->kind == REPORT_FINISHED)
		command_list_add(commands, &(struct command){.kind = COMMAND_RELEASED,
													 .to = report->from,
													 .token = occurrence.token,
													 .last = build_ended(build)});
	return applied;
}

bool report_tells_late_push(const struct report *report, enum applied applied, const struct build *build)
{
	return applied == APPLIED_STALE && report->kind == REPORT_PHASE &&
		   report->occurrence.phase.phase == PHASE_PUSHING && !build_ended(build);
}

bool report_may_be_late(const struct report *report, enum applied applied, const struct build *build)
{
	return applied == APPLIED_STALE && report->commit_sha != NULL && build_ended(build);
}
