/*
 * What one git command needs to reach its remote, and nothing more: the address that the guard has permitted (pinned,
 * so that git resolves nothing by itself) and the credential. The token is in a memfd that only a credential helper for
 * this very host reads; an ssh key is in a 0600 file beside the workspace as long as the command runs. Nothing secret
 * is in argv, environment or configuration.
 */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/address_guard.h"
#include "executor/git/credentials.h"
#include "common/model/git_url.h"
#include "executor/secrets.h"

/* The remote of one attempt. Strings and guard are the caller's and outlive it. */
struct git_remote {
	const char *url_text; /* NULL: for a command that needs no connection (command.h) */
	struct git_url url;
	const char *credential;      /* name, or NULL */
	const char *credentials_dir; /* or NULL */
	const char *project;
	const struct address_guard *guard;
	const char *scratch_dir; /* absolute, not the agent's: HOME and folder of git commands, key files */
	int lock_fd;             /* the attempt's lock, inherited by every process of it; -1 = none */
	int mirror_fd;           /* the same of a mirror's changes (mirror_lock.h), while it is fetched into; 0 = none */
	bool may_be_missing;     /* the first push makes it: that a listing does not find it is not `said` */
	int64_t timeout_ms;      /* of a fetch or push */
	int64_t memory_bytes;    /* more than git itself needs, of each process of it but a push's; 0 = no limit */
	int64_t file_bytes;      /* the largest file that git writes; 0 = no limit */
	struct secrets *secrets; /* learns what the credential holds; NULL: nobody asks */
	/* Hears what git and the remote have written on standard error, line by line, when a command has ended; of the
	 * first 32 KiB. NULL = nobody asks. */
	void (*said)(void *ctx, const char *line, size_t len);
	void *said_ctx;
	/* Polled while a command runs; when it is readable `interrupted` is asked, and true ends the command
	 * (ERR_CANCELLED). NULL = never. */
	int interrupt_fd;
	bool (*interrupted)(void *ctx);
	void *interrupt_ctx;
};

#define GIT_ACCESS_MAX_OPTIONS 8

struct git_access {
	char *options[GIT_ACCESS_MAX_OPTIONS]; /* values for `-c` */
	size_t options_len;
	char *ssh_command; /* GIT_SSH_COMMAND=…, or NULL */
	int token_fd;      /* -1 = none */
	char *key_path, *known_hosts_path;
};

/* Whether the URL may be spoken to at all, and the remote's credential (left as it is when there is none), which
 * remote->secrets learns. ERR_INVALID, and as credential_load. The addresses are for who connects to check. */
int git_access_check(const struct git_remote *remote, struct credential *ret_credential, struct error *err) MUST_CHECK;

/* ERR_INVALID: this URL or address is not allowed here. ERR_DENIED: the credential. ERR_UNAVAILABLE: the host does not
 * resolve or, with an errno, the credential cannot be read now. */
int git_access_open(const struct git_remote *remote, int64_t deadline_ms, struct git_access *ret_access,
					struct error *err) MUST_CHECK;
/* Closes, unlinks, wipes. */
void git_access_close(struct git_access *access);
