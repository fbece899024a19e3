#include "api-gateway/requests/once.h"

#include "api-gateway/requests/lend.h"
#include "api-gateway/builds/request_key.h"
#include "common/base/log.h"
#include "common/base/seal.h"
#include "common/base/str.h"
#include "kiln_gateway_sql.h"

#define KEPT_MAX_BYTES (ANSWER_MAX_BODY * 2) /* an answer as JSON in JSON, in hex */

static const char json_type[] = "application/json";

/* Answers refer to static names. */
static const char *field_name(const char *name)
{
	static const char *const names[] = {"location", "etag", "cache-control"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_equal(names[i], name))
			return names[i];
	}
	return NULL;
}

static void write_answer(struct buffer *text, const struct answer *answer)
{
	struct json_writer w;
	json_writer_init(&w, text);
	json_object_begin(&w, NULL);
	json_int(&w, "status", answer->status);
	json_array_begin(&w, "fields");
	for (size_t i = 0; i < answer->fields_len; i++) {
		CHECK(field_name(answer->fields[i].name) != NULL); /* a new one: add it above */
		json_string(&w, NULL, answer->fields[i].name);
		json_string(&w, NULL, answer->fields[i].value);
	}
	json_array_end(&w);
	CHECK(answer->content_type == NULL || str_equal(answer->content_type, json_type));
	if (answer->content_type == NULL)
		json_null(&w, "body");
	else
		json_string_len(&w, "body", answer->body.data, answer->body.len);
	json_object_end(&w);
}

static int read_answer(const struct buffer *text, struct answer *answer, struct error *err)
{
	CLEANUP(cJSON_Delete_p) cJSON *kept = NULL;
	if (json_parse(text->data, text->len, &kept, err) < 0)
		return -1;
	int64_t status = json_get_int(kept, "status", 0);
	if (status < 200 || status > 299)
		return error_set(err, ERR_INVALID, "a kept answer has the status %lld", (long long)status);
	answer_clear(answer);
	answer_empty(answer, (int)status);
	const cJSON *field = cJSON_GetArrayItem(json_get(kept, "fields"), 0);
	for (; field != NULL && field->next != NULL; field = field->next->next) {
		const char *name = field_name(cJSON_GetStringValue(field)), *value = cJSON_GetStringValue(field->next);
		if (name != NULL && value != NULL)
			answer_field(answer, name, "%s", value);
	}
	const char *body = json_get_string(kept, "body");
	if (body == NULL)
		return 0;
	answer->content_type = json_type;
	return buffer_append_str(&answer->body, body);
}

/* Without a body: of nothing, whether it was sent as such or as an object without fields. */
static void hash_body(const cJSON *body, char ret_hex[2 * SHA256_SIZE + 1])
{
	uint8_t hash[SHA256_SIZE];
	CLEANUP(buffer_release_p) struct buffer canonical;
	buffer_init(&canonical, ANSWER_MAX_BODY);
	CHECK(body == NULL || json_canonical(&canonical, body) == 0); /* bounded by the size of a body, escapes included */
	sha256(canonical.data, canonical.len, hash);
	hex_encode(hash, sizeof(hash), ret_hex);
}

static int identify(struct request *request, const cJSON *body, struct once *once)
{
	char key[IDEMPOTENCY_KEY_MAX + 1], route[96];
	const uint8_t *secret;
	size_t secret_len;
	if (request_key(request, key, &secret, &secret_len) < 0)
		return -1;
	(void)snprintf(route, sizeof(route), "%s %s", request->route->method, request->route->pattern);
	idempotency_digest(secret, secret_len, request->token->id, route, request->param, key, once->id);
	hex_encode(once->id, sizeof(once->id), once->id_hex);
	hash_body(body, once->hash_hex);
	return 0;
}

/* The answer of the first request. Returns -1: this one is answered. */
static int answer_again(struct request *request, const struct once *once, const PGresult *found)
{
	if (!str_equal(pg_text(found, 0, "hash"), once->hash_hex))
		return problem_answer(request, PROBLEM_KEY_REUSED, "The key was used for another body.");
	const char *hex = pg_text(found, 0, "answer");
	size_t sealed_len = strlen(hex) / 2;
	CLEANUP(buffer_release_p) struct buffer sealed;
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&sealed, KEPT_MAX_BYTES);
	buffer_init(&text, KEPT_MAX_BYTES);
	struct error err = ERROR_INIT;
	char *room = buffer_reserve(&sealed, sealed_len + 1);
	if (room == NULL || hex_decode(hex, strlen(hex), room, sealed_len) < 0 ||
		seal_open(&text, request->answer_key, once->id, sizeof(once->id), room, sealed_len, &err) < 0 ||
		read_answer(&text, &request->answer, &err) < 0) {
		log_error("a kept answer cannot be read", "request_id", request->id, "error", err.message, NULL);
		return problem_answer(request, PROBLEM_INTERNAL, "The answer that was kept for the key cannot be read.");
	}
	return -1;
}

