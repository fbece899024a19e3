#include "api-gateway/http/traceparent.h"

#include "common/base/str.h"

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, LEN = 55 };

static bool is_zero(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '0')
			return false;
	}
	return true;
}

bool traceparent_is_valid(const char *text, size_t len)
{
	if (text == NULL || len < LEN || text[2] != '-' || text[SPAN_AT - 1] != '-' || text[FLAGS_AT - 1] != '-')
		return false;
	if (!str_is_hex(text, 2) || memcmp(text, "ff", 2) == 0)
		return false;
	/* Later versions may append fields; version 00 may not. */
	if (len > LEN && (is_zero(text, 2) || text[LEN] != '-'))
		return false;
	return str_is_hex(text + TRACE_AT, TRACE_ID_LEN) && !is_zero(text + TRACE_AT, TRACE_ID_LEN) &&
		   str_is_hex(text + SPAN_AT, 16) && !is_zero(text + SPAN_AT, 16) && str_is_hex(text + FLAGS_AT, 2);
}

static bool is_sampled(const char *flags)
{
	char low = flags[1];
	int digit = low <= '9' ? low - '0' : low - 'a' + 10;
	return (digit & 1) != 0;
}

void traceparent_continue(const char *text, size_t len, const uint8_t random[24], char ret[TRACEPARENT_SIZE])
{
	static const char form[TRACEPARENT_SIZE] = "00-................................-................-0.";
	char span[17], trace[TRACE_ID_LEN + 1];
	bool valid = traceparent_is_valid(text, len);
	hex_encode(random + 16, 8, span);
	if (!valid)
		hex_encode(random, 16, trace);
	memcpy(ret, form, sizeof(form));
	memcpy(ret + TRACE_AT, valid ? text + TRACE_AT : trace, TRACE_ID_LEN);
	memcpy(ret + SPAN_AT, span, 16);
	/* Only the flag that version 00 knows: unknown ones are never passed on. */
	ret[FLAGS_AT + 1] = !valid || is_sampled(text + FLAGS_AT) ? '1' : '0';
}
