#include "build-service/retries.h"

#include "common/base/hash.h"

const struct retry_policy retry_policy_default = {
	.max_losses = 3,
	.max_mass_losses = 2,
	.backoff_ms = 2000,
	.backoff_max_ms = 300000,
	.settle_limit_ms = 3600000,
};

void retries_count_loss(const struct retry_policy *policy, struct build *build, bool mass)
{
	if (build->attempts_used > 0)
		build->attempts_used--;
	if (mass && build->mass_losses < policy->max_mass_losses)
		build->mass_losses++;
	else
		build->losses++;
}

bool retries_after_loss(const struct retry_policy *policy, const struct build *build)
{
	return build->losses < policy->max_losses;
}

/* A build that worker after worker does not accept shall not take a slot from the others for ever. */
#define UNACCEPTED_AT_ONCE 3
#define EPOCH_JUMP 1000

int64_t retries_wait_after_loss_ms(const struct retry_policy *policy, const struct build *build, bool accepted)
{
	if (accepted)
		return build->losses > 1 ? retries_backoff_ms(policy, build->losses - 1, build->id) : 0;
	int32_t assigned = build->attempt.number % EPOCH_JUMP;
	int32_t unaccepted = assigned - build->attempts_used - build->losses - build->mass_losses;
	return unaccepted > UNACCEPTED_AT_ONCE ? retries_backoff_ms(policy, unaccepted - UNACCEPTED_AT_ONCE, build->id) : 0;
}

bool retries_after_failure(const struct build *build)
{
	return build->attempts_used < build->max_attempts;
}

int64_t retries_backoff_ms(const struct retry_policy *policy, int32_t nth, const char *build_id)
{
	int64_t wait_ms = policy->backoff_ms;
	for (int32_t i = 1; i < nth && wait_ms < policy->backoff_max_ms; i++)
		wait_ms *= 2;
	if (wait_ms > policy->backoff_max_ms)
		wait_ms = policy->backoff_max_ms;
	uint32_t spread = kafka_murmur2(build_id, __builtin_strlen(build_id)) % 256;
	return wait_ms + wait_ms * (int64_t)spread / 1024;
}
