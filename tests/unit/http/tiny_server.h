/* A server for tests: one thread, one connection at a time, answers every request with the bytes it was given. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct tiny_server {
	int listener, port;
	const char *answer; /* raw bytes; NULL: never answers */
	size_t answer_len;
	int requests;     /* read after tiny_server_stop */
	char last[16384]; /* the last request's head and body, NUL-terminated; read after tiny_server_stop */
	pthread_t thread;
};

void tiny_server_start(struct tiny_server *server, const char *answer, size_t answer_len);
void tiny_server_stop(struct tiny_server *server);
