/* Numbers as ECMAScript writes them (Number::toString), which is what RFC 8785 asks for. */
#include "common/json/json_internal.h"

#include <math.h>

#define MAX_DIGITS 17
#define EXACT_INTEGER 1e15 /* below it, whole numbers print as integers */

size_t json_format_int(int64_t value, char ret[JSON_NUMBER_SIZE])
{
	char digits[24];
	char *at = digits + sizeof(digits);
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	do {
		*--at = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		*--at = '-';
	size_t len = (size_t)(digits + sizeof(digits) - at);
	memcpy(ret, at, len);
	ret[len] = '\0';
	return len;
}

/* 0.d1d2…dk × 10^point */
struct decimal {
	char digits[MAX_DIGITS + 1];
	int count, point;
};

static void round_to(double value, int count, struct decimal *ret)
{
	char text[40];
	(void)snprintf(text, sizeof(text), "%.*e", count - 1, value); /* d.ddde±xx: 24 characters at most */
	ret->count = 0;
	const char *at = text;
	for (; *at != 'e'; at++) {
		if (*at != '.')
			ret->digits[ret->count++] = *at;
	}
	ret->point = (int)strtol(at + 1, NULL, 10) + 1;
	while (ret->count > 1 && ret->digits[ret->count - 1] == '0')
		ret->count--;
	ret->digits[ret->count] = '\0';
}

static bool reads_back(const struct decimal *decimal, double value)
{
	char text[48];
	(void)snprintf(text, sizeof(text), "0.%se%d", decimal->digits, decimal->point); /* 26 characters at most */
	return strtod(text, NULL) == value;
}

/* One up in the last of `count` digits. */
static void next_up(struct decimal *decimal, int count)
{
	while (decimal->count < count)
		decimal->digits[decimal->count++] = '0';
	int i = count - 1;
	while (i >= 0 && decimal->digits[i] == '9')
		i--;
	if (i < 0) {
		decimal->digits[0] = '1';
		decimal->count = 1;
		decimal->point++;
	} else {
		decimal->digits[i]++;
		decimal->count = i + 1;
	}
	decimal->digits[decimal->count] = '\0';
}

/* The fewest digits that read back as the same double; of those the closest. */
static void shortest(double value, struct decimal *ret)
{
	int exponent;
	/* Just below a power of two doubles lie twice as dense: the closest decimal may read back as the neighbour while
	 * the next one up, farther off, does not. */
	bool power_of_two = frexp(value, &exponent) == 0.5;
	/* Fifteen digits survive any normal double, so a shorter form shows by its zeros there; a subnormal has fewer. */
	for (int count = value >= 2.2250738585072014e-308 ? 15 : 1; count < MAX_DIGITS; count++) {
		round_to(value, count, ret);
		if (reads_back(ret, value))
			return;
		if (power_of_two) {
			next_up(ret, count);
			if (reads_back(ret, value))
				return;
		}
	}
	round_to(value, MAX_DIGITS, ret);
}

size_t json_format_double(double value, char ret[JSON_NUMBER_SIZE])
{
	if (fabs(value) < EXACT_INTEGER && value == trunc(value))
		return json_format_int((int64_t)value, ret); /* -0 is 0 */
	struct decimal d;
	shortest(fabs(value), &d);
	const char *sign = value < 0 ? "-" : "";
	int len;
	if (d.count <= d.point && d.point <= 21)
		len = snprintf(ret, JSON_NUMBER_SIZE, "%s%s%.*s", sign, d.digits, d.point - d.count, "000000000000000000000");
	else if (d.point > 0 && d.point < d.count) /* within the digits, of which there are fewer than 21 */
		len = snprintf(ret, JSON_NUMBER_SIZE, "%s%.*s.%s", sign, d.point, d.digits, d.digits + d.point);
	else if (d.point > -6 && d.point <= 0)
		len = snprintf(ret, JSON_NUMBER_SIZE, "%s0.%.*s%s", sign, -d.point, "000000", d.digits);
	else
		len = snprintf(ret, JSON_NUMBER_SIZE, "%s%c%s%se%+d", sign, d.digits[0], d.count > 1 ? "." : "", d.digits + 1,
					   d.point - 1);
	CHECK(len > 0 && len < JSON_NUMBER_SIZE);
	return (size_t)len;
}
