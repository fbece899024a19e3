/*
 * From what a handler has made to what is sent: ETag, preconditions (RFC 9110 section 13), Cache-Control, Vary.
 *
 * Every successful answer to a GET has an ETag: the handler's own (a project's version), else one of its bytes. What a
 * token may see is for its client alone and is asked for again each time, which a 304 makes cheap: "private, no-cache".
 * All other answers are "no-store": they hold secrets, or tell of one request (request.c adds it).
 */
#pragma once

#include <stddef.h>

#include "api-gateway/request.h"
#include "common/base/compiler.h"

/* Whoever owns request->answer, after the handler: an answer to GET or HEAD becomes what is sent, 304, or 412. Others
 * stay as they are. */
void representation_finish(struct request *request);

/* For writes, before they are done: If-Match and If-None-Match against the tag of what is there. -1: request->answer is
 * 412, or 400. */
int representation_check_writer(struct request *request, const char *etag) MUST_CHECK;
