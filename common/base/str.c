#include "common/base/str.h"

#include "common/base/alloc.h"

bool str_equal(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
	size_t text_len = strlen(text), suffix_len = strlen(suffix);
	return text_len >= suffix_len && memcmp(text + text_len - suffix_len, suffix, suffix_len) == 0;
}

bool str_equal_constant_time(const void *a, const void *b, size_t len)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char difference = 0;
	for (size_t i = 0; i < len; i++)
		difference |= (unsigned char)(x[i] ^ y[i]);
	return difference == 0;
}

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool str_is_name(const char *text, size_t len)
{
	if (len < 1 || len > 63 || !is_lower_or_digit(text[0]))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_lower_or_digit(text[i]) && text[i] != '-')
			return false;
	}
	return true;
}

bool str_is_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	}
	return true;
}

bool str_is_sha(const char *text, size_t len)
{
	return (len == 40 || len == 64) && str_is_hex(text, len);
}

int str_parse_int(const char *text, size_t len, int64_t min, int64_t max, int64_t *ret_value, struct error *err)
{
	size_t at = 0;
	bool negative = min < 0 && len > 0 && text[0] == '-';
	if (negative)
		at = 1;
	if (at == len)
		return error_set(err, ERR_INVALID, "a number is expected");
	int64_t value = 0; /* kept negative: the range is larger by one there */
	bool overflow = false;
	for (; at < len; at++) {
		if (text[at] < '0' || text[at] > '9')
			return error_set(err, ERR_INVALID, "not a decimal number");
		overflow = overflow || __builtin_mul_overflow(value, 10, &value) ||
				   __builtin_sub_overflow(value, text[at] - '0', &value);
	}
	if (!negative)
		overflow = overflow || __builtin_sub_overflow(0, value, &value);
	if (overflow || value < min || value > max)
		return error_set(err, ERR_INVALID, "out of range: %lld to %lld", (long long)min, (long long)max);
	*ret_value = value;
	return 0;
}

int str_parse_bool(const char *text, bool *ret_value, struct error *err)
{
	static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret_value = i % 2 == 1;
			return 0;
		}
	}
	return error_set(err, ERR_INVALID, "true or false is expected");
}
