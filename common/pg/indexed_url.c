#include <string.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/str.h"
#include "common/pg/pg.h"

/* Generic plans by index, whatever the statistics say; planning a wide statement anew costs more than running it. */
static const char *const session_settings[] = {"jit=off",
											   "plan_cache_mode=force_generic_plan",
											   "enable_seqscan=off",
											   "enable_hashjoin=off",
											   "enable_mergejoin=off",
											   "enable_bitmapscan=off"};

char *pg_indexed_url(const char *url)
{
	bool is_uri = strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0;
	/* An operator's own options stay alone. */
	if (strstr(url, "options=") != NULL)
		return xstrdup(url);
	struct buffer text;
	buffer_init(&text, strlen(url) + 1024);
	(void)buffer_append_str(&text, url); /* fits */
	if (is_uri)
		(void)buffer_append_str(&text, strchr(url, '?') == NULL ? "?options=" : "&options=");
	else
		(void)buffer_append_str(&text, " options='");
	for (size_t i = 0; i < ARRAY_LEN(session_settings); i++) {
		(void)buffer_append_str(&text, is_uri ? "-c%20" : "-c ");
		if (is_uri)
			(void)url_encode(&text, session_settings[i], strlen(session_settings[i]));
		else
			(void)buffer_append_str(&text, session_settings[i]);
		(void)buffer_append_str(&text, is_uri ? "%20" : " ");
	}
	if (!is_uri)
		(void)buffer_append_char(&text, '\'');
	CHECK(buffer_ok(&text));
	return buffer_detach(&text, NULL);
}
