/*
 * X-Request-Id: what a client calls its request. It stands as it is in headers of answers and of webhooks, in logs, in
 * records and in the audit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_ID_MAX 64

/* 1 to REQUEST_ID_MAX of a-z, A-Z, 0-9, ".", "_", ":" and "-"; anything else is as if it were not there. */
bool request_id_is_valid(const char *text, size_t len);
