/* GET /builds/{taskId}/artifacts/{path}: a content of the artifact store, found by the build's result. The path is only
 * compared with those of the result, and never opened; the content is opened by others (downloads.h). */
#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/requests/downloads.h"
#include "api-gateway/handlers.h"
#include "api-gateway/handlers/common.h"
#include "common/artifacts/media_type.h"
#include "common/base/log.h"
#include "common/base/str.h"

static int read_path(struct request *request, struct buffer *ret_path)
{
	struct error err = ERROR_INIT;
	if (url_decode(ret_path, request->rest.data, request->rest.len, false, &err) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "The path is not well formed: %s.", err.message);
	return 0;
}

/* The item of the result, or NULL. */
static const cJSON *find_item(const cJSON *result, const char *path)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, json_get(result, "artifacts"))
	{
		if (str_equal(json_get_string(item, "path"), path))
			return item;
	}
	return NULL;
}

/* RFC 6266: the name for those who know ASCII only, and as it is. */
static void add_disposition(struct answer *answer, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	CLEANUP(buffer_release_p) struct buffer value;
	buffer_init(&value, 4 * strlen(name) + 64);
	(void)buffer_append_str(&value, "attachment; filename=\""); /* all of it fits */
	for (const char *at = name; *at != '\0'; at++) {
		bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
					 strchr("._-", *at) != NULL;
		(void)buffer_append_char(&value, (char)(plain ? *at : '_')); /* as above */
	}
	(void)buffer_append_str(&value, "\"; filename*=UTF-8''"); /* as above */
	(void)url_encode(&value, name, strlen(name));             /* as above */
	CHECK(buffer_ok(&value));
	answer_field_text(answer, "content-disposition", value.data, value.len);
}

static void answer_unreadable(struct request *request, const char *why)
{
	log_error("unreadable result", "build_id", request->param, "error", why, NULL);
	(void)problem_answer(request, PROBLEM_INTERNAL, "The build's result cannot be read."); /* the answer */
}

static void answer_content(struct request *request, const cJSON *item)
{
	struct answer *answer = &request->answer;
	const char *path = json_get_string(item, "path"), *sha256 = json_get_string(item, "sha256");
	if (request->gateway->artifacts == NULL) {
		(void)problem_answer(request, PROBLEM_NOT_FOUND,
							 "This gateway has no artifact store (KILN_ARTIFACTS_DIR), so \"%s\" cannot be had here.",
							 path); /* the answer */
		return;
	}
	uint8_t hash[SHA256_SIZE];
	if (sha256 == NULL || hex_decode(sha256, strlen(sha256), hash, sizeof(hash)) < 0) {
		answer_unreadable(request, "no SHA-256");
		return;
	}
	if (download_plan(request, sha256, json_get_int(item, "size", -1)) < 0)
		return;
	answer_empty(answer, 200);
	answer->content_type = media_type_known(json_get_string(item, "media_type"));
	answer_field(answer, "etag", "\"%s\"", sha256);
	answer_field(answer, "accept-ranges", "bytes");
	/* An agent may have written a page that would act as whoever looks at it. */
	answer_field(answer, "content-security-policy", "default-src 'none'; sandbox");
	answer_field(answer, "x-content-type-options", "nosniff");
	add_disposition(answer, path);
}

bool build_artifact(struct request *request)
{
	CLEANUP(buffer_release_p) struct buffer path;
	buffer_init(&path, request->rest.len + 1);
	CLEANUP(db_give) struct db db = {0};
	CLEANUP(build_found_release) struct build_found found = {0};
	if (read_path(request, &path) < 0 || build_lookup_taking(request, &db, &found) < 0)
		return true;
	const char *text = found.row != NULL ? pg_text(found.row, 0, "result") : NULL;
	CLEANUP(cJSON_Delete_p) cJSON *result = NULL;
	struct error err = ERROR_INIT;
	if (text != NULL && json_parse(text, strlen(text), &result, &err) < 0) {
		answer_unreadable(request, err.message);
		return true;
	}
	const cJSON *item = find_item(result, path.data);
	if (item == NULL)
		(void)problem_answer(request, PROBLEM_NOT_FOUND, "The build has no artifact \"%s\"%s.", path.data,
							 result == NULL ? " yet: it has not ended" : ""); /* the answer */
	else
		answer_content(request, item);
	return true;
}
