/*
 * kiln.build.results: what executors report of their attempts. The token decides (docs/protocol.md section 1): a report
 * of any other is ignored and counted. A finished attempt with a legible token and worker is never poison: whatever is
 * wrong with its result, the build ends. Behind one that is poison its attempt is ended by expiry.c.
 */
#pragma once

#include "build-service/build_set.h"
#include "build-service/commands.h"
#include "build-service/transitions.h"
#include "common/json/json.h"
#include "common/json/schema.h"

enum report_kind { REPORT_OTHER, REPORT_ACCEPTED, REPORT_PHASE, REPORT_FINISHED };

struct report {
	enum report_kind kind; /* REPORT_OTHER: a type that this service does not know */
	cJSON *data;           /* owned */
	const char *ce_id, *type;
	const char *text; /* the data as it came; NULL when it came from early_results */
	struct addressee from;
	struct occurrence occurrence;
	const char *commit_sha; /* REPORT_FINISHED: what was published; NULL = nothing */
};

/* ERR_INVALID (poison) when token or worker are not legible. What a build keeps of it lives in the arena, the rest in
 * `data`. */
int report_read(const char *ce_id, const char *type, const char *text, size_t len, const struct schema_set *schemas,
				struct arena *arena, struct report *ret_report, struct error *err) MUST_CHECK;
void report_release(struct report *report);

/* Applies it to the build it names (which exists) and adds what the worker is to be told. */
enum applied report_apply(const struct transition_context *context, const struct report *report, struct build *build,
						  struct command_list *commands);
/* A stale report announces the push of an attempt that may have been lost, and its build has not ended. */
bool report_tells_late_push(const struct report *report, enum applied applied, const struct build *build);
/* A stale report tells of a push that the build's end does not know: worth a look (docs/protocol.md section 7). */
bool report_may_be_late(const struct report *report, enum applied applied, const struct build *build);
