/*
 * The fields of a request's head. Loop. What is returned lies in h2o's memory, as long as its request; data is NULL when
 * there is none. Of several lines the first counts, where nothing else is said.
 */
#pragma once

#include <h2o.h>
#include <stdbool.h>

#include "api-gateway/requests/request.h"

/* Before any is read: blanks around a field's value are not of it (RFC 9110 section 5.5). h2o leaves those behind it,
 * and who is in front of the gateway may not: a key with one more would be another key. */
void fields_trim(h2o_req_t *h2o);

struct slice field_of(const h2o_req_t *h2o, const h2o_token_t *token);
struct slice field_by_name(const h2o_req_t *h2o, const char *name);
/* A field that is a list may come in several lines, which are one (RFC 9110 section 5.3). */
struct slice field_list(h2o_req_t *h2o, const char *name);
/* Of a field that is no list: which one would count? */
bool field_is_twice(const h2o_req_t *h2o, const char *name);
