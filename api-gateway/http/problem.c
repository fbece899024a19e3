#include "api-gateway/http/problem.h"

#include <stdarg.h>

#include "api-gateway/requests/request.h"
#include "common/base/alloc.h"
#include "common/base/ids.h"
#include "common/base/str.h"
#include "common/json/json.h"

#define MAX_TYPES 64
#define RETRY_AFTER_S INT64_C(1)
#define RETRY_AFTER_SPREAD_S 3 /* of 503: what one client meets, all do, and they shall not come back at once */

static const char *const slugs[PROBLEM_COUNT] = {
	[PROBLEM_BAD_REQUEST] = "bad-request",
	[PROBLEM_INVALID_JSON] = "invalid-json",
	[PROBLEM_UNAUTHORIZED] = "unauthorized",
	[PROBLEM_FORBIDDEN] = "forbidden",
	[PROBLEM_NOT_FOUND] = "not-found",
	[PROBLEM_METHOD_NOT_ALLOWED] = "method-not-allowed",
	[PROBLEM_NOT_ACCEPTABLE] = "not-acceptable",
	[PROBLEM_REQUEST_TIMEOUT] = "request-timeout",
	[PROBLEM_PROJECT_EXISTS] = "project-exists",
	[PROBLEM_PROJECT_HAS_ACTIVE_BUILDS] = "project-has-active-builds",
	[PROBLEM_BUILD_ENDED] = "build-ended",
	[PROBLEM_BUILD_NOT_ENDED] = "build-not-ended",
	[PROBLEM_NOT_RETRYABLE] = "build-not-retryable",
	[PROBLEM_WORKER_GONE] = "worker-gone",
	[PROBLEM_PRECONDITION_FAILED] = "precondition-failed",
	[PROBLEM_PAYLOAD_TOO_LARGE] = "payload-too-large",
	[PROBLEM_URI_TOO_LONG] = "uri-too-long",
	[PROBLEM_UNSUPPORTED_MEDIA_TYPE] = "unsupported-media-type",
	[PROBLEM_RANGE_NOT_SATISFIABLE] = "range-not-satisfiable",
	[PROBLEM_EXPECTATION_FAILED] = "expectation-failed",
	[PROBLEM_VALIDATION_FAILED] = "validation-failed",
	[PROBLEM_KEY_REUSED] = "idempotency-key-reused",
	[PROBLEM_PRECONDITION_REQUIRED] = "precondition-required",
	[PROBLEM_TOO_MANY_REQUESTS] = "too-many-requests",
	[PROBLEM_HEADER_TOO_LARGE] = "header-too-large",
	[PROBLEM_INTERNAL] = "internal",
	[PROBLEM_KAFKA_UNAVAILABLE] = "kafka-unavailable",
	[PROBLEM_DATABASE_UNAVAILABLE] = "database-unavailable",
	[PROBLEM_OUTCOME_UNKNOWN] = "outcome-unknown",
	[PROBLEM_UNDECIDABLE] = "undecidable",
	[PROBLEM_OVERLOADED] = "overloaded",
	[PROBLEM_SHUTTING_DOWN] = "shutting-down",
};

static struct problem_type types[MAX_TYPES];
static size_t types_len;
static const struct problem_type *by_problem[PROBLEM_COUNT];

static int read_types(const cJSON *list, struct error *err)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, list)
	{
		const char *slug = json_get_string(item, "slug"), *title = json_get_string(item, "title");
		const char *explanation = json_get_string(item, "explanation");
		int64_t status = json_get_int(item, "status", 0);
		if (slug == NULL || title == NULL || explanation == NULL || status < 400 || status > 599 ||
			types_len == MAX_TYPES)
			return error_set(err, ERR_INTERNAL, "problems.json: bad entry %zu", types_len);
		types[types_len++] = (struct problem_type){xstrdup(slug), (int)status, xstrdup(title), xstrdup(explanation)};
	}
	return 0;
}

