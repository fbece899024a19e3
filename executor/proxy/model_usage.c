#include "executor/proxy/model_usage.h"

#include <string.h>
#include <strings.h>

#include "common/base/str.h"
#include "common/json/json.h"

#define DATA_PREFIX "data:"
#define LOOK_BYTES 64
#define BYTES_A_TOKEN 4 /* of English and code, roughly; of a stream's events each is a token at least */

enum key { KEY_USAGE, KEY_MODEL, KEY_MESSAGE, KEY_TYPE };
static const struct json_scan_key keys[] = {
	[KEY_USAGE] = {"usage", 8192},
	[KEY_MODEL] = {"model", MODEL_NAME_BYTES},
	[KEY_MESSAGE] = {"message", 65536}, /* of Anthropic's first event: without content yet */
	[KEY_TYPE] = {"type", 64},
};

void usage_reader_init(struct usage_reader *reader, enum model_protocol protocol, const char *content_type)
{
	*reader = (struct usage_reader){.protocol = protocol};
	json_scan_init(&reader->scan, keys, ARRAY_LEN(keys));
	if (content_type != NULL && strncasecmp(content_type, "text/event-stream", 17) == 0)
		reader->form = USAGE_EVENTS;
	else if (content_type != NULL && strncasecmp(content_type, "application/json", 16) == 0)
		reader->form = USAGE_JSON;
}

void usage_reader_release(struct usage_reader *reader)
{
	json_scan_release(&reader->scan);
}

/* ---- what the numbers mean */

/* Replaces what is said. True when it was. */
static bool take(const cJSON *object, const char *key, int64_t *field)
{
	int64_t value = json_get_int(object, key, -1);
	if (value < 0)
		return false;
	*field = value;
	return true;
}

static void take_anthropic(struct usage_reader *reader, const cJSON *usage, bool last_word)
{
	struct model_usage *counts = &reader->usage;
	const cJSON *creation = json_get(usage, "cache_creation");
	int64_t created = -1;
	reader->has_input = take(usage, "input_tokens", &counts->input) || reader->has_input;
	(void)take(usage, "cache_read_input_tokens", &counts->cache_read); /* not every answer has it */
	if (take(usage, "cache_creation_input_tokens", &created)) {
		int64_t hour = json_get_int(creation, "ephemeral_1h_input_tokens", 0);
		hour = hour < 0 ? 0 : hour > created ? created : hour;
		counts->cache_write_1h = hour;
		counts->cache_write = created - hour;
	}
	if (take(usage, "output_tokens", &counts->output) && last_word)
		reader->has_output = true;
}

static void take_openai(struct usage_reader *reader, const cJSON *usage)
{
	struct model_usage *counts = &reader->usage;
	int64_t prompt, cached = 0;
	if (!take(usage, "prompt_tokens", &prompt))
		return;
	/* Here the cached ones are among the prompt's. */
	(void)take(json_get(usage, "prompt_tokens_details"), "cached_tokens", &cached); /* not every API says it */
	cached = cached > prompt ? prompt : cached;
	counts->input = prompt - cached;
	counts->cache_read = cached;
	reader->has_input = true;
	reader->has_output = take(usage, "completion_tokens", &counts->output) || reader->has_output;
}

static cJSON *value_of(const struct json_scan *scan, enum key key)
{
	size_t len;
	const char *text = json_scan_value(scan, key, &len);
	cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	return text != NULL && json_parse(text, len, &tree, &err) == 0 ? tree : NULL;
}

static void take_model(struct usage_reader *reader, const char *name)
{
	if (name != NULL)
		(void)snprintf(reader->model, sizeof(reader->model), "%s", name);
}

