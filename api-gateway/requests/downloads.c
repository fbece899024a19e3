#include "api-gateway/requests/downloads.h"

#include <pthread.h>
#include <stdlib.h>

#include "api-gateway/requests/open_limits.h"
#include "api-gateway/http/range.h"
#include "api-gateway/requests/representation.h"
#include "api-gateway/requests/request.h"
#include "api-gateway/requests/loop.h"
#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/queue.h"
#include "common/base/thread.h"

#define READERS 2
#define POP_MS 60000

struct downloads {
	struct artifact_store *store;
	struct open_limits *limits;
	struct queue *queue; /* each download is in it once at most: to be opened, to be read, or at its end */
	pthread_t threads[READERS];
	size_t threads_len;
};

struct download {
	h2o_generator_t generator; /* first */
	struct downloads *downloads;
	struct request *request; /* NULL: it is only to be closed */
	char sha256[ARTIFACT_SHA256_SIZE];
	int64_t size;              /* as the build's result says */
	struct artifact_blob blob; /* without a store: it is not open */
	enum error_kind failed;    /* why not */
	uint8_t token_hash[SHA256_SIZE];
	int64_t offset, left; /* of what is still to be read */
	char *chunk;
	size_t chunk_len; /* 0: it could not be read */
	bool stopped;     /* h2o wants no more */
};

static struct metric open_gauge = {
	.kind = METRIC_GAUGE, .name = "kiln_gateway_downloads", .help = "Artifacts that are being sent."};

/* ---- the readers' threads */

static void open_content(struct download *download)
{
	struct artifact_store *store = download->downloads->store;
	struct error err = ERROR_INIT;
	if (store->open(store, download->sha256, &download->blob, &err) == 0)
		return;
	download->failed = err.kind;
	if (err.kind != ERR_NOT_FOUND)
		log_error("artifact cannot be opened", "request_id", download->request->id, "error", err.message, NULL);
}

static void read_chunk(struct download *download)
{
	struct artifact_store *store = download->downloads->store;
	size_t wanted = download->left < (int64_t)DOWNLOAD_CHUNK_BYTES ? (size_t)download->left : DOWNLOAD_CHUNK_BYTES;
	struct error err = ERROR_INIT;
	if (download->chunk == NULL)
		download->chunk = xmalloc(DOWNLOAD_CHUNK_BYTES);
	size_t got = 0;
	if (store->read(&download->blob, download->offset, download->chunk, wanted, &got, &err) < 0)
		log_error("artifact cannot be read", "request_id", download->request->id, "error", err.message, NULL);
	else if (got == 0)
		log_error("artifact is shorter than it was", "request_id", download->request->id, NULL);
	download->chunk_len = got;
	download->offset += (int64_t)got;
	download->left -= (int64_t)got;
}

static void close_download(struct download *download)
{
	struct downloads *downloads = download->downloads;
	if (download->blob.store != NULL)
		downloads->store->close(&download->blob);
	open_limits_give(downloads->limits, download->token_hash);
	metric_add(&open_gauge, -1);
	free(download->chunk);
	free(download);
}

static void on_opened(struct request *request);
static void on_read(struct request *request);

static void *work(void *arg)
{
	struct downloads *downloads = arg;
	for (;;) {
		struct download *download = queue_pop(downloads->queue, POP_MS);
		if (download == NULL) {
			if (queue_closed(downloads->queue))
				return NULL;
		} else if (download->request == NULL) {
			close_download(download);
		} else if (download->blob.store == NULL) {
			open_content(download);
			request_post(download->request, on_opened);
		} else {
			read_chunk(download);
			request_post(download->request, on_read);
		}
	}
}

static void push(struct download *download)
{
	CHECK(queue_try_push(download->downloads->queue, download)); /* there is room for all that may be open */
}

/* ---- the loop */

static void end_short(struct request *request)
{
	request->h2o->http1_is_persistent = 0;
	h2o_send(request->h2o, NULL, 0, H2O_SEND_STATE_ERROR);
}

static void on_late(h2o_timeout_entry_t *entry)
{
	struct request *request = CONTAINER_OF(entry, struct request, deadline);
	log_error("the artifact store does not answer", "request_id", request->id, NULL);
	request->download->stopped = true;
	end_short(request);
}

/* The request stays until on_opened or on_read. */
static void queue_turn(struct request *request, h2o_timeout_cb late)
{
	request_set_deadline(request, &request->loop->request_timeout, late);
	request_ref(request);
	push(request->download);
}

static void begin_read(struct request *request)
{
	queue_turn(request, on_late);
}

static void send_chunk(struct request *request)
{
	struct download *download = request->download;
	if (download->chunk_len == 0) {
		end_short(request);
		return;
	}
	request_watch_writing(request);
	h2o_iovec_t chunk = {download->chunk, download->chunk_len};
	h2o_send(request->h2o, &chunk, 1, download->left > 0 ? H2O_SEND_STATE_IN_PROGRESS : H2O_SEND_STATE_FINAL);
}

static void on_read(struct request *request)
{
	if (request->h2o != NULL && !request->download->stopped)
		send_chunk(request);
	request_unref(request);
}

/* The client has taken the last chunk. */
static void on_proceed(h2o_generator_t *generator, h2o_req_t *h2o)
{
	(void)h2o;
	begin_read(CONTAINER_OF(generator, struct download, generator)->request);
}

static void on_stop(h2o_generator_t *generator, h2o_req_t *h2o)
{
	(void)h2o;
	CONTAINER_OF(generator, struct download, generator)->stopped = true;
}

