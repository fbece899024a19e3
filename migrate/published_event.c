#include "migrate/published_event.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/str.h"
#include "common/json/json.h"

#define HEX_HASH ((size_t)2 * SHA256_SIZE)
/* Room for every name that Kiln has ever taken (200 bytes), and for an index's row. */
#define TEXT_MAX_BYTES 1024

/* As the constraint build_audit_status has them. */
static const struct {
	const char *phase, *status;
} states[] = {
	{"queued", "pending"}, {"assigned", "pending"},   {"preparing", "running"},
	{"agent", "running"},  {"committing", "running"}, {"pushing", "running"},
	{NULL, "completed"},   {NULL, "failed"},          {NULL, "cancelled"},
};

static bool is_absent(const cJSON *item)
{
	return item == NULL || cJSON_IsNull(item);
}

static int check_attributes(const struct cloudevent_in *event, char ret_time[CLOCK_RFC3339_SIZE], struct error *err)
{
	int64_t wall_us;
	if (!uuid_is_valid(event->subject, strlen(event->subject)))
		return error_set(err, ERR_INVALID, "ce_subject is no build's id");
	if (event->sequence < 1 || event->sequence > INT32_MAX)
		return error_set(err, ERR_INVALID, "ce_sequence is missing or too large");
	if (strlen(event->hash) != HEX_HASH || !str_is_hex(event->hash, HEX_HASH))
		return error_set(err, ERR_INVALID, "ce_hash is no SHA-256");
	if (clock_parse_rfc3339(event->time, strlen(event->time), &wall_us) < 0 || wall_us < 0)
		return error_set(err, ERR_INVALID, "ce_time is no time");
	clock_format_rfc3339(wall_us, ret_time);
	return 0;
}

/* The bytes that were hashed are RFC 8785. It also says of each number that Postgres takes it, and as what. */
static int check_canonical(const cJSON *body, const char *value, size_t len, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer canonical;
	buffer_init(&canonical, JSON_WRITTEN_MAX(len));
	if (json_canonical(&canonical, body) < 0 || canonical.len != len || memcmp(canonical.data, value, len) != 0)
		return error_set(err, ERR_INVALID, "the value is not in canonical form");
	return 0;
}

static int check_state(const cJSON *body, struct error *err)
{
	const cJSON *phase = json_get(body, "phase");
	const char *status = json_get_string(body, "status");
	for (size_t i = 0; status != NULL && i < ARRAY_LEN(states); i++) {
		if (str_equal(status, states[i].status) &&
			(states[i].phase == NULL ? is_absent(phase) : str_equal(cJSON_GetStringValue(phase), states[i].phase)))
			return 0;
	}
	return error_set(err, ERR_INVALID, "status and phase are no state of a build");
}

/* Texts that may be missing. */
static int check_texts(const cJSON *body, struct error *err)
{
	static const char *const names[] = {"base_sha", "branch", "commit_sha", "mode", "reason", "worker_id"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const cJSON *item = json_get(body, names[i]);
		if (!is_absent(item) && (!cJSON_IsString(item) || strlen(item->valuestring) > TEXT_MAX_BYTES))
			return error_set(err, ERR_INVALID, "%s is no text of at most %d bytes", names[i], TEXT_MAX_BYTES);
	}
	const char *mode = json_get_string(body, "mode");
	if (mode != NULL && !str_equal(mode, "run") && !str_equal(mode, "settle"))
		return error_set(err, ERR_INVALID, "mode is neither run nor settle");
	if (!is_absent(json_get(body, "worker_id")) && json_get_uuid(body, "worker_id") == NULL)
		return error_set(err, ERR_INVALID, "worker_id is no id");
	return 0;
}

static int check_body(const struct cloudevent_in *event, const cJSON *body, struct error *err)
{
	const cJSON *result = json_get(body, "result");
	int64_t attempt = json_get_int(body, "attempt", -1);
	if (!cJSON_IsObject(body))
		return error_set(err, ERR_INVALID, "the value is no object");
	if (!str_equal(json_get_string(body, "build_id"), event->subject) ||
		json_get_int(body, "sequence", -1) != event->sequence)
		return error_set(err, ERR_INVALID, "build_id or sequence is not that of the headers");
	if (attempt < 0 || attempt > INT32_MAX)
		return error_set(err, ERR_INVALID, "attempt is no attempt's number");
	if (result != NULL && !cJSON_IsObject(result))
		return error_set(err, ERR_INVALID, "result is no object");
	return check_state(body, err) < 0 || check_texts(body, err) < 0 ? -1 : 0;
}

int published_event_check(const struct cloudevent_in *event, const char *value, size_t len,
						  char ret_time[CLOCK_RFC3339_SIZE], struct error *err)
{
	CLEANUP(cJSON_Delete_p) cJSON *body = NULL;
	char time[CLOCK_RFC3339_SIZE];
	if (check_attributes(event, time, err) < 0)
		return -1;
	if (value == NULL)
		return error_set(err, ERR_INVALID, "there is no value");
	if (json_parse(value, len, &body, err) < 0 || check_body(event, body, err) < 0 ||
		check_canonical(body, value, len, err) < 0)
		return -1;
	memcpy(ret_time, time, sizeof(time));
	return 0;
}
