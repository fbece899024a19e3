/*
 * Cross-origin requests (the Fetch standard, section 3.2) of browsers, for the origins that the configuration names. No
 * credentials are allowed: tokens travel in Authorization, which a page's script sets itself, and never in a cookie.
 *
 * Off, which is the default, OPTIONS is 405 as any method that a path does not take. An origin that is not named sees
 * the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define CORS_FIELDS_MAX 3

struct cors;
struct request;

/* KILN_CORS_ORIGINS: origins as browsers write them, or *. NULL or empty: off, *ret is NULL. ERR_INVALID. */
int cors_new(const char *origins, struct cors **ret, struct error *err) MUST_CHECK;
void cors_free(struct cors *cors); /* takes NULL */
/* Could it be made? A config_option's check. */
int cors_check(const char *origins, struct error *err) MUST_CHECK;
/* Any thread. `cors` may be NULL. */
bool cors_allows(const struct cors *cors, const char *origin, size_t len);

/* What lets `origin` (data NULL: there is none) read an answer: fields of its head. Values are static or the origin.
 * Any thread. Returns how many; `cors` may be NULL. */
struct cors_field {
	const char *name, *value;
	size_t value_len;
};
size_t cors_fields(const struct cors *cors, const char *origin, size_t len, struct cors_field ret[CORS_FIELDS_MAX]);

/* Loop: adds to the head of any answer what lets its origin read it. */
void cors_add_head(struct request *request);
/* Loop: is it a preflight of an origin that is allowed? Then request->answer is its 204; `allow`: what the path takes.
 */
bool cors_answer_preflight(struct request *request, const char *allow);
