#include "build-service/requests.h"

#include <stdlib.h>
#include <string.h>

#include "build-service/counters.h"
#include "build-service/fields.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/kafka/topics.h"
#include "common/model/metadata.h"

#define NIL_UUID "00000000-0000-0000-0000-000000000000"
#define CLASS_MAX_BYTES 4096
/* It is a part of attempt.assign, which has to fit into one message. */
#define REQUEST_MAX_BYTES ((size_t)KAFKA_MAX_MESSAGE_BYTES - (size_t)512 * 1024)

static const char too_large[] = "the request is too large to be handed to a worker";

void request_release(struct request *request)
{
	cJSON_Delete(request->data);
	request->data = NULL;
}

static const char *first_problem(const struct schema *schema, const cJSON *data, struct arena *arena)
{
	struct schema_problems *problems = calloc(1, sizeof(*problems));
	CHECK(problems != NULL);
	const char *text = NULL;
	if (!schema_validate(schema, data, problems)) {
		const struct schema_problem *first = &problems->items[0];
		text = arena_printf(arena, "the request is not valid: %s: %s", first->pointer, first->detail);
	}
	schema_problems_release(problems);
	free(problems);
	return text;
}

/* What this service itself relies on, whatever the schema says. */
static const char *unusable(const cJSON *data)
{
	const cJSON *spec = json_get(data, "spec");
	const char *name = json_get_string(json_get(data, "project"), "name");
	if (name == NULL || !str_is_name(name, strlen(name)))
		return "the request is not valid: /project/name";
	if (!cJSON_IsObject(spec) || json_get_string(json_get(spec, "agent"), "provider") == NULL)
		return "the request is not valid: /spec/agent/provider";
	if (!cJSON_IsArray(json_get(spec, "labels")))
		return "the request is not valid: /spec/labels";
	if (!cJSON_IsObject(json_get(spec, "metadata")))
		return "the request is not valid: /spec/metadata";
	if (!cJSON_IsObject(json_get(data, "git")))
		return "the request is not valid: /git";
	return NULL;
}

/* The data's word counts, then the key's. */
static int read_build_id(const struct request *request, char ret[UUID_TEXT_SIZE], struct error *err)
{
	struct error ignored = ERROR_INIT;
	if (field_uuid(request->data, "build_id", ret, &ignored) == 0)
		return 0;
	const char *key = request->record->key;
	if (!uuid_is_valid(key, strlen(key)))
		return error_set(err, ERR_INVALID, "neither the data nor the key names a build");
	memcpy(ret, key, UUID_TEXT_SIZE);
	return 0;
}

static void read_build(struct request *request, const struct schema_set *schemas, struct arena *arena)
{
	const cJSON *data = request->data;
	struct error ignored = ERROR_INIT;
	if (field_uuid(json_get(data, "project"), "id", request->project_id, &ignored) < 0) {
		request->project_id[0] = '\0';
		request->refusal = "the request is not valid: /project/id";
		return;
	}
	const struct schema *schema = schemas == NULL ? NULL : schema_find(schemas, "events/build.requested.json");
	if (schema != NULL)
		request->refusal = first_problem(schema, data, arena);
	if (request->refusal == NULL)
		request->refusal = unusable(data);
	if (request->record->data_len > REQUEST_MAX_BYTES)
		request->refusal = too_large;
}

bool request_continues(const struct request *request)
{
	return json_get_string(json_get(request->data, "spec"), "continue_from") != NULL;
}

