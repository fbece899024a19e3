#include "api-gateway/callers/auth.h"

#include "api-gateway/callers/caches.h"
#include "api-gateway/requests/fill.h"
#include "api-gateway/callers/rate_limit.h"
#include "api-gateway/callers/scopes.h"
#include "api-gateway/requests/loop.h"
#include "common/base/clock.h"
#include "common/base/str.h"

/* `error` as RFC 6750 section 3.1 has it: not for those who have sent no token. */
static enum auth_outcome refuse(struct request *request, bool has_sent_one)
{
	(void)problem_answer(request, PROBLEM_UNAUTHORIZED, "Send a valid token as Authorization: Bearer TOKEN.");
	answer_field(&request->answer, "www-authenticate", "Bearer realm=\"kiln\"%s",
				 has_sent_one ? ", error=\"invalid_token\"" : "");
	return AUTH_REFUSED;
}

static bool read_bearer(struct slice header, struct slice *ret_token)
{
	if (header.data == NULL || header.len < 8 || strncasecmp(header.data, "Bearer ", 7) != 0)
		return false;
	const char *at = header.data + 7, *end = header.data + header.len;
	while (at < end && *at == ' ')
		at++;
	*ret_token = (struct slice){at, (size_t)(end - at)};
	return ret_token->len > 0 && ret_token->len <= AUTH_TOKEN_MAX;
}

static void hash_token(struct auth_digest *last, struct slice text, uint8_t ret[SHA256_SIZE])
{
	if (last->len != text.len || !str_equal_constant_time(last->text, text.data, text.len)) {
		memcpy(last->text, text.data, text.len);
		last->len = text.len;
		sha256(text.data, text.len, last->hash);
	}
	memcpy(ret, last->hash, SHA256_SIZE);
}

static enum auth_outcome check_token(struct request *request)
{
	const struct route *route = request->route;
	if (request->token->expires_us <= clock_wall_us())
		return refuse(request, true);
	if (rate_limit_admit(request) < 0)
		return AUTH_REFUSED;
	if (scopes_cover(request->token->scopes, route->scopes))
		return AUTH_GRANTED;
	CLEANUP(buffer_release_p) struct buffer needed;
	buffer_init(&needed, 256);
	scopes_append(&needed, route->scopes, ' ');
	(void)problem_answer(request, PROBLEM_FORBIDDEN, "This route needs the scope %s.", needed.data);
	answer_field(&request->answer, "www-authenticate",
				 "Bearer realm=\"kiln\", error=\"insufficient_scope\", scope=\"%s\"", needed.data);
	return AUTH_REFUSED;
}

enum auth_outcome auth_check(struct request *request, struct slice header)
{
	struct slice text;
	if (!read_bearer(header, &text))
		return refuse(request, false);
	hash_token(&request->loop->token_digest, text, request->token_hash);
	static const char purpose[] = "kiln kept answer";
	if (request->idempotency_key.data != NULL)
		hmac_sha256(text.data, text.len, purpose, sizeof(purpose) - 1, request->answer_key);
	if (request->token == NULL)
		request->token = caches_token(request->gateway->caches, request->token_hash);
	if (request->token != NULL)
		return check_token(request);
	if ((request->filled & FILL_TOKEN) != 0)
		return refuse(request, true);
	if (rate_limit_guess(request) < 0)
		return AUTH_REFUSED;
	fill_begin(request, FILL_TOKEN);
	return AUTH_WAITS;
}
