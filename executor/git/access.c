#include "executor/git/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/fd.h"
#include "common/base/str.h"

#define MAX_ADDRESSES 4

static void add_option(struct git_access *access, char *option)
{
	CHECK(access->options_len < GIT_ACCESS_MAX_OPTIONS);
	access->options[access->options_len++] = option;
}

/* http:// only where the operator names the host; private addresses likewise. */
static int check_url(const struct git_remote *remote, struct error *err)
{
	struct error denied = ERROR_INIT;
	if (address_guard_check_url(remote->guard, remote->url_text, "https,http,ssh", &denied) < 0)
		return error_set(err, ERR_INVALID, "git URL refused: %s", denied.message);
	if (str_equal(remote->url.scheme, "http") &&
		!address_guard_names_host(remote->guard, remote->url.host, remote->url.port))
		return error_set(err, ERR_INVALID, "git URL refused: http:// is only for hosts that KILN_GIT_ALLOW names");
	return 0;
}

static int write_all(int fd, const char *text, size_t len, struct error *err)
{
	return fd_write_all(fd, text, len) < 0 ? error_set_errno(err, errno, "credential for git") : 0;
}

/* The answer of a credential helper, in memory. */
static int make_token_file(const struct credential *credential, int *ret_fd, struct error *err)
{
	struct buffer text;
	buffer_init(&text, (size_t)128 * 1024);
	(void)buffer_appendf(&text, "username=%s\npassword=%s\n", credential->username,
						 credential->token); /* checked below */
	int rc = 0;
	if (!buffer_ok(&text))
		rc = error_set(err, ERR_DENIED, "the token is too long");
	else if ((*ret_fd = fd_of_bytes("credential", text.data, text.len)) < 0)
		rc = error_set_errno(err, errno, "credential for git");
	if (text.data != NULL)
		explicit_bzero(text.data, text.len);
	buffer_release(&text);
	return rc;
}

/* Only for this scheme, host and port, and only `get`; by shell builtins, since each further process costs a
 * millisecond. */
static void add_helper(struct git_access *access, const struct git_url *url)
{
	bool v6 = strchr(url->host, ':') != NULL;
	add_option(access,
			   xasprintf("credential.%s://%s%s%s:%d.helper=!f() { if test \"$1\" = get; then while IFS= read -r l; do "
						 "printf '%%s\\n' \"$l\"; done </proc/self/fd/%d; fi; }; f",
						 url->scheme, v6 ? "[" : "", url->host, v6 ? "]" : "", url->port, access->token_fd));
	/* Without the port as well: git matches a URL that spells no port only so. */
	add_option(access,
			   xasprintf("credential.%s://%s%s%s.helper=!f() { if test \"$1\" = get; then while IFS= read -r l; do "
						 "printf '%%s\\n' \"$l\"; done </proc/self/fd/%d; fi; }; f",
						 url->scheme, v6 ? "[" : "", url->host, v6 ? "]" : "", access->token_fd));
}

static int write_private_file(const char *path, const char *text, struct error *err)
{
	(void)unlink(path); /* of a child that was killed */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "file for ssh");
	size_t len = strlen(text);
	int rc = write_all(fd, text, len, err);
	if (rc == 0 && len > 0 && text[len - 1] != '\n')
		rc = write_all(fd, "\n", 1, err); /* ssh refuses a key without it */
	if (close(fd) < 0 && rc == 0)
		rc = error_set_errno(err, errno, "file for ssh");
	return rc;
}

static int set_up_ssh(struct git_access *access, const struct git_remote *remote, const struct credential *credential,
					  const char *address, struct error *err)
{
	const struct git_url *url = &remote->url;
	access->key_path = xasprintf("%s/ssh-key", remote->scratch_dir);
	access->known_hosts_path = xasprintf("%s/ssh-known-hosts", remote->scratch_dir);
	if (write_private_file(access->key_path, credential->ssh_private_key, err) < 0 ||
		write_private_file(access->known_hosts_path, credential->known_hosts, err) < 0)
		return -1;
	CLEANUP(free_p)
	char *alias = url->port == 22 ? xstrdup(url->host)
								  : xasprintf("[%s]:%d", url->host, url->port); /* as known_hosts spells it */
	/* One that the URL has git tells ssh itself. Without either ssh would take the executor's own. */
	const char *user = url->user[0] == '\0' ? credential->username : NULL;
	access->ssh_command = xasprintf(
		"GIT_SSH_COMMAND=ssh -F /dev/null -i '%s' -o UserKnownHostsFile='%s' -o GlobalKnownHostsFile=/dev/null "
		"-o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o CheckHostIP=no -o BatchMode=yes -o IdentitiesOnly=yes -o "
		"IdentityAgent=none "
		"-o HostName=%s -o HostKeyAlias='%s' -o ProxyCommand=none -o ClearAllForwardings=yes -o ConnectTimeout=20 "
		"-o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o ControlPath=none%s%s",
		access->key_path, access->known_hosts_path, address, alias, user != NULL ? " -o User=" : "",
		user != NULL ? user : "");
	return 0;
}

