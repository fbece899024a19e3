#include "common/base/str.h"
#include "common/base/utf8.h"
#include "common/json/json_internal.h"

#include <endian.h>
#include <math.h>

#define ONES 0x0101010101010101U
#define HIGHS 0x8080808080808080U

struct scan {
	const char *start, *at, *end;
	struct error *err;
};

static int fail(const struct scan *scan, const char *at, const char *what)
{
	return error_set(scan->err, ERR_INVALID, "byte %zu: %s", (size_t)(at - scan->start), what);
}

static void skip_blanks(struct scan *scan)
{
	while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r'))
		scan->at++;
}

/* The four digits of \uXXXX, or -1. */
static int read_hex4(const char *at, const char *end)
{
	if (end - at < 4)
		return -1;
	int value = 0;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(at[i]);
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static int check_unicode_escape(struct scan *scan)
{
	const char *escape = scan->at;
	int unit = read_hex4(escape + 2, scan->end);
	if (unit < 0)
		return fail(scan, escape, "\\u without four hexadecimal digits");
	if (unit == 0)
		return fail(scan, escape, "the character U+0000 is not allowed");
	scan->at += 6;
	if (unit < 0xD800 || unit > 0xDFFF)
		return 0;
	bool pair = unit <= 0xDBFF && scan->end - scan->at >= 6 && scan->at[0] == '\\' && scan->at[1] == 'u';
	int low = pair ? read_hex4(scan->at + 2, scan->end) : -1;
	if (low < 0xDC00 || low > 0xDFFF)
		return fail(scan, escape, "a surrogate without its other half");
	scan->at += 6;
	return 0;
}

static int check_escape(struct scan *scan)
{
	if (scan->end - scan->at < 2)
		return fail(scan, scan->at, "the text ends inside of an escape");
	switch (scan->at[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		scan->at += 2;
		return 0;
	case 'u':
		return check_unicode_escape(scan);
	default:
		return fail(scan, scan->at, "unknown escape");
	}
}

/* Past the bytes that need no look, eight at a time: to the first that is a control, a quote, a backslash or not ASCII.
 */
static const char *skip_plain(const char *at, const char *end)
{
	uint64_t word;
	while (end - at >= (ptrdiff_t)sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		word = le64toh(word);
		uint64_t quote = word ^ (ONES * '"'), backslash = word ^ (ONES * '\\');
		/* For bytes below 0x80 the borrow of x - 0x20 and of x - 1 shows in the high bit; the others show by
		 * themselves. */
		uint64_t marks = ((word - ONES * 0x20) | (quote - ONES) | (backslash - ONES) | word) & HIGHS;
		if (marks != 0)
			return at + __builtin_ctzll(marks) / 8; /* the first is right: nothing below it has borrowed */
		at += sizeof(word);
	}
	while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' && *at != '\\')
		at++;
	return at;
}

/* At the opening quote. */
static int check_string(struct scan *scan)
{
	const char *opening = scan->at++;
	for (;;) {
		scan->at = skip_plain(scan->at, scan->end);
		if (scan->at == scan->end)
			return fail(scan, opening, "this string does not end");
		unsigned char c = (unsigned char)*scan->at;
		if (c == '"') {
			scan->at++;
			return 0;
		}
		if (c == '\\') {
			if (check_escape(scan) < 0)
				return -1;
			continue;
		}
		if (c == 0)
			return fail(scan, scan->at, "the character U+0000 is not allowed");
		if (c < 0x20)
			return fail(scan, scan->at, "a control character must be escaped");
		size_t step = utf8_sequence_len(scan->at, (size_t)(scan->end - scan->at));
		if (step == 0)
			return fail(scan, scan->at, "invalid UTF-8");
		scan->at += step;
	}
}

static bool skip_digits(struct scan *scan)
{
	const char *first = scan->at;
	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
		scan->at++;
	return scan->at > first;
}

static bool skip_one_of(struct scan *scan, char a, char b)
{
	if (scan->at == scan->end || (*scan->at != a && *scan->at != b))
		return false;
	scan->at++;
	return true;
}

static int check_number(struct scan *scan)
{
	const char *first = scan->at;
	(void)skip_one_of(scan, '-', '-'); /* optional */
	if (scan->at < scan->end && *scan->at == '0')
		scan->at++;
	else if (!skip_digits(scan))
		return fail(scan, first, "a number without digits");
	if (skip_one_of(scan, '.', '.') && !skip_digits(scan))
		return fail(scan, first, "a number without digits after the point");
	bool exponent = skip_one_of(scan, 'e', 'E');
	if (exponent) {
		(void)skip_one_of(scan, '+', '-'); /* optional */
		if (!skip_digits(scan))
			return fail(scan, first, "a number without digits in its exponent");
	}
	size_t len = (size_t)(scan->at - first);
	if (len > JSON_MAX_NUMBER_LEN)
		return fail(scan, first, "a number of more than 63 characters");
	if (exponent) { /* without one, 63 digits stay within a double */
		char text[JSON_MAX_NUMBER_LEN + 1];
		memcpy(text, first, len);
		text[len] = '\0';
		if (isinf(strtod(text, NULL)))
			return fail(scan, first, "a number outside of the range of a double");
	}
	return 0;
}

static int check_literal(struct scan *scan, const char *word, size_t len)
{
	if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
		return fail(scan, scan->at, "a value is expected");
	scan->at += len;
	return 0;
}

static int check_scalar(struct scan *scan)
{
	switch (*scan->at) {
	case '"':
		return check_string(scan);
	case 't':
		return check_literal(scan, "true", 4);
	case 'f':
		return check_literal(scan, "false", 5);
	case 'n':
		return check_literal(scan, "null", 4);
	default:
		if (*scan->at == '-' || (*scan->at >= '0' && *scan->at <= '9'))
			return check_number(scan);
		return fail(scan, scan->at, "a value is expected");
	}
}

/* `"key":` with blanks around; leaves `at` at the value. */
static int check_key(struct scan *scan)
{
	skip_blanks(scan);
	if (scan->at == scan->end || *scan->at != '"')
		return fail(scan, scan->at, "a key in quotes is expected");
	if (check_string(scan) < 0)
		return -1;
	skip_blanks(scan);
	if (scan->at == scan->end || *scan->at != ':')
		return fail(scan, scan->at, "\":\" is expected");
	scan->at++;
	return 0;
}

int json_check(const char *data, size_t len, struct error *err)
{
	struct scan scan = {data, data, data + len, err};
	uint64_t objects = 0; /* a bit per open level: 1 = object */
	unsigned depth = 0;
	for (;;) {
		/* A value begins here. */
		skip_blanks(&scan);
		if (scan.at == scan.end)
			return fail(&scan, scan.at, "a value is expected");
		bool opened = *scan.at == '{' || *scan.at == '[';
		if (opened) {
			if (depth == JSON_MAX_DEPTH)
				return fail(&scan, scan.at, "nested more than 32 levels deep");
			objects = objects << 1 | (*scan.at == '{');
			depth++;
			scan.at++;
			skip_blanks(&scan);
		} else if (check_scalar(&scan) < 0) {
			return -1;
		}
		/* What follows a value, or the end of an empty container. */
		for (;; opened = false) {
			if (depth == 0) {
				skip_blanks(&scan);
				return scan.at == scan.end ? 0 : fail(&scan, scan.at, "more text after the value");
			}
			bool in_object = (objects & 1) != 0;
			skip_blanks(&scan);
			bool closes = scan.at < scan.end && *scan.at == (in_object ? '}' : ']');
			if (closes) {
				scan.at++;
				objects >>= 1;
				depth--;
				continue;
			}
			if (!opened) {
				if (scan.at == scan.end || *scan.at != ',')
					return fail(&scan, scan.at,
								in_object ? "\",\" or \"}\" is expected" : "\",\" or \"]\" is expected");
				scan.at++;
			}
			if (in_object && check_key(&scan) < 0)
				return -1;
			break;
		}
	}
}
