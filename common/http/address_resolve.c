/* address_guard_resolve: a look-up that is waited for. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/http/address_guard.h"
#include "common/http/address_look_up.h"

static bool wait_until_done(const struct address_look_up *look_up, int64_t deadline_ms)
{
	struct pollfd done = {.fd = address_look_up_fd(look_up), .events = POLLIN};
	int count;

	do {
		count = poll(&done, 1, clock_left_ms(deadline_ms));
	} while (count < 0 && errno == EINTR);
	return count > 0;
}

int address_guard_resolve(const struct address_guard *guard, const char *host, int port, int64_t deadline_ms,
						  char (*ret_addresses)[INET6_ADDRSTRLEN], size_t max, size_t *ret_len, struct error *err)
{
	struct address_look_up *look_up = NULL;
	struct sockaddr_storage *found = xcalloc(max, sizeof(*found));
	size_t found_len = 0, len = 0;
	int result;

	result = address_look_up_start(host, port, &look_up, err);
	if (result == 0 && !wait_until_done(look_up, deadline_ms))
		result = error_set(err, ERR_UNAVAILABLE, "%s does not resolve in time", host);
	if (result == 0)
		result = address_look_up_take(look_up, guard, found, max, &found_len, err);
	for (size_t i = 0; i < found_len; i++) {
		if (getnameinfo((const struct sockaddr *)&found[i], sizeof(found[i]), ret_addresses[len], INET6_ADDRSTRLEN,
						NULL, 0, NI_NUMERICHOST) == 0)
			len++;
	}
	if (result == 0)
		*ret_len = len;
	address_look_up_free(look_up);
	free(found);
	return result;
}
