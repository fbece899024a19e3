/*
 * From what a handler has made to what is sent: ETag, preconditions (RFC 9110 section 13), gzip, Cache-Control, Vary.
 *
 * Every successful answer to a GET has an ETag: the handler's own (a project's version), else one of its bytes. What a
 * token may see is for its client alone and is asked for again each time, which a 304 makes cheap: "private, no-cache".
 * A text of REPRESENTATION_CODED_MIN bytes or more is sent as gzip to those who ask for it, with the tag as a weak one:
 * the bytes are others. What has a tag of its own is not, for If-Match needs it strong. All other answers are
 * "no-store": they hold secrets, or tell of one request (request.c adds it).
 */
#pragma once

#include <stddef.h>

#include "api-gateway/requests/request.h"
#include "common/base/compiler.h"

#define REPRESENTATION_CODED_MIN 1024 /* what is smaller takes one packet anyway */

/* Whoever owns request->answer, after the handler: an answer to GET or HEAD becomes what is sent, 304, or 412. Others
 * stay as they are, a download until it is open. `may_code`: there is time to compress (on a worker, not on a loop). */
void representation_finish(struct request *request, bool may_code);
/* The same for a download that is open: what cannot be read is 404 or 500, whatever its conditions (section 13.2.1). */
void representation_finish_download(struct request *request);

/* For writes, before they are done: If-Match and If-None-Match against the tag of what is there. -1: request->answer is
 * 412, or 400. */
int representation_check_writer(struct request *request, const char *etag) MUST_CHECK;
