/* RFC 9457 problem details. Titles, statuses and explanations are those of schemas/problems.json, embedded. */
#pragma once

#include <stddef.h>

#include "api-gateway/http/answer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/json/schema.h"

struct request;

enum problem {
	PROBLEM_BAD_REQUEST,
	PROBLEM_INVALID_JSON,
	PROBLEM_UNAUTHORIZED,
	PROBLEM_FORBIDDEN,
	PROBLEM_NOT_FOUND,
	PROBLEM_METHOD_NOT_ALLOWED,
	PROBLEM_NOT_ACCEPTABLE,
	PROBLEM_REQUEST_TIMEOUT,
	PROBLEM_PROJECT_EXISTS,
	PROBLEM_PROJECT_HAS_ACTIVE_BUILDS,
	PROBLEM_BUILD_ENDED,
	PROBLEM_BUILD_NOT_ENDED,
	PROBLEM_NOT_RETRYABLE,
	PROBLEM_WORKER_GONE,
	PROBLEM_PRECONDITION_FAILED,
	PROBLEM_PAYLOAD_TOO_LARGE,
	PROBLEM_URI_TOO_LONG,
	PROBLEM_UNSUPPORTED_MEDIA_TYPE,
	PROBLEM_RANGE_NOT_SATISFIABLE,
	PROBLEM_EXPECTATION_FAILED,
	PROBLEM_VALIDATION_FAILED,
	PROBLEM_KEY_REUSED,
	PROBLEM_PRECONDITION_REQUIRED,
	PROBLEM_TOO_MANY_REQUESTS,
	PROBLEM_HEADER_TOO_LARGE,
	PROBLEM_INTERNAL,
	PROBLEM_KAFKA_UNAVAILABLE,
	PROBLEM_DATABASE_UNAVAILABLE,
	PROBLEM_OUTCOME_UNKNOWN,
	PROBLEM_UNDECIDABLE,
	PROBLEM_OVERLOADED,
	PROBLEM_SHUTTING_DOWN,
	PROBLEM_COUNT,
};

/* Members that some problems have beyond the standard ones; zeroed is none. */
struct problem_extras {
	const struct schema_problems *errors;
	const char *task_id;      /* with outcome-unknown: the build; "" as NULL */
	const char *build_status; /* with build-ended and build-not-ended */
	int64_t retry_after_s;    /* of 429 and 503; 0: 1 of a 429, 1 to 3 at random of a 503 */
};

/* Reads problems.json; every type above must be in it. Before the loops start. */
int problems_load(const struct schema_file *files, struct error *err) MUST_CHECK;

struct problem_type {
	char *slug;
	int status;
	char *title;
	char *explanation;
};
/* All types of the file, for GET /problems/{type}; NULL when there is no such type. Static storage after the load. */
const struct problem_type *problem_type_find(const char *slug);

/* Makes `answer` a problem. Retry-After is added to 429 and 503, `outcome` to outcome-unknown. */
void problem_write(struct answer *answer, enum problem problem, const char *request_id,
				   const struct problem_extras *extras, const char *detail);

/* The same for request->answer. They return -1, so that a handler can `return problem_…`. */
int problem_answer(struct request *request, enum problem problem, const char *format, ...) PRINTF_LIKE(3, 4);
int problem_answer_errors(struct request *request, enum problem problem, const struct schema_problems *errors);
/* outcome-unknown, with the build that the request is about, if it is about one (request_set_build). */
int problem_answer_unknown(struct request *request, const char *detail);
