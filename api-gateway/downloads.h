/*
 * Answers that are contents of the artifact store: sent chunk by chunk as the client takes them, so that each takes
 * DOWNLOAD_CHUNK_BYTES whatever its size. Threads of their own read the store (a slow disk holds up nobody else, and
 * the loops never block on it), one chunk at a time for each download. A client has KILN_WRITE_TIMEOUT_MS for each
 * chunk, the store KILN_REQUEST_TIMEOUT_MS; then the connection ends, short of what Content-Length has said.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api-gateway/gateway.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

#define DOWNLOAD_CHUNK_BYTES ((size_t)128 * 1024)

struct download;
struct downloads;
struct request;

int downloads_start(struct gateway *gateway, struct downloads **ret_downloads, struct error *err) MUST_CHECK;
/* After the loops have ended. */
void downloads_stop(struct downloads *downloads);

/* Worker: request->answer, a 200 without a body, will have this content for one. Takes the blob over in any case. -1:
 * too many are under way, and the answer is a problem. */
int download_plan(struct request *request, struct artifact_blob *blob) MUST_CHECK;
/* Loop: answers a request that has one, as far as the answer is still a 200: whole, by range, or (HEAD) its head. */
void download_begin(struct request *request);
/* The request that it belongs to is done with it; NULL is fine. */
void download_free(struct download *download);
