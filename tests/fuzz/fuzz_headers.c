/*
 * The values of request headers, one input as each of them. An Idempotency-Key that is read is the same when it is
 * quoted anew; a list of entity tags has what is appended to it; a preference is found behind others, and whatever
 * comes behind it changes nothing; a negotiated type is one of the offers; a trace goes on under the same id, and what
 * goes on is valid. Of a list of addresses that proxies wrote, what stands before the client changes nothing.
 */
#include "fuzz.h"

#include "api-gateway/http/etag.h"
#include "api-gateway/http/forwarded.h"
#include "api-gateway/builds/idempotency.h"
#include "api-gateway/http/negotiate.h"
#include "api-gateway/http/prefer.h"
#include "api-gateway/http/traceparent.h"

static void check_key(const char *text, size_t len)
{
	char key[IDEMPOTENCY_KEY_MAX + 1], again[IDEMPOTENCY_KEY_MAX + 1];
	struct error err = ERROR_INIT;
	if (idempotency_key_read(text, len, key, &err) < 0) {
		check_message(&err);
		return;
	}
	CLEANUP(buffer_release_p) struct buffer quoted;
	buffer_init(&quoted, 2 * sizeof(key) + 2);
	CHECK(buffer_append_char(&quoted, '"') == 0);
	for (const char *c = key; *c != '\0'; c++) {
		CHECK(*c >= ' ' && *c <= '~');
		if (*c == '"' || *c == '\\')
			CHECK(buffer_append_char(&quoted, '\\') == 0);
		CHECK(buffer_append_char(&quoted, *c) == 0);
	}
	CHECK(buffer_append_char(&quoted, '"') == 0);
	CHECK(idempotency_key_read(quoted.data, quoted.len, again, &err) == 0 && str_equal(key, again));
}

static void check_tags(const char *text, size_t len)
{
	static const char tag[] = "\"0123456789abcdef\"";
	bool strong = false, weak = false, has = false;
	struct error err = ERROR_INIT;
	int result = etag_list_has(text, len, tag, ETAG_STRONG, &strong, &err);
	CHECK(etag_list_has(text, len, tag, ETAG_WEAK, &weak, &err) == result);
	CHECK(weak || !strong);
	CHECK(!strong || memmem(text, len, tag, strlen(tag)) != NULL || memchr(text, '*', len) != NULL);
	if (result < 0) {
		check_message(&err);
		return;
	}
	CLEANUP(buffer_release_p) struct buffer longer;
	buffer_init(&longer, len + 64);
	CHECK(buffer_append(&longer, text, len) == 0 && buffer_appendf(&longer, " , W/%s", tag) == 0);
	result = etag_list_has(longer.data, longer.len, tag, ETAG_WEAK, &has, &err);
	CHECK(result == 0 ? has : memchr(text, '*', len) != NULL); /* * stands alone */
}

static void check_preference(const char *text, size_t len)
{
	int64_t seconds = prefer_wait(text, len);
	CHECK(seconds >= -1 && seconds <= PREFER_WAIT_MAX);
	CLEANUP(buffer_release_p) struct buffer longer;
	buffer_init(&longer, len + 64);
	CHECK(buffer_append_str(&longer, "respond-async, a=\"wait=1,\", ") == 0 && buffer_append(&longer, text, len) == 0);
	CHECK(prefer_wait(longer.data, longer.len) == seconds);
	if (seconds < 0)
		return;
	buffer_clear(&longer);
	CHECK(buffer_appendf(&longer, "wait=%lld, ", (long long)seconds) == 0 && buffer_append(&longer, text, len) == 0);
	CHECK(prefer_wait(longer.data, longer.len) == seconds);
}

static void check_negotiation(const char *text, size_t len)
{
	static const char *const offers[] = {"application/json", "text/plain", "text/event-stream", NULL};
	int offer = negotiate_accept(text, len, offers);
	CHECK(offer >= -1 && offer < 3);
	/* What was chosen among all is chosen again when it is the only one; when none was, each is refused. */
	for (int i = 0; i < 3; i++) {
		const char *const one[] = {offers[i], NULL};
		int again = negotiate_accept(text, len, one);
		CHECK(i == offer ? again == 0 : offer >= 0 || again == -1);
	}
	if (negotiate_is_type(text, len, "application/json"))
		CHECK(len >= strlen("application/json") && negotiate_is_type(text, len, "text/plain") == false);
}

static void check_trace(const char *text, size_t len)
{
	static const uint8_t random[24] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
									   13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};
	char next[TRACEPARENT_SIZE];
	traceparent_continue(text, len, random, next);
	CHECK(traceparent_is_valid(next, strlen(next)) && strlen(next) == TRACEPARENT_SIZE - 1);
	if (traceparent_is_valid(text, len))
		CHECK(memcmp(next + 3, text + 3, TRACE_ID_LEN) == 0);
}

static struct address_list *proxies(void)
{
	static struct address_list *list;
	struct error err = ERROR_INIT;
	CHECK(list != NULL || address_list_new("10.0.0.0/8, 2001:db8::/32", &list, &err) == 0);
	return list;
}

static void check_client(const char *text, size_t len)
{
	struct ip_address peer, client, again;
	CHECK(ip_read("10.0.0.1", &peer));
	client = again = peer;
	forwarded_walk(proxies(), text, len, &client);
	CLEANUP(buffer_release_p) struct buffer longer;
	buffer_init(&longer, len + 64);
	CHECK(buffer_append_str(&longer, "192.0.2.1, ") == 0 && buffer_append(&longer, text, len) == 0);
	forwarded_walk(proxies(), longer.data, longer.len, &again);
	/* Unless all were proxies: then it is the first, or a new one. */
	CHECK(address_list_has(proxies(), &client) || memcmp(client.bytes, again.bytes, sizeof(client.bytes)) == 0);
	char written[IP_TEXT_SIZE];
	ip_write(&client, written);
	CHECK(ip_read(written, &again) && memcmp(client.bytes, again.bytes, sizeof(client.bytes)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* As in a connection's buffer: no NUL behind it. */
	CLEANUP(free_p) char *text = xmemdup(size > 0 ? data : (const uint8_t *)"", size > 0 ? size : 1);
	check_key(text, size);
	check_tags(text, size);
	check_preference(text, size);
	check_negotiation(text, size);
	check_trace(text, size);
	check_client(text, size);
	return 0;
}