/* A pin for curl: "host:port:a,b". */
static void add_pin(struct git_access *access, const struct git_url *url, char (*addresses)[INET6_ADDRSTRLEN],
					size_t count)
{
	if (strchr(url->host, ':') != NULL)
		return; /* a literal v6 address needs none, and curl's syntax has no place for it */
	struct buffer text;
	buffer_init(&text, 1024);
	(void)buffer_appendf(&text, "http.curloptResolve=%s:%d:", url->host,
						 url->port); /* cannot overflow: a host is ≤ 255 bytes */
	for (size_t i = 0; i < count; i++) {
		bool v6 = strchr(addresses[i], ':') != NULL;
		(void)buffer_appendf(&text, "%s%s%s%s", i > 0 ? "," : "", v6 ? "[" : "", addresses[i],
							 v6 ? "]" : ""); /* as above */
	}
	add_option(access, buffer_detach(&text, NULL));
}

/* A literal address needs no resolver, which costs a thread. */
static bool is_literal(const char *host, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	*ret_address = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		memcpy(ret_address, &v4, sizeof(v4));
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		memcpy(ret_address, &v6, sizeof(v6));
	return ret_address->ss_family != AF_UNSPEC;
}

static void set_port(struct sockaddr_storage *address, int port)
{
	/* The port is at the same place in both. */
	_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port), "sockaddr");
	uint16_t number = htons((uint16_t)port);
	memcpy((char *)address + offsetof(struct sockaddr_in, sin_port), &number, sizeof(number));
}

static int resolve(const struct git_remote *remote, int64_t deadline_ms, char (*addresses)[INET6_ADDRSTRLEN],
				   size_t *ret_len, struct error *err)
{
	struct sockaddr_storage literal;
	if (is_literal(remote->url.host, &literal)) {
		set_port(&literal, remote->url.port);
		if (!address_guard_permits(remote->guard, remote->url.host, (const struct sockaddr *)&literal))
			return error_set(err, ERR_INVALID, "git URL refused: %s is not an address that Kiln may speak to",
							 remote->url.host);
		(void)snprintf(addresses[0], INET6_ADDRSTRLEN, "%.45s", remote->url.host);
		*ret_len = 1;
		return 0;
	}
	if (address_guard_resolve(remote->guard, remote->url.host, remote->url.port, deadline_ms, addresses, MAX_ADDRESSES,
							  ret_len, err) == 0)
		return 0;
	if (err->kind == ERR_DENIED)
		err->kind = ERR_INVALID; /* not a matter of credentials */
	return -1;
}

static int load_credential(const struct git_remote *remote, struct credential *credential, struct error *err)
{
	if (remote->credential != NULL && credential_load(remote->credentials_dir, remote->credential, &remote->url,
													  remote->project, credential, err) < 0)
		return -1;
	if (remote->secrets != NULL) {
		secrets_add(remote->secrets, credential->token);
		secrets_add(remote->secrets, credential->ssh_private_key);
	}
	return 0;
}

int git_access_check(const struct git_remote *remote, struct credential *ret_credential, struct error *err)
{
	return check_url(remote, err) < 0 ? -1 : load_credential(remote, ret_credential, err);
}

static int open_access(const struct git_remote *remote, int64_t deadline_ms, struct git_access *access,
					   struct credential *credential, struct error *err)
{
	const struct git_url *url = &remote->url;
	bool ssh = str_equal(url->scheme, "ssh");
	char addresses[MAX_ADDRESSES][INET6_ADDRSTRLEN];
	size_t count = 0;
	if (check_url(remote, err) < 0 || resolve(remote, deadline_ms, addresses, &count, err) < 0)
		return -1;
	CHECK(count > 0);
	if (load_credential(remote, credential, err) < 0)
		return -1;
	if (ssh && credential->ssh_private_key == NULL)
		return error_set(err, ERR_DENIED, "ssh needs a credential with ssh_private_key and known_hosts");
	if (ssh)
		return set_up_ssh(access, remote, credential, addresses[0], err);
	add_pin(access, url, addresses, count);
	if (credential->token != NULL) {
		if (make_token_file(credential, &access->token_fd, err) < 0)
			return -1;
		add_helper(access, url);
	}
	return 0;
}

int git_access_open(const struct git_remote *remote, int64_t deadline_ms, struct git_access *ret_access,
					struct error *err)
{
	struct git_access access = {.token_fd = -1};
	struct credential credential = {NULL};
	int rc = open_access(remote, deadline_ms, &access, &credential, err);
	credential_release(&credential);
	if (rc < 0) {
		git_access_close(&access);
		return -1;
	}
	*ret_access = access;
	return 0;
}

static void remove_file(char **path)
{
	if (*path != NULL)
		(void)unlink(*path); /* ENOENT: never made */
	free(*path);
	*path = NULL;
}

void git_access_close(struct git_access *access)
{
	for (size_t i = 0; i < access->options_len; i++)
		free(access->options[i]);
	access->options_len = 0;
	free(access->ssh_command);
	access->ssh_command = NULL;
	if (access->token_fd >= 0)
		(void)close(access->token_fd); /* memory only */
	access->token_fd = -1;
	remove_file(&access->key_path);
	remove_file(&access->known_hosts_path);
}
