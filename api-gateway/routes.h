/*
 * The one route table. Everything else about routes is derived from it: look-up, 404, 405 with Allow, HEAD, --routes,
 * the check of the published contract.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct request;

/* Makes request->answer. Those with ROUTE_ON_LOOP run on the request's loop: they never block, and return true when the
 * answer is made, false when it will come later (they arranged for request_send). All others run on a worker and must
 * return true. */
typedef bool route_handler(struct request *request);

enum route_flags {
	ROUTE_PUBLIC = 1,  /* no token */
	ROUTE_ON_LOOP = 2, /* the handler runs on the loop */
	ROUTE_WAITS = 4,   /* takes Prefer: wait (build_wait.h) */
	/* Answers with a file of any type: the pattern's last {…} takes the rest of the path, slashes included
	 * (request->rest, as it came; the parameter is the {…} before it), Range counts and Accept does not. */
	ROUTE_FILE = 8,
	ROUTE_SENDS = 16, /* the handler waits on a worker for Kafka to take a record (record_send.h) */
};

struct route {
	const char *method;
	const char *pattern; /* segments; {…} takes one */
	uint64_t scopes;     /* all of them are needed; 0: any token will do */
	unsigned flags;
	route_handler *handler;
	unsigned query;            /* bits of query_parameter */
	const char *const *offers; /* types of a successful answer; NULL: JSON */
};

extern const struct route gateway_routes[];
extern const size_t gateway_routes_len;

enum route_outcome { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD, ROUTE_BAD_PATH };

/*
 * Looks a request up. `path` is the raw path without the query. The {…} segment is percent-decoded into ret_param; one
 * that decodes to more than 63 bytes names nothing (ROUTE_NO_PATH); a bad escape, or NUL, is ROUTE_BAD_PATH. HEAD finds
 * GET. ROUTE_NO_METHOD: the path exists; routes_allow lists what it takes.
 */
enum route_outcome routes_find(const char *method, size_t method_len, const char *path, size_t path_len,
							   const struct route **ret_route, char ret_param[64]);
/* Of a path that was found for a route with ROUTE_FILE: what its last {…} has taken, in `path`. */
const char *routes_rest(const struct route *route, const char *path, size_t path_len, size_t *ret_len);
/* "GET, HEAD, POST" of a path that exists. */
void routes_allow(const char *path, size_t path_len, char *ret, size_t size);
/* "METHOD PATH SCOPE" lines, in the order of the table. */
void routes_print(FILE *out);
