/* One start of a worker, and whom a command is for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/ids.h"

struct incarnation {
	int64_t counter;
	char nonce[UUID_TEXT_SIZE];
};
bool incarnation_equal(const struct incarnation *a, const struct incarnation *b);

struct addressee {
	char worker_id[UUID_TEXT_SIZE];
	struct incarnation incarnation;
};
