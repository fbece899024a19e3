#include "tests/bench/sim/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"

#define ANSWER_MAX_BYTES 65536
#define READ_BYTES 4096

int connection_open(struct connection *connection, const struct sockaddr_in *address, struct error *err)
{
	const int on = 1;
	*connection = (struct connection){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	buffer_init(&connection->in, ANSWER_MAX_BYTES);
	if (connection->fd < 0 || connect(connection->fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
		setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return error_set_errno(err, errno, "connect");
	return 0;
}

void connection_close(struct connection *connection)
{
	if (connection->fd >= 0)
		(void)close(connection->fd); /* nothing is lost */
	connection->fd = -1;
	buffer_release(&connection->in);
}

int connection_send(struct connection *connection, size_t request, const struct buffer *text)
{
	connection->busy = true;
	connection->request = request;
	connection->sent_us = clock_boot_us();
	ssize_t sent = send(connection->fd, text->data, text->len, MSG_NOSIGNAL);
	return sent == (ssize_t)text->len ? 0 : -1;
}

/* The value of a header, which is given with its colon; -1 when it is absent. */
static long header_number(const char *head, const char *name)
{
	const size_t len = strlen(name);
	for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) == 0)
			return strtol(line + len, NULL, 10);
	}
	return -1;
}

static void find_task_id(const char *body, char ret[UUID_TEXT_SIZE])
{
	static const char name[] = "\"task_id\":\"";
	const char *found = strstr(body, name);
	ret[0] = '\0';
	if (found != NULL && strlen(found) >= sizeof(name) - 1 + UUID_TEXT_SIZE - 1)
		(void)snprintf(ret, UUID_TEXT_SIZE, "%s", found + sizeof(name) - 1);
}

static enum received look(struct connection *connection, struct answer *ret_answer)
{
	const char *end = strstr(connection->in.data, "\r\n\r\n");
	if (end == NULL)
		return RECEIVED_PART;
	long length = header_number(connection->in.data, "content-length:");
	size_t head_len = (size_t)(end - connection->in.data) + 4;
	if (length < 0)
		return RECEIVED_CLOSE; /* an answer that we cannot read */
	if (connection->in.len < head_len + (size_t)length)
		return RECEIVED_PART;
	ret_answer->status = (int)strtol(connection->in.data + sizeof("HTTP/1.1 ") - 1, NULL, 10);
	ret_answer->retry_after_s = header_number(connection->in.data, "retry-after:");
	find_task_id(connection->in.data + head_len, ret_answer->task_id);
	buffer_clear(&connection->in);
	connection->busy = false;
	return RECEIVED_ANSWER;
}

enum received connection_receive(struct connection *connection, struct answer *ret_answer)
{
	char *space = buffer_reserve(&connection->in, READ_BYTES);
	if (space == NULL)
		return RECEIVED_CLOSE;
	ssize_t got = recv(connection->fd, space, READ_BYTES, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return RECEIVED_PART;
	if (got <= 0)
		return RECEIVED_CLOSE;
	buffer_commit(&connection->in, (size_t)got);
	return look(connection, ret_answer);
}
