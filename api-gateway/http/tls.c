#include "api-gateway/http/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"

static struct metric loads_total[] = {
	{.kind = METRIC_COUNTER,
	 .name = "kiln_gateway_certificate_loads_total",
	 .help = "Times that the TLS certificate was read, and whether it was taken.",
	 .labels = "outcome=\"taken\""},
	{.kind = METRIC_COUNTER,
	 .name = "kiln_gateway_certificate_loads_total",
	 .help = "Times that the TLS certificate was read, and whether it was taken.",
	 .labels = "outcome=\"refused\""},
};

/* What tells that a file is another one now. */
struct version {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct tls {
	const char *cert_file, *key_file;
	struct version seen[2]; /* when they were read last */
	pthread_mutex_t lock;
	SSL_CTX *context; /* a reference */
};

/* Only this protocol; a client that names others alone is refused (RFC 7301 section 3.2). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
						   unsigned in_len, void *arg)
{
	(void)ssl;
	(void)arg;
	static const unsigned char own[] = "http/1.1";
	const unsigned char own_len = sizeof(own) - 1;
	for (unsigned at = 0; at < in_len && in[at] < in_len - at; at += in[at] + 1U) {
		if (in[at] != own_len || memcmp(in + at + 1, own, own_len) != 0)
			continue;
		*out = own;
		*out_len = own_len;
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int refuse(const char *what, const char *file, struct error *err)
{
	char reason[256];
	ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
	ERR_clear_error();
	return error_set(err, ERR_INVALID, "%s %s: %s", what, file, reason);
}

static int fill(SSL_CTX *context, const char *cert_file, const char *key_file, struct error *err)
{
	if (SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
		return refuse("the certificate", cert_file, err);
	if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(context) != 1)
		return refuse("the key", key_file, err);
	return 0;
}

static int load(const char *cert_file, const char *key_file, SSL_CTX **ret, struct error *err)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	CHECK(context != NULL); /* out of memory */
	CHECK(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
	(void)SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
										   SSL_OP_CIPHER_SERVER_PREFERENCE); /* all that are set */
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);       /* tickets resume; nothing is kept here */
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	if (fill(context, cert_file, key_file, err) < 0) {
		SSL_CTX_free(context);
		return -1;
	}
	*ret = context;
	return 0;
}

static bool is_expired(const SSL_CTX *context)
{
	return X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context))) < 0;
}

static struct version version_of(const char *file)
{
	struct stat found;
	if (stat(file, &found) < 0)
		return (struct version){.size = -1}; /* it will not be readable either */
	return (struct version){found.st_dev, found.st_ino, found.st_size, found.st_mtim};
}

static bool is_same(const struct version *a, const struct version *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
		   a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

int tls_new(const char *cert_file, const char *key_file, struct tls **ret, struct error *err)
{
	*ret = NULL;
	if (cert_file == NULL && key_file == NULL)
		return 0;
	if (cert_file == NULL || key_file == NULL)
		return error_set(err, ERR_INVALID, "KILN_TLS_CERT_FILE and KILN_TLS_KEY_FILE go together");
	const struct version seen[] = {version_of(cert_file), version_of(key_file)};
	SSL_CTX *context;
	if (load(cert_file, key_file, &context, err) < 0)
		return -1;
	if (is_expired(context))
		log_warn("the TLS certificate has expired", "file", cert_file, NULL);
	struct tls *tls = xcalloc(1, sizeof(*tls));
	mutex_init(&tls->lock);
	tls->cert_file = cert_file;
	tls->key_file = key_file;
	memcpy(tls->seen, seen, sizeof(seen));
	tls->context = context;
	for (size_t i = 0; i < ARRAY_LEN(loads_total); i++)
		metric_register(&loads_total[i]);
	*ret = tls;
	return 0;
}

void tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	SSL_CTX_free(tls->context);
	(void)pthread_mutex_destroy(&tls->lock); /* nobody holds it */
	free(tls);
}

static int load_newer(struct tls *tls, SSL_CTX **ret, struct error *err)
{
	SSL_CTX *context;
	if (load(tls->cert_file, tls->key_file, &context, err) < 0)
		return -1;
	if (is_expired(context)) {
		SSL_CTX_free(context);
		return error_set(err, ERR_INVALID, "the certificate %s has expired", tls->cert_file);
	}
	*ret = context;
	return 0;
}

void tls_look(struct tls *tls, bool in_any_case)
{
	if (tls == NULL)
		return;
	/* Looked at before they are read: what changes meanwhile is read once more. */
	const struct version now[] = {version_of(tls->cert_file), version_of(tls->key_file)};
	if (!in_any_case && is_same(&now[0], &tls->seen[0]) && is_same(&now[1], &tls->seen[1]))
		return;
	memcpy(tls->seen, now, sizeof(now));
	struct error err = ERROR_INIT;
	SSL_CTX *newer, *older;
	if (load_newer(tls, &newer, &err) < 0) {
		metric_add(&loads_total[1], 1);
		log_error("the new TLS certificate is refused, the old one stays", "error", err.message, NULL);
		return;
	}
	mutex_lock(&tls->lock);
	older = tls->context;
	tls->context = newer;
	mutex_unlock(&tls->lock);
	SSL_CTX_free(older); /* connections hold it too */
	metric_add(&loads_total[0], 1);
	log_info("the TLS certificate was read anew", "file", tls->cert_file, NULL);
}

SSL_CTX *tls_context(struct tls *tls)
{
	mutex_lock(&tls->lock);
	SSL_CTX *context = tls->context;
	CHECK(SSL_CTX_up_ref(context) == 1);
	mutex_unlock(&tls->lock);
	return context;
}
