#include "common/base/ids.h"

#include <errno.h>
#include <sys/random.h>

/* No pool of random bytes in the process: a forked child would hand out its parent's. */
void random_bytes(void *ret, size_t len)
{
	unsigned char *out = ret;
	while (len > 0) {
		ssize_t got = getrandom(out, len, 0);
		if (got < 0 && errno == EINTR)
			continue;
		CHECK(got > 0);
		out += got;
		len -= (size_t)got;
	}
}

/* Lemire's multiplication, with the rejection that makes it uniform. */
uint32_t random_below(uint32_t bound)
{
	CHECK(bound > 0);
	uint32_t threshold = (0U - bound) % bound;
	for (;;) {
		uint32_t random;
		random_bytes(&random, sizeof(random));
		uint64_t product = (uint64_t)random * bound;
		if ((uint32_t)product >= threshold)
			return (uint32_t)(product >> 32);
	}
}
