/*
 * TLS of the API's port: a certificate chain and its key from two PEM files, TLS 1.2 or 1.3, ALPN http/1.1 only. The
 * files are looked at once a second and read again when they have changed, and on SIGHUP; new connections get what was
 * read last. What cannot be used (unreadable, not a pair, expired) is logged and refused, and the old certificate
 * stays.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

struct tls;

/* Without files (NULL) TLS is off: *ret is NULL. ERR_INVALID: only one is given, or they cannot be used. An expired
 * certificate is used at the start, with a warning: it may be the clock. */
int tls_new(const char *cert_file, const char *key_file, struct tls **ret, struct error *err) MUST_CHECK;
void tls_free(struct tls *tls); /* takes NULL */

/* Main thread: reads the files again if they have changed, or in any case. `tls` may be NULL. */
void tls_look(struct tls *tls, bool in_any_case);

/* What a new connection uses; the caller frees its reference when the connection is gone. Any thread. */
SSL_CTX *tls_context(struct tls *tls);
