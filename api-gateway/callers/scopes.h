/* Scopes: what a token may do, as bits. `admin` has all of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"

enum scope {
	SCOPE_ADMIN = 1 << 0,
	SCOPE_PROJECTS_READ = 1 << 1,
	SCOPE_PROJECTS_WRITE = 1 << 2,
	SCOPE_BUILDS_READ = 1 << 3,
	SCOPE_BUILDS_WRITE = 1 << 4,
	SCOPE_TEMPLATES_READ = 1 << 5,
	SCOPE_TEMPLATES_WRITE = 1 << 6,
	SCOPE_TOKENS_WRITE = 1 << 7,
	SCOPE_WORKERS_READ = 1 << 8,
	SCOPE_WORKERS_WRITE = 1 << 9,
	SCOPE_WEBHOOKS_READ = 1 << 10,
	SCOPE_WEBHOOKS_WRITE = 1 << 11,
	SCOPE_PIPELINES_READ = 1 << 12,
	SCOPE_DOMAINS_READ = 1 << 13,
	SCOPE_DOMAINS_WRITE = 1 << 14,
};

/* 0 when there is no such scope. */
uint64_t scope_from_name(const char *name);
/* The name of bit number `index`; NULL past the last. */
const char *scope_name(size_t index);
/* Whether `held` has every bit of `needed`; admin has all. */
bool scopes_cover(uint64_t held, uint64_t needed);
/* "builds:read+builds:write" */
void scopes_append(struct buffer *buf, uint64_t scopes, char separator);
