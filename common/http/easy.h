/* What every request by libcurl has in common here, whoever makes it. */
#pragma once

#include <curl/curl.h>

/* Once per process, before any other use of libcurl; any thread, any number of times. */
void http_curl_init(void);

/* http and https only, HTTP/1.1, certificates verified (the system's, or SSL_CERT_FILE's), no redirects followed, no
 * proxy and no .netrc of the environment, no signals; a resolver that hangs is left behind. */
void http_easy_basics(CURL *easy);
