/* RFC 3339 by arithmetic: no locale, no time zone database, no static storage. */
#include "common/base/clock.h"

#include <stdbool.h>

#define US_PER_SECOND INT64_C(1000000)
#define SECONDS_PER_DAY 86400
#define YEAR_0000_US (INT64_C(-62167219200) * US_PER_SECOND)
#define YEAR_9999_END_US (INT64_C(253402300800) * US_PER_SECOND - 1)

struct civil {
	int64_t year;
	int month, day;
};

/* Days since 1970-01-01 of the proleptic Gregorian calendar (Hinnant, chrono-Compatible Low-Level Date Algorithms). */
static int64_t days_from_civil(struct civil date)
{
	int64_t y = date.month <= 2 ? date.year - 1 : date.year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return era * 146097 + day_of_era - 719468;
}

static struct civil civil_from_days(int64_t days)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t day_of_era = days - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted_month = (5 * day_of_year + 2) / 153;
	struct civil date = {.day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1),
						 .month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9)};
	date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
	return date;
}

static char *put_digits(char *out, int64_t value, int digits)
{
	for (int i = digits - 1; i >= 0; i--) {
		out[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return out + digits;
}

void clock_format_rfc3339(int64_t wall_us, char ret[CLOCK_RFC3339_SIZE])
{
	if (wall_us < YEAR_0000_US)
		wall_us = YEAR_0000_US;
	if (wall_us > YEAR_9999_END_US)
		wall_us = YEAR_9999_END_US;
	int64_t fraction = wall_us % US_PER_SECOND;
	if (fraction < 0)
		fraction += US_PER_SECOND;
	int64_t seconds = (wall_us - fraction) / US_PER_SECOND;
	int64_t of_day = seconds % SECONDS_PER_DAY;
	if (of_day < 0)
		of_day += SECONDS_PER_DAY;
	struct civil date = civil_from_days((seconds - of_day) / SECONDS_PER_DAY);

	char *out = put_digits(ret, date.year, 4);
	*out++ = '-';
	out = put_digits(out, date.month, 2);
	*out++ = '-';
	out = put_digits(out, date.day, 2);
	*out++ = 'T';
	out = put_digits(out, of_day / 3600, 2);
	*out++ = ':';
	out = put_digits(out, of_day / 60 % 60, 2);
	*out++ = ':';
	out = put_digits(out, of_day % 60, 2);
	*out++ = '.';
	out = put_digits(out, fraction, 6);
	*out++ = 'Z';
	*out = '\0';
}

struct cursor {
	const char *at, *end;
};

static bool take_digits(struct cursor *text, int digits, int *ret_value)
{
	if (text->end - text->at < digits)
		return false;
	int value = 0;
	for (int i = 0; i < digits; i++) {
		char c = text->at[i];
		if (c < '0' || c > '9')
			return false;
		value = value * 10 + (c - '0');
	}
	text->at += digits;
	*ret_value = value;
	return true;
}

static bool take_char(struct cursor *text, char upper, char lower)
{
	if (text->at == text->end || (*text->at != upper && *text->at != lower))
		return false;
	text->at++;
	return true;
}

/* Digits past the sixth are cut off. */
static bool take_fraction(struct cursor *text, int64_t *ret_us)
{
	int64_t us = 0;
	int digits = 0;
	for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++, digits++) {
		if (digits < 6)
			us = us * 10 + (*text->at - '0');
	}
	for (int i = digits; i < 6; i++)
		us *= 10;
	*ret_us = us;
	return digits > 0;
}

static bool take_offset(struct cursor *text, int64_t *ret_seconds)
{
	if (take_char(text, 'Z', 'z')) {
		*ret_seconds = 0;
		return true;
	}
	int sign = 1, hours, minutes;
	if (take_char(text, '-', '-'))
		sign = -1;
	else if (!take_char(text, '+', '+'))
		return false;
	if (!take_digits(text, 2, &hours) || !take_char(text, ':', ':') || !take_digits(text, 2, &minutes))
		return false;
	if (hours > 23 || minutes > 59)
		return false;
	*ret_seconds = (int64_t)sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool date_exists(struct civil date)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	if (date.month < 1 || date.month > 12 || date.day < 1)
		return false;
	bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
	return date.day <= days[date.month - 1] + (date.month == 2 && leap ? 1 : 0);
}

int clock_parse_rfc3339(const char *text, size_t len, int64_t *ret_wall_us)
{
	struct cursor in = {text, text + len};
	struct civil date;
	int year, hour, minute, second;
	if (!take_digits(&in, 4, &year) || !take_char(&in, '-', '-') || !take_digits(&in, 2, &date.month) ||
		!take_char(&in, '-', '-') || !take_digits(&in, 2, &date.day) || !take_char(&in, 'T', 't') ||
		!take_digits(&in, 2, &hour) || !take_char(&in, ':', ':') || !take_digits(&in, 2, &minute) ||
		!take_char(&in, ':', ':') || !take_digits(&in, 2, &second))
		return -1;
	date.year = year;
	/* Second 60 is a leap second: counted as the first one of the next minute, as POSIX time does. */
	if (!date_exists(date) || hour > 23 || minute > 59 || second > 60)
		return -1;
	int64_t fraction = 0, offset;
	if (take_char(&in, '.', '.') && !take_fraction(&in, &fraction))
		return -1;
	if (!take_offset(&in, &offset) || in.at != in.end)
		return -1;
	int64_t of_day = (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
	int64_t seconds = days_from_civil(date) * SECONDS_PER_DAY + of_day - offset;
	*ret_wall_us = seconds * US_PER_SECOND + fraction;
	return 0;
}
