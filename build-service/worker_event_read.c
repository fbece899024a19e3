/* Reading hellos and heartbeats, and looking up what they list. */
#include <string.h>

#include "build-service/fields.h"
#include "build-service/worker_events.h"
#include "common/base/str.h"
#include "common/model/labels.h"
#include "kiln_build_service_sql.h"

#define MAX_LISTED 20000
#define MAX_SLOTS 10000
#define MAX_TEXT 1024

void worker_event_release(struct worker_event *event)
{
	cJSON_Delete(event->data);
	event->data = NULL;
}

static int read_tokens(struct worker_event *event, const char *key, bool reported, struct error *err)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, json_get(event->data, key))
	{
		struct listed_token *listed = &event->listed[event->listed_len];
		*listed =
			(struct listed_token){.reported = reported, .told = reported && json_get_bool(item, "acknowledged", false)};
		if (fencing_token_read(item, &listed->token, err) < 0)
			return error_prefix(err, "%s", key);
		event->listed_len++;
	}
	return 0;
}

/* A list of texts as a Postgres array literal in the arena. */
static int read_list(const cJSON *data, const char *key, struct arena *arena, const char **ret_literal,
					 struct error *err)
{
	struct pg_array literal;
	pg_array_init(&literal, LABELS_MAX_BYTES * 2);
	size_t bytes = 0;
	const cJSON *item;
	cJSON_ArrayForEach(item, json_get(data, key))
	{
		if (!cJSON_IsString(item) || (bytes += strlen(item->valuestring) + 4) > LABELS_MAX_BYTES) {
			pg_array_release(&literal);
			return error_set(err, ERR_INVALID, "%s: not a list of short strings", key);
		}
		pg_array_add(&literal, item->valuestring);
	}
	*ret_literal = arena_strdup(arena, pg_array_text(&literal));
	pg_array_release(&literal);
	return 0;
}

static int read_facts(struct worker_event *event, struct arena *arena, struct error *err)
{
	const cJSON *data = event->data;
	struct worker_facts *facts = &event->facts;
	if (field_int(data, "slots", 0, MAX_SLOTS, &facts->slots, err) < 0 ||
		field_int(data, "read_offset", 0, (int64_t)1 << 53, &facts->read_offset, err) < 0 ||
		read_list(data, "labels", arena, &facts->labels, err) < 0 ||
		read_list(data, "agents", arena, &facts->agents, err) < 0 ||
		field_optional_text(data, "hostname", MAX_TEXT, &facts->hostname, err) < 0 ||
		field_optional_text(data, "version", MAX_TEXT, &facts->version, err) < 0 ||
		field_optional_text(data, "sandbox", MAX_TEXT, &facts->sandbox, err) < 0)
		return -1;
	event->draining = json_get_bool(data, "draining", false);
	int held = cJSON_GetArraySize(json_get(data, "held")), reported = cJSON_GetArraySize(json_get(data, "reported"));
	if (held + reported > MAX_LISTED)
		return error_set(err, ERR_INVALID, "held and reported: more than %d tokens", MAX_LISTED);
	event->listed = arena_alloc(arena, ((size_t)held + (size_t)reported + 1) * sizeof(*event->listed));
	if (read_tokens(event, "held", false, err) < 0 || read_tokens(event, "reported", true, err) < 0)
		return -1;
	return 0;
}

static enum worker_event_kind kind_of(const char *type)
{
	static const char *const types[] = {NULL,         "worker.hello",          "worker.heartbeat", "worker.draining",
										"worker.bye", "worker.drain_requested"};
	for (size_t i = 1; i < ARRAY_LEN(types); i++) {
		if (str_equal(types[i], type))
			return (enum worker_event_kind)i;
	}
	return WORKER_EVENT_OTHER;
}

int worker_event_read(const struct inbox_record *record, struct arena *arena, struct worker_event *ret_event,
					  struct error *err)
{
	if (!record->legible)
		return error_set(err, ERR_INVALID, "the record has no CloudEvents headers");
	struct worker_event event = {.kind = kind_of(record->event.type)};
	if (event.kind == WORKER_EVENT_OTHER) {
		*ret_event = event;
		return 0;
	}
	if (json_parse(record->data, record->data_len, &event.data, err) < 0)
		return -1;
	bool with_facts = event.kind == WORKER_HELLO || event.kind == WORKER_HEARTBEAT;
	if (field_addressee(event.data, &event.from, err) < 0 || (with_facts && read_facts(&event, arena, err) < 0)) {
		worker_event_release(&event);
		return -1;
	}
	*ret_event = event;
	return 0;
}

void worker_events_pipeline_listed(struct worker_event *events, size_t len, struct rows *tokens,
								   struct pg_pipeline *pipeline, int *ret_index)
{
	rows_clear(tokens);
	for (size_t i = 0; i < len; i++) {
		for (size_t j = 0; j < events[i].listed_len; j++) {
			const struct listed_token *listed = &events[i].listed[j];
			rows_text(tokens, listed->token.build_id);
			rows_int(tokens, listed->token.attempt);
			rows_text(tokens, listed->token.lease_id);
			rows_text(tokens, events[i].from.worker_id);
		}
	}
	*ret_index = tokens->len == 0 ? -1 : (int)pipeline->len;
	rows_pipeline(tokens, pipeline, &sql_read_listed_attempts, NULL);
}

void worker_events_listed_loaded(struct worker_event *events, size_t len, const PGresult *rows)
{
	int row = 0;
	for (size_t i = 0; i < len; i++) {
		for (size_t j = 0; j < events[i].listed_len; j++, row++) {
			struct listed_token *listed = &events[i].listed[j];
			listed->fits = pg_bool(rows, row, "fits");
			listed->wants_cancel = pg_bool(rows, row, "wants_cancel");
			listed->ended = pg_bool(rows, row, "ended");
			CHECK(attempt_state_parse(pg_text(rows, row, "state"), &listed->state) == 0);
		}
	}
}
