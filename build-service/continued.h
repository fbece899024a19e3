/*
 * `continues` of attempt.assign: what a build that names `continue_from` is told of that earlier build. Its prompt and
 * its answer are cut to CONTINUED_MAX_BYTES each (the prompt's beginning, the answer's end), so that the assignment
 * stays a message whatever they are.
 */
#pragma once

#include "common/json/json.h"
#include "common/pg/pg.h"

#define CONTINUED_MAX_BYTES ((size_t)32 * 1024)

/* A row of read_assignments.sql; the texts are the result's. */
struct continued {
	const char *from; /* the id that was named; NULL = none: nothing else is set */
	const char *id;   /* NULL: there is no such build of this project */
	bool ended;
	const char *prompt, *output, *agent; /* JSON; NULL = none */
};

void continued_take_row(struct continued *continued, const PGresult *rows, int row);
/* The member `continues`: null when the build continues none. */
void continued_write(struct json_writer *w, const struct continued *continued);
