/* W3C Trace Context, as far as those need it who only pass it on: the trace's id, for the log. */
#pragma once

#define TRACE_ID_SIZE 33

/* `ret`, with the id of that traceparent (may be NULL) in it; NULL when it has none. */
const char *trace_id_of(const char *traceparent, char ret[TRACE_ID_SIZE]);
