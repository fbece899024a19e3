#include "notifier/webhook.h"

#include <string.h>

#include "common/base/alloc.h"
#include "common/base/config.h"
#include "common/base/hash.h"
#include "common/base/str.h"
#include "common/http/request_id.h"
#include "common/json/json.h"

/* Checks the value; ret_len is up to and without its last brace. */
static int open_object(const char *build_id, const char *data, size_t data_len, size_t *ret_len, struct error *err)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;

	if (json_parse(data, data_len, &tree, err) < 0)
		return -1;
	if (!cJSON_IsObject(tree) || !str_equal(json_get_string(tree, "build_id"), build_id))
		return error_set(err, ERR_INVALID, "the event's build_id is not its key");
	while (data[data_len - 1] != '}')
		data_len--;
	*ret_len = data_len - 1;
	return 0;
}

int webhook_body(const char *type, const char *time, const char *build_id, const char *data, size_t data_len,
				 struct buffer *ret_body, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer with_task = {.data = NULL};
	struct json_writer w;
	size_t open_len = 0;

	if (open_object(build_id, data, data_len, &open_len, err) < 0)
		return -1;
	buffer_init(&with_task, data_len + 128);
	(void)buffer_append(&with_task, data, open_len);                    /* there is room */
	(void)buffer_appendf(&with_task, ",\"task_id\":\"%s\"}", build_id); /* checked below */
	json_writer_init(&w, ret_body);
	json_object_begin(&w, NULL);
	json_string(&w, "type", type);
	json_string(&w, "timestamp", time);
	json_raw_len(&w, "data", with_task.data, with_task.len);
	json_object_end(&w);
	if (!buffer_ok(&with_task) || !buffer_ok(ret_body))
		return error_set(err, ERR_INVALID, "the event is too large for a webhook");
	return 0;
}

void webhook_sign(const void *secret, size_t secret_len, const char *id, int64_t timestamp_s, const void *body,
				  size_t body_len, struct buffer *ret)
{
	CLEANUP(buffer_release_p) struct buffer text;
	uint8_t digest[SHA256_SIZE];

	buffer_init(&text, strlen(id) + 32 + body_len);
	CHECK(buffer_appendf(&text, "%s.%lld.", id, (long long)timestamp_s) == 0 &&
		  buffer_append(&text, body, body_len) == 0);
	hmac_sha256(secret, secret_len, text.data, text.len, digest);
	CHECK(buffer_append_str(ret, "v1,") == 0 && base64_append(ret, digest, sizeof(digest)) == 0);
}

char **webhook_headers(const char *id, int64_t timestamp_s, const char *signature, const char *traceparent,
					   const char *request_id)
{
	char **headers = xcalloc(8, sizeof(*headers));
	size_t len = 0;

	headers[len++] = xstrdup("content-type: application/json");
	headers[len++] = xasprintf("user-agent: Kiln/%s", kiln_version);
	headers[len++] = xasprintf("webhook-id: %s", id);
	headers[len++] = xasprintf("webhook-timestamp: %lld", (long long)timestamp_s);
	headers[len++] = xasprintf("webhook-signature: %s", signature);
	if (traceparent != NULL && webhook_is_header_value(traceparent))
		headers[len++] = xasprintf("traceparent: %s", traceparent);
	if (request_id != NULL && request_id_is_valid(request_id, strlen(request_id)))
		headers[len++] = xasprintf("x-request-id: %s", request_id);
	return headers;
}

bool webhook_is_header_value(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] >= 0x7f)
			return false;
	}
	return len > 0;
}
