/* One HTTP/1.1 keep-alive connection with one request at a time. Non-blocking. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/ids.h"

struct connection {
	int fd;
	bool busy;
	size_t request;  /* the caller's number */
	int64_t sent_us; /* clock_boot_us before its first byte */
	struct buffer in;
};

struct answer {
	int status;
	long retry_after_s;           /* -1: not told */
	char task_id[UUID_TEXT_SIZE]; /* "" when the body has none */
};

enum received { RECEIVED_PART, RECEIVED_ANSWER, RECEIVED_CLOSE };

int connection_open(struct connection *connection, const struct sockaddr_in *address, struct error *err) MUST_CHECK;
void connection_close(struct connection *connection);
/* The whole request at once: it fits into the socket's buffer. -1: the server has closed the connection. */
int connection_send(struct connection *connection, size_t request, const struct buffer *text) MUST_CHECK;
/* After EPOLLIN. */
enum received connection_receive(struct connection *connection, struct answer *ret_answer);