int problems_load(const struct schema_file *files, struct error *err)
{
	const struct schema_file *file = files;
	while (file->name != NULL && !str_equal(file->name, "problems.json"))
		file++;
	if (file->name == NULL)
		return error_set(err, ERR_INTERNAL, "problems.json is not embedded");
	CLEANUP(cJSON_Delete_p) cJSON *list = NULL;
	if (json_parse(file->data, file->len, &list, err) < 0 || read_types(list, err) < 0)
		return -1;
	for (size_t i = 0; i < PROBLEM_COUNT; i++) {
		by_problem[i] = problem_type_find(slugs[i]);
		if (by_problem[i] == NULL)
			return error_set(err, ERR_INTERNAL, "problems.json lacks %s", slugs[i]);
	}
	return 0;
}

const struct problem_type *problem_type_find(const char *slug)
{
	for (size_t i = 0; i < types_len; i++) {
		if (str_equal(types[i].slug, slug))
			return &types[i];
	}
	return NULL;
}

static void write_errors(struct json_writer *w, const struct schema_problems *errors)
{
	json_array_begin(w, "errors");
	for (size_t i = 0; i < errors->len; i++) {
		json_object_begin(w, NULL);
		json_string(w, "pointer", errors->items[i].pointer);
		json_string(w, "code", errors->items[i].code);
		json_string(w, "detail", errors->items[i].detail);
		json_object_end(w);
	}
	json_array_end(w);
}

void problem_write(struct answer *answer, enum problem problem, const char *request_id,
				   const struct problem_extras *extras, const char *detail)
{
	const struct problem_type *type = by_problem[problem];
	CHECK(type != NULL);
	answer_clear(answer);
	struct json_writer w;
	answer_json(answer, type->status, &w);
	answer->content_type = "application/problem+json";
	char text[128];
	json_object_begin(&w, NULL);
	(void)snprintf(text, sizeof(text), "/problems/%.100s", type->slug);
	json_string(&w, "type", text);
	json_string(&w, "title", type->title);
	json_int(&w, "status", type->status);
	json_string(&w, "detail", detail);
	(void)snprintf(text, sizeof(text), "urn:kiln:request:%.100s", request_id);
	json_string(&w, "instance", text);
	if (extras != NULL && extras->errors != NULL && extras->errors->len > 0)
		write_errors(&w, extras->errors);
	if (problem == PROBLEM_OUTCOME_UNKNOWN)
		json_string(&w, "outcome", "unknown");
	if (extras != NULL && extras->task_id != NULL && extras->task_id[0] != '\0')
		json_string(&w, "task_id", extras->task_id);
	if (extras != NULL && extras->build_status != NULL)
		json_string(&w, "build_status", extras->build_status);
	json_object_end(&w);
	if (extras != NULL && extras->retry_after_s > 0)
		answer->retry_after_s = extras->retry_after_s;
	else if (type->status == 503)
		answer->retry_after_s = RETRY_AFTER_S + random_below(RETRY_AFTER_SPREAD_S);
	else if (type->status == 429)
		answer->retry_after_s = RETRY_AFTER_S;
}

int problem_answer(struct request *request, enum problem problem, const char *format, ...)
{
	char detail[1024];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(detail, sizeof(detail), format, args); /* a long one is cut */
	va_end(args);
	CLEANUP(buffer_release_p) struct buffer text; /* a character may have been cut in two */
	buffer_init(&text, sizeof(detail) * 3);
	(void)str_append_utf8_lossy(&text, detail, strlen(detail));
	problem_write(&request->answer, problem, request->id, NULL, text.data != NULL ? text.data : "");
	return -1;
}

int problem_answer_errors(struct request *request, enum problem problem, const struct schema_problems *errors)
{
	char detail[128];
	(void)snprintf(detail, sizeof(detail), "%zu%s thing%s wrong with the body; see errors.", errors->len,
				   errors->truncated ? " or more" : "", errors->len == 1 && !errors->truncated ? " is" : "s are");
	problem_write(&request->answer, problem, request->id, &(struct problem_extras){.errors = errors}, detail);
	return -1;
}

int problem_answer_unknown(struct request *request, const char *detail)
{
	problem_write(&request->answer, PROBLEM_OUTCOME_UNKNOWN, request->id,
				  &(struct problem_extras){.task_id = request->build_id}, detail);
	return -1;
}
