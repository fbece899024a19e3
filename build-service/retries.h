/* What may be tried again, and when (docs/protocol.md sections 1 and 8). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "build-service/build.h"

struct retry_policy {
	int32_t max_losses;      /* attempts lost with their worker; the build fails with worker_lost at that many */
	int32_t max_mass_losses; /* losses of several attempts at once that are not counted */
	int64_t backoff_ms;      /* before the second try; doubles */
	int64_t backoff_max_ms;
	int64_t settle_limit_ms; /* then a build ends unsettled */
};

extern const struct retry_policy retry_policy_default;

/* An accepted attempt was lost with its worker: takes it back from attempts_used and counts it where it belongs. */
void retries_count_loss(const struct retry_policy *policy, struct build *build, bool mass);
/* May the build be given to a worker once more after that loss? */
bool retries_after_loss(const struct retry_policy *policy, const struct build *build);
/* The first repeat after a loss does not wait, and neither do the first few that no worker accepted. */
int64_t retries_wait_after_loss_ms(const struct retry_policy *policy, const struct build *build, bool accepted);
/* May it after a retryable failure? */
bool retries_after_failure(const struct build *build);
/* The wait before try n (1 = the first repeat): backoff × 2^(n-1) up to the maximum, and up to a quarter more, spread
 * by the build's id. */
int64_t retries_backoff_ms(const struct retry_policy *policy, int32_t nth, const char *build_id);
