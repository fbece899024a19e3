/*
 * Answers that are contents of the artifact store: sent chunk by chunk as the client takes them, so that each takes
 * DOWNLOAD_CHUNK_BYTES whatever its size. Threads of their own open, read and close what is in the store (a slow or
 * hung disk holds up downloads and nothing else: no loop and no worker ever waits for it), one chunk at a time for each
 * download. The store has KILN_REQUEST_TIMEOUT_MS to open it, or the answer is 503. Then a client has
 * KILN_WRITE_TIMEOUT_MS for each chunk, the store KILN_REQUEST_TIMEOUT_MS; or the connection ends, short of what
 * Content-Length has said.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api-gateway/gateway.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

#define DOWNLOAD_CHUNK_BYTES ((size_t)128 * 1024)

struct downloads;
struct request;

int downloads_start(struct gateway *gateway, struct downloads **ret_downloads, struct error *err) MUST_CHECK;
/* After the loops have ended: ends the threads and frees them. Takes NULL. */
void downloads_stop(struct downloads *downloads);

/* Worker: request->answer, a 200 without a body, will have this content for one, a SHA-256 in hex and its size. -1: too
 * many are under way, and the answer is a problem.
 *
 * The loop answers then, as far as the answer is still a 200: whole, by range, or (HEAD) its head; 304 or 412 by its
 * conditions; 404 when it is not kept any more, 500 when it cannot be read or has another size. */
int download_plan(struct request *request, const char *sha256, int64_t size) MUST_CHECK;