/* A JSON text has ended: an event of a stream, or the whole answer. */
static void take_text(struct usage_reader *reader)
{
	CLEANUP(cJSON_Delete_p) cJSON *usage = value_of(&reader->scan, KEY_USAGE);
	CLEANUP(cJSON_Delete_p) cJSON *model = value_of(&reader->scan, KEY_MODEL);
	take_model(reader, cJSON_GetStringValue(model));
	if (reader->protocol == MODEL_OPENAI) {
		take_openai(reader, usage);
		return;
	}
	take_anthropic(reader, usage, true);
	CLEANUP(cJSON_Delete_p) cJSON *message = value_of(&reader->scan, KEY_MESSAGE);
	take_anthropic(reader, json_get(message, "usage"), false);
	take_model(reader, json_get_string(message, "model"));
}

/* ---- server-sent events: only lines of data count, and each event here is one JSON text on one line */

/* Most events of Anthropic's are pieces of text, and say so at their beginning: the rest of them is not looked at. */
static bool is_idle(const struct usage_reader *reader)
{
	static const char start[] = "\"message_start\"", delta[] = "\"message_delta\"";
	size_t len;
	const char *type = json_scan_value(&reader->scan, KEY_TYPE, &len);
	if (reader->protocol != MODEL_ANTHROPIC || type == NULL || reader->scan.current == KEY_TYPE)
		return false;
	return !(len == sizeof(start) - 1 && (memcmp(type, start, len) == 0 || memcmp(type, delta, len) == 0));
}

static void end_line(struct usage_reader *reader)
{
	if (reader->line_is_data) {
		reader->events++;
		if (reader->scan.done)
			take_text(reader);
		json_scan_reset(&reader->scan);
	}
	reader->line_is_data = reader->line_is_idle = false;
	reader->line_len = 0;
}

static void add_to_line(struct usage_reader *reader, const char *data, size_t len)
{
	static const char prefix[] = DATA_PREFIX;
	const size_t prefix_len = sizeof(prefix) - 1;
	while (len > 0 && reader->line_len < prefix_len) {
		if (*data != prefix[reader->line_len]) {
			reader->line_len = prefix_len; /* some other line: skipped */
			return;
		}
		reader->line_len++;
		reader->line_is_data = reader->line_len == prefix_len;
		data++;
		len--;
	}
	while (len > 0 && reader->line_is_data && !reader->line_is_idle) {
		size_t part = len < LOOK_BYTES ? len : LOOK_BYTES;
		json_scan_add(&reader->scan, data, part);
		reader->line_is_idle = is_idle(reader);
		data += part;
		len -= part;
	}
}

static void add_events(struct usage_reader *reader, const char *data, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline != NULL ? (size_t)(newline - data) : len;
		add_to_line(reader, data, part);
		if (newline != NULL) {
			end_line(reader);
			part++;
		}
		data += part;
		len -= part;
	}
}

void usage_reader_add(struct usage_reader *reader, const char *data, size_t len)
{
	reader->bytes += (int64_t)len;
	if (reader->form == USAGE_EVENTS)
		add_events(reader, data, len);
	else if (reader->form == USAGE_JSON)
		json_scan_add(&reader->scan, data, len);
}

struct model_usage usage_reader_end(struct usage_reader *reader, int64_t request_bytes)
{
	if (reader->form == USAGE_EVENTS)
		end_line(reader);
	else if (reader->form == USAGE_JSON && reader->scan.done)
		take_text(reader);
	struct model_usage *usage = &reader->usage;
	usage->estimated = !reader->has_input || !reader->has_output;
	if (!reader->has_input)
		usage->input = request_bytes / BYTES_A_TOKEN;
	/* A text that was cut says what it took at its end only. */
	int64_t guess = reader->events;
	if (reader->form != USAGE_EVENTS && !reader->scan.done)
		guess = reader->bytes / BYTES_A_TOKEN;
	if (!reader->has_output && usage->output < guess)
		usage->output = guess;
	return *usage;
}

int64_t model_usage_tokens(const struct model_usage *usage)
{
	return usage->input + usage->output + usage->cache_read + usage->cache_write + usage->cache_write_1h;
}
