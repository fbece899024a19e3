#include "executor/git/smart_http.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/base/wakeup.h"
#include "common/http/client.h"
#include "executor/git/credentials.h"

#define CONNECT_MS 5000
#define MAX_AUTHORIZATION_BYTES ((size_t)256 * 1024)
#define HTTP_OK 200

struct smart_http {
	const struct git_remote *remote;
	struct http_client *client;
	struct wakeup answered;
	atomic_bool done;
	/* Written by the client's thread before `done`. */
	enum error_kind kind;
	int status;
	struct buffer body;
};

static void take_answer(void *ctx, const struct http_response *response)
{
	struct smart_http *http = ctx;
	http->kind = response->error.kind;
	http->status = response->status;
	/* As much as was allowed may be the beginning of more. */
	if (response->body_len >= http->body.max)
		http->kind = ERR_LIMIT;
	else if (response->body_len > 0)
		(void)buffer_append(&http->body, response->body, response->body_len); /* fits, as just compared */
	atomic_store(&http->done, true);
	wakeup_signal(&http->answered);
}

/* "Authorization: Basic …", at once: a server that wants it would ask for it first. NULL without a credential. */
static char *make_authorization(const struct credential *credential)
{
	if (credential->token == NULL)
		return NULL;
	CLEANUP(free_p) char *plain = xasprintf("%s:%s", credential->username, credential->token);
	struct buffer line;
	buffer_init(&line, MAX_AUTHORIZATION_BYTES);
	(void)buffer_append_str(&line, "Authorization: Basic "); /* checked below */
	int rc = base64_append(&line, plain, strlen(plain));
	explicit_bzero(plain, strlen(plain));
	if (rc == 0)
		return buffer_detach(&line, NULL);
	buffer_release(&line);
	return NULL;
}

static bool send_request(struct smart_http *http, const struct buffer *request, const char *authorization,
						 int64_t deadline_ms)
{
	const char *url_text = http->remote->url_text;
	CLEANUP(free_p) char *url = xasprintf("%s%sgit-upload-pack", url_text, str_ends(url_text, "/") ? "" : "/");
	const char *headers[] = {"Content-Type: application/x-git-upload-pack-request",
							 "Accept: application/x-git-upload-pack-result",
							 "Git-Protocol: version=2",
							 "User-Agent: git/2 (kiln)", /* some servers serve git to git only */
							 authorization,
							 NULL};
	int left_ms = clock_left_ms(deadline_ms);
	struct http_request sent = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.body = request->data,
		.body_len = request->len,
		.timeout_ms = left_ms > 0 ? left_ms : 1,
		.connect_timeout_ms = CONNECT_MS,
		.max_response_bytes = http->body.max,
	};
	struct error err = ERROR_INIT;
	return http_client_send(http->client, &sent, take_answer, http, &err) == 0;
}

/* With the client's thread. False: there is none. */
static bool open_client(struct smart_http *http)
{
	struct error err = ERROR_INIT;
	return http_client_new(http->remote->guard, 1, 1, &http->client, &err) == 0;
}

struct smart_http *smart_http_ask(const struct git_remote *remote, const struct buffer *request, size_t most_bytes,
								  int64_t deadline_ms)
{
	struct credential credential = {NULL};
	struct error err = ERROR_INIT;
	if (str_equal(remote->url.scheme, "ssh") || !buffer_ok(request) ||
		git_access_check(remote, &credential, &err) < 0) /* git meets it again, and fails by it */
		return NULL;
	struct smart_http *http = xcalloc(1, sizeof(*http));
	http->remote = remote;
	buffer_init(&http->body, most_bytes);
	wakeup_init(&http->answered);
	char *authorization = make_authorization(&credential);
	bool sent = open_client(http) && send_request(http, request, authorization, deadline_ms);
	credential_release(&credential);
	if (authorization != NULL)
		explicit_bzero(authorization, strlen(authorization));
	free(authorization);
	if (sent)
		return http;
	smart_http_free(http);
	return NULL;
}

int smart_http_answer(struct smart_http *http, struct pkt_reader *ret_answer, struct error *err)
{
	const struct git_remote *remote = http->remote;
	bool watch = remote->interrupted != NULL;
	while (!atomic_load(&http->done)) { /* the client ends it at the deadline */
		struct pollfd ready[] = {{.fd = http->answered.fd, .events = POLLIN},
								 {.fd = watch ? remote->interrupt_fd : -1, .events = POLLIN}};
		int count = poll(ready, ARRAY_LEN(ready), -1);
		if (count > 0 && watch && ready[1].revents != 0 && remote->interrupted(remote->interrupt_ctx))
			return error_set(err, ERR_CANCELLED, "cancelled");
	}
	if (http->kind != ERR_NONE || http->status != HTTP_OK)
		return 0;
	*ret_answer = (struct pkt_reader){.at = http->body.data, .left = http->body.len};
	return 1;
}

void smart_http_free(struct smart_http *http)
{
	http_client_free(http->client);
	wakeup_release(&http->answered);
	buffer_release(&http->body);
	free(http);
}
