#include "common/base/error.h"

#include <errno.h>
#include <stdarg.h>

#define MESSAGE_SIZE sizeof(((struct error *)NULL)->message)

/* A cut message must not end inside of a UTF-8 sequence: it is shown in JSON. */
static void trim_partial_utf8(char *text)
{
	size_t len = strlen(text), start = len;
	while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start == 0)
		return;
	unsigned char lead = (unsigned char)text[start - 1];
	size_t want = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
	if (want > len - start)
		text[start - 1] = '\0';
}

/* Formatted apart first, because an argument may be err->message itself. */
static void PRINTF_LIKE(2, 0) set_message(struct error *err, const char *format, va_list args)
{
	char message[MESSAGE_SIZE];
	(void)vsnprintf(message, sizeof(message), format, args); /* cut at the size is fine */
	trim_partial_utf8(message);
	memcpy(err->message, message, strlen(message) + 1);
}

void error_fill(struct error *err, enum error_kind kind, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	set_message(err, format, args);
	va_end(args);
	err->kind = kind;
	err->sys_errno = 0;
	err->sqlstate[0] = '\0';
}

static enum error_kind kind_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
		return ERR_LIMIT;
	default:
		return ERR_INTERNAL;
	}
}

void error_fill_errno(struct error *err, int errnum, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	set_message(err, format, args);
	va_end(args);
	char reason[128];
	size_t used = strlen(err->message);
	/* GNU strerror_r: returns the text, which may be static. */
	(void)snprintf(err->message + used, MESSAGE_SIZE - used, ": %s", strerror_r(errnum, reason, sizeof(reason)));
	err->kind = kind_of_errno(errnum);
	err->sys_errno = errnum;
	err->sqlstate[0] = '\0';
}

void error_fill_prefix(struct error *err, const char *format, ...)
{
	char prefix[MESSAGE_SIZE], message[MESSAGE_SIZE * 2 + 2];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(prefix, sizeof(prefix), format, args); /* cut at the size is fine */
	va_end(args);
	(void)snprintf(message, sizeof(message), "%s: %s", prefix, err->message);
	message[MESSAGE_SIZE - 1] = '\0';
	trim_partial_utf8(message);
	memcpy(err->message, message, strlen(message) + 1);
}

const char *error_kind_name(enum error_kind kind)
{
	switch (kind) {
	case ERR_NONE:
		return "none";
	case ERR_INVALID:
		return "invalid";
	case ERR_NOT_FOUND:
		return "not_found";
	case ERR_CONFLICT:
		return "conflict";
	case ERR_DENIED:
		return "denied";
	case ERR_LIMIT:
		return "limit";
	case ERR_TIMEOUT:
		return "timeout";
	case ERR_UNAVAILABLE:
		return "unavailable";
	case ERR_UNKNOWN:
		return "unknown";
	case ERR_CANCELLED:
		return "cancelled";
	case ERR_INTERNAL:
		return "internal";
	}
	return "internal";
}
