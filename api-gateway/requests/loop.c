#include "api-gateway/requests/loop.h"

#include <string.h>

#include "common/base/ids.h"

void loop_random(struct loop *loop, void *ret, size_t len)
{
	CHECK(len <= LOOP_RANDOM_BYTES);
	if (loop->random_left < len) {
		random_bytes(loop->random, sizeof(loop->random));
		loop->random_left = sizeof(loop->random);
	}
	loop->random_left -= len;
	memcpy(ret, loop->random + loop->random_left, len);
}
