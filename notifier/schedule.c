#include "notifier/schedule.h"

#include "common/base/ids.h"
#include "common/base/str.h"

#define MAX_DELAY_S (INT64_C(7) * 86400)

struct parsing {
	struct schedule *schedule;
	struct error *err;
};

static int add_delay(void *ctx, const char *part, size_t len)
{
	struct parsing *parsing = ctx;
	struct schedule *schedule = parsing->schedule;
	int64_t seconds;

	if (schedule->len == SCHEDULE_MAX_ATTEMPTS)
		return error_set(parsing->err, ERR_INVALID, "more than %d attempts", SCHEDULE_MAX_ATTEMPTS);
	if (str_parse_int(part, len, 0, MAX_DELAY_S, &seconds, parsing->err) < 0)
		return -1;
	schedule->delay_ms[schedule->len++] = seconds * 1000;
	return 0;
}

int schedule_parse(const char *text, struct schedule *ret_schedule, struct error *err)
{
	struct schedule schedule = {.len = 0};
	struct parsing parsing = {&schedule, err};

	if (str_split(text, ',', add_delay, &parsing) != 0)
		return -1;
	if (schedule.len == 0)
		return error_set(err, ERR_INVALID, "it is empty");
	*ret_schedule = schedule;
	return 0;
}

int schedule_check(const char *text, struct error *err)
{
	struct schedule schedule;
	return schedule_parse(text, &schedule, err);
}

bool schedule_next(const struct schedule *schedule, int64_t attempts_made, int64_t retry_after_s, int64_t *ret_delay_ms)
{
	if (attempts_made >= (int64_t)schedule->len)
		return false;
	int64_t delay_ms = schedule->delay_ms[attempts_made];
	delay_ms += random_below((uint32_t)(delay_ms / 10) + 1);
	if (retry_after_s > SCHEDULE_MAX_RETRY_AFTER_S)
		retry_after_s = SCHEDULE_MAX_RETRY_AFTER_S;
	*ret_delay_ms = delay_ms < retry_after_s * 1000 ? retry_after_s * 1000 : delay_ms;
	return true;
}
