/*
 * The git command line, for the network side (ls-remote, fetch, push) and to check packs: protocol v2, an environment
 * made from nothing, no prompts, no redirects, no hooks, no system or user configuration, only http, https and ssh, a
 * deadline, and no process left behind. Also for what is done to a mirror here. Called from the one thread of an attempt's
 * child, or of the packer (pack_mirrors.h).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/access.h"

/* A complete line of standard output, without its newline. */
typedef void git_line(void *ctx, const char *line, size_t len);

struct git_command {
	const struct git_remote *remote;
	struct git_access access;
	pid_t pid;
	int pidfd, out_fd, err_fd;
	int64_t deadline_ms;
	struct buffer line;
	struct buffer errors; /* standard error, its first 32 KiB */
	git_line *on_line;
	void *ctx;
	bool interruptible;
	bool quiet_if_missing; /* what is said of a repository that is not there is kept to ourselves */
};

/* Starts `git --git-dir=GIT_DIR ARGS…` (ends with NULL). A remote without url_text: the command needs no connection. On
 * success git_command_wait must follow. */
int git_command_start(struct git_command *command, const struct git_remote *remote, const char *git_dir,
					  const char *const *args, int64_t deadline_ms, git_line *on_line, void *ctx,
					  struct error *err) MUST_CHECK;

/* Waits for its end, feeding on_line. ret_status is waitpid's. ERR_TIMEOUT at the deadline, ERR_CANCELLED when
 * interrupted: killed in both cases. The command's `errors` stay readable until git_command_release. */
int git_command_wait(struct git_command *command, int *ret_status, struct error *err) MUST_CHECK;
void git_command_release(struct git_command *command);
