#include "common/base/listen.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/fd.h"

int listen_on(const char *host, const char *port, int ai_flags, int backlog, int *ret_fd, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | ai_flags};
	struct addrinfo *found = NULL;
	int failed = getaddrinfo(host, port, &hints, &found);
	if (failed != 0)
		return error_set(err, ERR_INVALID, "%s:%s: %s", host, port, gai_strerror(failed));
	CLEANUP(close_p) int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	int rc = 0;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, backlog) < 0)
		rc = error_set_errno(err, errno, "listening on %s:%s", host, port);
	freeaddrinfo(found);
	if (rc == 0)
		*ret_fd = fd_take(&fd);
	return rc;
}

int listen_check_address(const char *address, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
	struct addrinfo *found = NULL;
	if (getaddrinfo(address, NULL, &hints, &found) != 0)
		return error_set(err, ERR_INVALID, "\"%.100s\" is no IP address", address);
	freeaddrinfo(found);
	return 0;
}

int listen_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} bound;
	memset(&bound, 0, sizeof(bound));
	socklen_t len = sizeof(bound);
	CHECK(getsockname(fd, &bound.any, &len) == 0);
	return ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
}