/* If-Range: the range counts only for the content that the client has a part of (RFC 9110 section 13.1.5). */
static bool wants_range(const struct request *request)
{
	const struct slice *tag = &request->if_range;
	if (request->range.data == NULL || request->is_head)
		return false;
	if (tag->data == NULL)
		return true;
	const struct answer_field *etag = answer_find(&request->answer, "etag");
	return etag != NULL && etag->value_len == tag->len && memcmp(etag->value, tag->data, tag->len) == 0;
}

/* -1: the answer is 416. */
static int apply_range(struct request *request)
{
	struct download *download = request->download;
	struct answer *answer = &request->answer;
	int64_t size = download->size;
	if (!wants_range(request))
		return 0;
	switch (range_read(request->range.data, request->range.len, size, &download->offset, &download->left)) {
	case RANGE_NONE:
		return 0;
	case RANGE_NEVER:
		(void)problem_answer(request, PROBLEM_RANGE_NOT_SATISFIABLE, "There are %lld bytes.", (long long)size);
		answer_field(answer, "content-range", "bytes */%lld", (long long)size);
		return -1;
	case RANGE_ONE:
		break;
	}
	answer->status = 206;
	answer_field(answer, "content-range", "bytes %lld-%lld/%lld", (long long)download->offset,
				 (long long)(download->offset + download->left - 1), (long long)size);
	return 0;
}

/* -1: the answer is a problem. */
static int check_opened(struct request *request)
{
	const struct download *download = request->download;
	if (download->blob.store == NULL && download->failed == ERR_NOT_FOUND)
		return problem_answer(request, PROBLEM_NOT_FOUND, "The artifact is not kept any more.");
	if (download->blob.store == NULL)
		return problem_answer(request, PROBLEM_INTERNAL, "The artifact store cannot read it.");
	if (download->blob.size == download->size)
		return 0;
	log_error("artifact has another size than its build says", "request_id", request->id, "sha256", download->sha256,
			  NULL);
	return problem_answer(request, PROBLEM_INTERNAL, "What the artifact store has is damaged.");
}

static void begin_sending(struct request *request)
{
	struct download *download = request->download;
	if (check_opened(request) == 0)
		representation_finish_download(request);
	/* Ranges are of a 200 (RFC 9110 section 13.2.2). */
	if (request->answer.status != 200 || apply_range(request) < 0) {
		request_send(request);
		return;
	}
	request_begin(request, (size_t)download->left, &download->generator);
	if (request->is_head || download->left == 0)
		h2o_send(request->h2o, NULL, 0, H2O_SEND_STATE_FINAL);
	else
		begin_read(request);
}

static void on_opened(struct request *request)
{
	if (!request->answered && request->h2o != NULL)
		begin_sending(request);
	request_unref(request);
}

static void on_unopened(h2o_timeout_entry_t *entry)
{
	struct request *request = CONTAINER_OF(entry, struct request, deadline);
	log_error("the artifact store does not answer", "request_id", request->id, NULL);
	(void)problem_answer(request, PROBLEM_OVERLOADED, "The artifact store does not answer."); /* the answer */
	request_send(request);
}

static void begin(struct request *request)
{
	if (request->answered || request->h2o == NULL)
		return;
	if (request->answer.status == 200)
		queue_turn(request, on_unopened);
	else
		request_send(request);
}

/* Closing may take as long as reading. */
static void release(struct request *request)
{
	request->download->request = NULL;
	push(request->download);
}

static const struct responder responder = {.begin = begin, .release = release};

/* ---- plans */

static int take_room(struct request *request)
{
	struct error err = ERROR_INIT;
	if (open_limits_take(request->gateway->downloads->limits, request->token->hash, &err) == 0)
		return 0;
	if (err.kind == ERR_DENIED)
		return problem_answer(request, PROBLEM_TOO_MANY_REQUESTS, "The token has as many downloads open as it may.");
	return problem_answer(request, PROBLEM_OVERLOADED, "The gateway has as many downloads open as it may.");
}

int download_plan(struct request *request, const char *sha256, int64_t size)
{
	if (take_room(request) < 0)
		return -1;
	struct download *download = xcalloc(1, sizeof(*download));
	*download = (struct download){
		.generator = {on_proceed, on_stop},
		.downloads = request->gateway->downloads,
		.request = request,
		.size = size,
		.left = size,
	};
	(void)snprintf(download->sha256, sizeof(download->sha256), "%s", sha256); /* it fits */
	memcpy(download->token_hash, request->token->hash, sizeof(download->token_hash));
	metric_add(&open_gauge, 1);
	request->download = download;
	request->responder = &responder;
	return 0;
}

int downloads_start(struct gateway *gateway, struct downloads **ret_downloads, struct error *err)
{
	const struct gateway_config *config = gateway->config;
	struct downloads *downloads = xcalloc(1, sizeof(*downloads));
	downloads->store = gateway->artifacts;
	downloads->limits = open_limits_new(config->max_downloads, config->max_downloads_per_token, config->max_downloads);
	downloads->queue = queue_new((size_t)config->max_downloads + 1);
	metric_register(&open_gauge);
	for (; downloads->threads_len < READERS; downloads->threads_len++) {
		pthread_t *thread = &downloads->threads[downloads->threads_len];
		if (thread_start(thread, "gateway-files", 0, work, downloads, err) < 0) {
			downloads_stop(downloads);
			return -1;
		}
	}
	*ret_downloads = downloads;
	return 0;
}

void downloads_stop(struct downloads *downloads)
{
	if (downloads == NULL)
		return;
	queue_close(downloads->queue);
	for (size_t i = 0; i < downloads->threads_len; i++)
		thread_join(downloads->threads[i]);
	queue_free(downloads->queue);
	open_limits_free(downloads->limits);
	free(downloads);
}