int request_read(const struct inbox_record *record, const struct schema_set *schemas, struct arena *arena,
				 struct request *ret_request, struct error *err)
{
	struct request request = {.kind = REQUEST_OTHER, .record = record};
	if (!record->legible)
		return error_set(err, ERR_INVALID, "the record has no CloudEvents headers");
	if (str_equal(record->event.type, "build.requested"))
		request.kind = REQUEST_BUILD;
	else if (str_equal(record->event.type, "build.cancel_requested"))
		request.kind = REQUEST_CANCEL;
	if (request.kind == REQUEST_OTHER) {
		*ret_request = request;
		return 0;
	}
	struct error parse_error = ERROR_INIT;
	bool legible = json_parse(record->data, record->data_len, &request.data, &parse_error) == 0;
	if (read_build_id(&request, request.build_id, err) < 0) {
		request_release(&request);
		return -1;
	}
	if (request.kind == REQUEST_BUILD) {
		if (legible)
			read_build(&request, schemas, arena);
		else
			request.refusal = arena_printf(arena, "the request is not legible: %s", parse_error.message);
	}
	*ret_request = request;
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "command,gpu,linux": the agent, then the sorted labels. */
static const char *class_of(struct arena *arena, const cJSON *spec)
{
	const cJSON *labels = json_get(spec, "labels");
	size_t count = (size_t)cJSON_GetArraySize(labels);
	const char **sorted = arena_alloc(arena, (count + 1) * sizeof(*sorted));
	size_t len = 0;
	const cJSON *label;
	cJSON_ArrayForEach(label, labels)
	{
		if (cJSON_IsString(label) && strchr(label->valuestring, ',') == NULL)
			sorted[len++] = label->valuestring;
	}
	qsort(sorted, len, sizeof(*sorted), compare_texts);
	struct buffer class_name;
	buffer_init(&class_name, CLASS_MAX_BYTES);
	(void)buffer_append_str(&class_name, json_get_string(json_get(spec, "agent"), "provider")); /* looked at below */
	for (size_t i = 0; i < len; i++)
		(void)buffer_appendf(&class_name, ",%s", sorted[i]);
	const char *text = buffer_ok(&class_name) ? arena_strndup(arena, class_name.data, class_name.len) : NULL;
	buffer_release(&class_name);
	return text;
}

static const char *canonical_metadata(struct arena *arena, const cJSON *metadata)
{
	struct buffer text;
	buffer_init(&text, METADATA_MAX_BYTES); /* who has more is refused by the schema */
	const char *copy = "{}";
	if (cJSON_IsObject(metadata) && json_canonical(&text, metadata) == 0)
		copy = arena_strndup(arena, text.data, text.len);
	buffer_release(&text);
	return copy;
}

/* NULL for NULL. */
static const char *json_copy(struct arena *arena, const cJSON *tree)
{
	if (tree == NULL)
		return NULL;
	struct buffer text;
	struct json_writer w;
	buffer_init(&text, (size_t)4 * KAFKA_MAX_MESSAGE_BYTES); /* it came in a message; numbers and escapes may grow */
	json_writer_init(&w, &text);
	json_tree(&w, NULL, tree);
	const char *copy = buffer_ok(&text) ? arena_strndup(arena, text.data, text.len) : NULL;
	buffer_release(&text);
	return copy;
}

static bool only_strings(const cJSON *object)
{
	const cJSON *member;
	cJSON_ArrayForEach(member, object)
	{
		if (!cJSON_IsString(member))
			return false;
	}
	return cJSON_IsObject(object);
}

static void set_time(struct build *build, const struct request *request)
{
	const char *requested_at = json_get_string(request->data, "requested_at");
	int64_t wall_us = request->record->append_ms * 1000;
	if (requested_at != NULL)
		(void)clock_parse_rfc3339(requested_at, strlen(requested_at), &wall_us); /* otherwise the broker's time stays */
	char text[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(wall_us, text);
	memcpy(build->created_at, text, sizeof(text));
}

static int32_t clamped(const cJSON *spec, const char *key, int32_t min, int32_t max, int32_t fallback)
{
	int64_t value = json_get_int(spec, key, fallback);
	return value < min || value > max ? fallback : (int32_t)value;
}

static void copy_uuid(const cJSON *data, const char *key, char ret[UUID_TEXT_SIZE])
{
	struct error ignored = ERROR_INIT;
	if (field_uuid(data, key, ret, &ignored) < 0)
		ret[0] = '\0';
}

/* Everything but the life of a new build; what is not legible gets a stand-in, for the build will be refused. */
static void fill(struct arena *arena, const struct request *request, struct build *build)
{
	const cJSON *data = request->data;
	const cJSON *spec = json_get(data, "spec");
	const char *project_id = request->project_id[0] == '\0' ? NIL_UUID : request->project_id;
	memcpy(build->project_id, project_id, UUID_TEXT_SIZE);
	const char *name = json_get_string(json_get(data, "project"), "name");
	bool named = name != NULL && str_is_name(name, strlen(name));
	if (!named)
		name = "unknown";
	memcpy(build->project_name, name, strlen(name) + 1); /* a name has 63 bytes at most */
	copy_uuid(data, "owner", build->owner);
	copy_uuid(data, "retry_of", build->retry_of);
	build->max_attempts = clamped(spec, "max_attempts", 1, 100, 3);
	build->priority = clamped(spec, "priority", 0, 9, 5);
	build->queue_timeout_s = clamped(spec, "queue_timeout_s", 1, 31536000, 86400);
	build->class_name = request->refusal == NULL ? class_of(arena, spec) : NULL;
	if (build->class_name == NULL)
		build->class_name = "";
	const cJSON *metadata = json_get(spec, "metadata");
	build->metadata = only_strings(metadata) ? canonical_metadata(arena, metadata) : "{}";
	build->traceparent = request->record->event.traceparent[0] == '\0' ? NULL : request->record->event.traceparent;
	build->spec = json_copy(arena, spec);
	build->git = json_copy(arena, json_get(data, "git"));
	build->callback_url = json_get_string(spec, "callback_url");
	build->template = json_get_string(spec, "template");
	build->asked_branch = json_get_string(spec, "branch");
	build->continues = request_continues(request);
	build->origin = json_copy(arena, json_get(data, "origin"));
	const char *hash = json_get_string(data, "request_hash");
	build->request_hash_hex = hash != NULL && strlen(hash) == (size_t)SHA256_SIZE * 2 ? hash : NULL;
	set_time(build, request);
}

static const char *refusal_of(const struct request *request, enum project_state project)
{
	if (request->refusal != NULL)
		return request->refusal;
	switch (project) {
	case PROJECT_UNKNOWN:
		return "the project does not exist";
	case PROJECT_DELETED:
		return "the project was deleted";
	case PROJECT_THERE:
		break;
	}
	return NULL;
}

/* Written out it can be longer than it came: numbers. */
static bool fits(const struct build *build)
{
	return build->spec != NULL && build->git != NULL && strlen(build->spec) + strlen(build->git) <= REQUEST_MAX_BYTES;
}

static enum applied apply_build(const struct transition_context *context, const struct request *request,
								struct build *build, enum project_state project)
{
	struct occurrence occurrence = {.what = HAPPENED_REQUEST};
	const char *refusal = refusal_of(request, project);
	if (!build->exists) {
		fill(context->trail->arena, request, build);
		if (refusal == NULL && !fits(build))
			refusal = too_large;
	}
	if (refusal != NULL)
		occurrence = (struct occurrence){.what = HAPPENED_REFUSAL, .refusal = {.message = refusal}};
	return transition_apply(context, build, &occurrence);
}

enum applied request_apply(const struct transition_context *context, const struct request *request, struct build *build,
						   enum project_state project)
{
	if (request->kind == REQUEST_BUILD)
		return apply_build(context, request, build, project);
	return transition_apply(context, build, &(struct occurrence){.what = HAPPENED_CANCEL});
}
