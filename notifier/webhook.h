/*
 * Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec): body, signature and headers of one message.
 * The body is made once, with the delivery's row; id and body are the same at every attempt, time and signature are the
 * attempt's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

/*
 * Appends {"type","timestamp","data"}: data is the event's value, byte for byte, with "task_id" added at its end.
 * ERR_INVALID when the value is no JSON object whose build_id is the record's key.
 */
int webhook_body(const char *type, const char *time, const char *build_id, const char *data, size_t data_len,
				 struct buffer *ret_body, struct error *err) MUST_CHECK;

/* "v1,<base64 of HMAC-SHA256(secret, id.timestamp.body)>" into the buffer. */
void webhook_sign(const void *secret, size_t secret_len, const char *id, int64_t timestamp_s, const void *body,
				  size_t body_len, struct buffer *ret);

/* Header lines for http_request.headers, NULL-terminated; strv_free them. traceparent and request_id may be NULL; what
 * cannot stand in a header, or is no request's id (common/http/request_id.h), is left out. */
char **webhook_headers(const char *id, int64_t timestamp_s, const char *signature, const char *traceparent,
					   const char *request_id);

/* Visible ASCII without blanks: can stand in a header. */
bool webhook_is_header_value(const char *text);
