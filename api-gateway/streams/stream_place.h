/* Where the records of a stream's key are looked for. Any thread. */
#pragma once

#include <stdint.h>

#define STREAM_BUCKETS 4096

/* The bucket of a key (a build's id, a project's) in a loop's hub, below STREAM_BUCKETS. */
uint16_t stream_bucket(const char *key);
/* The partition of a build's log records. */
int32_t stream_log_partition(const char *build_id);
