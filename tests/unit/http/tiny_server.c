#include "tests/unit/http/tiny_server.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/compiler.h"

/* Head and, by Content-Length, body. False at the end of the connection. */
static bool read_request(struct tiny_server *server, int fd)
{
	size_t len = 0, wanted = 0;

	while (wanted == 0 || len < wanted) {
		ssize_t got = read(fd, server->last + len, sizeof(server->last) - 1 - len);
		if (got <= 0)
			return false;
		len += (size_t)got;
		server->last[len] = '\0';
		const char *end = strstr(server->last, "\r\n\r\n");
		const char *length = strcasestr(server->last, "content-length:");
		if (end != NULL)
			wanted = (size_t)(end + 4 - server->last) +
					 (length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0);
	}
	return true;
}

static void *serve(void *ctx)
{
	struct tiny_server *server = ctx;
	int fd;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		while (read_request(server, fd)) {
			server->requests++;
			if (server->answer != NULL && write(fd, server->answer, server->answer_len) < 0)
				break;
		}
		close(fd);
	}
	return NULL;
}

void tiny_server_start(struct tiny_server *server, const char *answer, size_t answer_len)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(address);

	memset(server, 0, sizeof(*server));
	server->answer = answer;
	server->answer_len = answer_len;
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(server->listener >= 0);
	CHECK(bind(server->listener, (const struct sockaddr *)&address, len) == 0);
	CHECK(listen(server->listener, 16) == 0);
	CHECK(getsockname(server->listener, (struct sockaddr *)&address, &len) == 0);
	server->port = ntohs(address.sin_port);
	CHECK(pthread_create(&server->thread, NULL, serve, server) == 0);
}

/* The clients have closed their connections by now. */
void tiny_server_stop(struct tiny_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
}
