#include "build-service/result.h"

#include <string.h>

#include "common/json/json.h"

/* An error's message is bounded by its writers; a result by the record that it came in. */
#define RESULT_MAX_BYTES ((size_t)32 * 1024 * 1024)

static const char *into_arena(struct arena *arena, struct buffer *buf)
{
	CHECK(buffer_ok(buf));
	const char *text = arena_strndup(arena, buf->data, buf->len);
	buffer_release(buf);
	return text;
}

static void write_error(struct json_writer *w, const char *error_class, const char *message)
{
	json_object_begin(w, "error");
	json_string(w, "class", error_class);
	json_string(w, "message", message);
	json_object_end(w);
}

static void write_empty_array(struct json_writer *w, const char *key)
{
	json_array_begin(w, key);
	json_array_end(w);
}

const char *result_made(struct arena *arena, const struct build *build, const char *error_class, const char *message)
{
	struct buffer buf;
	buffer_init(&buf, RESULT_MAX_BYTES);
	struct json_writer w;
	json_writer_init(&w, &buf);
	json_object_begin(&w, NULL);
	json_null(&w, "agent");
	write_empty_array(&w, "artifacts");
	json_string(&w, "branch", build->branch[0] == '\0' ? NULL : build->branch);
	json_null(&w, "commit_sha");
	json_int(&w, "duration_ms", 0);
	write_error(&w, error_class, message);
	write_empty_array(&w, "files_changed");
	json_null(&w, "output");
	write_empty_array(&w, "pipelines");
	json_bool(&w, "success", false);
	json_object_end(&w);
	return into_arena(arena, &buf);
}

const char *settle_end_made(struct arena *arena, enum build_status status, const char *error_class, const char *message,
							const char *result)
{
	struct buffer buf;
	buffer_init(&buf, RESULT_MAX_BYTES);
	struct json_writer w;
	json_writer_init(&w, &buf);
	json_object_begin(&w, NULL);
	write_error(&w, error_class, message);
	json_raw(&w, "result", result);
	json_string(&w, "status", build_status_name(status));
	json_object_end(&w);
	return into_arena(arena, &buf);
}

void settle_end_read(struct arena *arena, const char *json, struct settle_end *ret_end)
{
	*ret_end = (struct settle_end){
		.status = STATUS_FAILED,
		.error_class = "internal",
		.error_message = "the build was to be settled for an unknown reason",
	};
	struct error err = ERROR_INIT;
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	if (json == NULL || json_parse(json, strlen(json), &tree, &err) < 0)
		return;
	const cJSON *error = json_get(tree, "error");
	if (json_get_string(error, "class") != NULL && json_get_string(error, "message") != NULL) {
		ret_end->error_class = arena_strdup(arena, json_get_string(error, "class"));
		ret_end->error_message = arena_strdup(arena, json_get_string(error, "message"));
	}
	enum build_status status;
	if (build_status_parse(json_get_string(tree, "status"), &status) == 0 &&
		(status == STATUS_FAILED || status == STATUS_CANCELLED))
		ret_end->status = status;
	if (cJSON_IsObject(json_get(tree, "result"))) {
		struct buffer buf;
		buffer_init(&buf, RESULT_MAX_BYTES);
		int rc = json_canonical(&buf, json_get(tree, "result"));
		CHECK(rc == 0);
		ret_end->result = into_arena(arena, &buf);
	}
}
