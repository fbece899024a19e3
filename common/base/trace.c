#include "common/base/trace.h"

#include <string.h>

#include "common/base/str.h"

#define ID_AT 3 /* behind the version */
#define ID_LEN (TRACE_ID_SIZE - 1)

const char *trace_id_of(const char *traceparent, char ret[TRACE_ID_SIZE])
{
	if (traceparent == NULL || strlen(traceparent) <= ID_AT + ID_LEN || traceparent[ID_AT - 1] != '-' ||
		!str_is_hex(traceparent + ID_AT, ID_LEN) || traceparent[ID_AT + ID_LEN] != '-')
		return NULL;
	memcpy(ret, traceparent + ID_AT, ID_LEN);
	ret[ID_LEN] = '\0';
	return ret;
}