/* In one round trip; the second statement sees what was committed while the first one waited. */
static int claim(struct request *request, struct db *db, const struct once *once)
{
	struct pg_pipeline pipeline;
	PGresult *results[PG_PIPELINE_MAX];
	struct error err = ERROR_INIT;
	pg_pipeline_init(&pipeline, db->conn);
	pg_pipeline_add(&pipeline, &sql_once_lock, PG_PARAMS(once->id_hex), 1);
	pg_pipeline_add(&pipeline, &sql_once_find, PG_PARAMS(once->id_hex), 1);
	int result = pg_pipeline_run(&pipeline, results, &err);
	/* Of the lock: it was not had for as long as one waits. */
	bool others_hold_it = result < 0 && err.kind == ERR_CONFLICT && results[0] == NULL;
	if (others_hold_it)
		(void)problem_answer(request, PROBLEM_OVERLOADED, "Another request with this Idempotency-Key is under way.");
	else if (result < 0)
		(void)db_problem(request, &err);
	else if (PQntuples(results[1]) > 0)
		result = answer_again(request, once, results[1]);
	pg_results_clear(results);
	if (result < 0)
		pg_rollback(db->conn);
	return result;
}

int once_begin(struct request *request, const cJSON *body, struct db *db, struct once *ret_once)
{
	ret_once->keyed = request->idempotency_key.data != NULL;
	if (ret_once->keyed && identify(request, body, ret_once) < 0)
		return -1;
	if (db->conn == NULL && db_take(request, db) < 0)
		return -1;
	struct error err = ERROR_INIT;
	if (pg_in_transaction(db->conn))
		pg_rollback(db->conn);
	if (pg_begin(db->conn, &err) < 0)
		return db_problem(request, &err);
	return ret_once->keyed ? claim(request, db, ret_once) : 0;
}

/* The answer as it is kept, in hex. */
static int seal_answer(struct request *request, const struct once *once, struct buffer *ret_hex, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer text;
	CLEANUP(buffer_release_p) struct buffer sealed;
	buffer_init(&text, KEPT_MAX_BYTES);
	buffer_init(&sealed, KEPT_MAX_BYTES);
	write_answer(&text, &request->answer);
	if (!buffer_ok(&text) ||
		seal_append(&sealed, request->answer_key, once->id, sizeof(once->id), text.data, text.len) < 0)
		return error_set(err, ERR_INTERNAL, "the answer is too long to be kept");
	char *room = buffer_reserve(ret_hex, sealed.len * 2 + 1);
	CHECK(room != NULL);
	hex_encode(sealed.data, sealed.len, room);
	buffer_commit(ret_hex, sealed.len * 2);
	return 0;
}

/* With the audit's row and the key, in one round trip. */
static int commit(struct request *request, struct db *db, const struct once *once, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer hex;
	buffer_init(&hex, KEPT_MAX_BYTES * 2 + 1);
	struct audit_row row;
	struct pg_pipeline pipeline;
	pg_pipeline_init(&pipeline, db->conn);
	audit_add(request, &row, &pipeline);
	if (once->keyed) {
		if (seal_answer(request, once, &hex, err) < 0)
			return -1;
		pg_pipeline_add(&pipeline, &sql_once_keep, PG_PARAMS(once->id_hex, once->hash_hex, hex.data), 3);
	}
	return lend_take_effect(request, err) < 0 ? -1 : pg_pipeline_commit(&pipeline, err);
}

int once_end(struct request *request, struct db *db, const struct once *once)
{
	struct error err = ERROR_INIT;
	int status = request->answer.status;
	bool success = status >= 200 && status <= 299;
	if ((success ? commit(request, db, once, &err) : pg_commit(db->conn, &err)) == 0)
		return 0;
	pg_rollback(db->conn);
	return db_problem(request, &err);
}
