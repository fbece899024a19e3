/*
 * Git credentials by name: KILN_CREDENTIALS_DIR/NAME.json, read at each use: `{url_prefix, username?, token |
 * ssh_private_key + known_hosts, projects?}`. A credential is given out only for URLs below its url_prefix and, where
 * it lists projects, only for those.
 */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/model/git_url.h"
#include "executor/secrets.h"

struct credential {
	char *username; /* "git" when the file has none; of a key, one that git_url_is_user */
	char *token;    /* exactly one of token and ssh_private_key is set */
	char *ssh_private_key, *known_hosts;
};

/* ERR_DENIED for everything that keeps it from being used: no such file, not for this URL or project, malformed.
 * ERR_UNAVAILABLE with an errno when this machine cannot tell: the folder or the file cannot be read, or holds no whole
 * JSON. The message never quotes the content. */
int credential_load(const char *dir, const char *name, const struct git_url *url, const char *project,
					struct credential *ret_credential, struct error *err) MUST_CHECK;
/* Tokens and keys of all credentials in the directory (NULL: there is none), whoever they are for; of the first
 * CREDENTIALS_MAX_LISTED files. What cannot be read is left out. */
#define CREDENTIALS_MAX_LISTED 256
void credentials_list_secrets(const char *dir, struct secrets *secrets);
/* Wipes the secrets. Accepts a zeroed struct. */
void credential_release(struct credential *credential);
