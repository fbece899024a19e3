/*
 * What must be right in a request's head so that nobody in front of us reads another request than we do (RFC 9112
 * sections 2.2, 3.2, 5.2, 6.1 and 11.2). h2o 2.2.5 takes bare line feeds and folded lines, the first of several
 * Content-Lengths, Transfer-Encoding before Content-Length, and any number of Hosts, and tells of none of it: so the
 * head is looked at as it came.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define FRAMING_LINE_MAX 8192  /* bytes of the request line, as RFC 9112 section 3 asks for at least */
#define FRAMING_HEAD_MAX 65536 /* bytes of the whole head */

enum framing {
	FRAMING_CLEAR,
	FRAMING_BARE_LINE_FEED,
	FRAMING_FOLDED,
	FRAMING_TWO_LENGTHS, /* two of Content-Length and Transfer-Encoding, whatever they say */
	FRAMING_CODED_1_0,   /* HTTP/1.0 knows no Transfer-Encoding */
	FRAMING_HOSTS,       /* two, or in HTTP/1.1 none */
	FRAMING_NO_END,      /* the head does not end: h2o would not have called us */
	FRAMING_LONG_LINE,   /* 414 */
	FRAMING_LARGE_HEAD,  /* 431 */
};

/* `bytes` begins with the head, which h2o has accepted, and may go on behind it. Any thread. */
enum framing framing_check(const char *bytes, size_t len, bool is_http_1_0);
/* What to tell the client. Static storage. */
const char *framing_detail(enum framing framing);
