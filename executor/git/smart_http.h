/*
 * The short way to a remote with smart HTTP and protocol v2: one POST to its git-upload-pack by libcurl, instead of the
 * three processes and the two requests more that git takes for the same. Every connection goes through the address
 * guard, redirects are not followed, the credential is the remote's own. Only an answer that is just what was asked for
 * counts. Everything else is left to git, which knows all servers and says in its own words what is wrong.
 */
#pragma once

#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/access.h"
#include "executor/git/pkt_line.h"

struct smart_http; /* one request and its answer; of one thread */

/* Sends a request; the caller may do other things until smart_http_answer. NULL: not a remote for it. More than
 * `most_bytes` of an answer are none. The remote outlives what is returned. */
struct smart_http *smart_http_ask(const struct git_remote *remote, const struct buffer *request, size_t most_bytes,
								  int64_t deadline_ms) MUST_CHECK;
/* 1: the answer, which lasts until smart_http_free. 0: none that counts, or none by the deadline. -1: ERR_CANCELLED,
 * when the remote's `interrupted` says so. */
int smart_http_answer(struct smart_http *http, struct pkt_reader *ret_answer, struct error *err) MUST_CHECK;
/* What is under way ends. */
void smart_http_free(struct smart_http *http);
DEFINE_CLEANUP(struct smart_http, smart_http_free)
