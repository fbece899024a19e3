/* The build's remote, and the mirror of it that this worker keeps. */
#include "executor/attempt/attempt.h"

#include "common/base/alloc.h"

/* A remote that answers slowly does not hold a build past its own time-out. A settling attempt has none: it must find
 * out. */
static int64_t network_timeout_ms(const struct attempt *attempt)
{
	int64_t most_ms = attempt->config->git_timeout_ms, asked_ms = attempt->assignment.timeout_s * 1000;
	return attempt->assignment.mode == MODE_RUN && asked_ms < most_ms ? asked_ms : most_ms;
}

static bool interrupted(void *ctx)
{
	return daemon_link_receive(ctx);
}

static void git_said(void *ctx, const char *line, size_t len)
{
	attempt_log_kiln(ctx, "git: %.*s", (int)len, line);
}

int attempt_open_remote(struct attempt *attempt)
{
	const struct assignment *assignment = &attempt->assignment;
	attempt->remote = (struct git_remote){
		.url_text = assignment->git_url,
		.credential = assignment->credential,
		.credentials_dir = attempt->config->credentials_dir,
		.project = assignment->project_name,
		.guard = attempt->guard,
		.scratch_dir = attempt->workspace.scratch,
		.lock_fd = attempt->lock_fd,
		.timeout_ms = network_timeout_ms(attempt),
		.memory_bytes = attempt->config->agent_memory_bytes,
		/* A build whose fate is not known must come to an end, however much somebody has pushed meanwhile. */
		.file_bytes = assignment->mode == MODE_RUN ? attempt->config->agent_disk_bytes : 0,
		.secrets = &attempt->log.secrets,
		.said = git_said,
		.said_ctx = &attempt->log,
		.interrupt_fd = attempt->link->fd,
		.interrupted = assignment->mode == MODE_RUN ? interrupted : NULL,
		.interrupt_ctx = attempt->link,
	};
	struct error err = ERROR_INIT;
	CLEANUP(free_p) char *own_mirror = xasprintf("%s/mirror.git", attempt->workspace.root);
	if (git_url_parse(assignment->git_url, &attempt->remote.url, &err) < 0 ||
		mirror_open(attempt->config->state_dir, own_mirror, assignment->git_url, &attempt->mirror, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	/* Only where the operator says that pushes make repositories. */
	attempt->remote.may_be_missing =
		assignment->create_missing && git_url_is_below_base(&attempt->remote.url, attempt->config->git_base_url);
	return 0;
}

int attempt_renew_mirror(struct attempt *attempt, struct error *err)
{
	attempt_log_kiln(&attempt->log, "the local mirror is broken (%s): fetching everything again", err->message);
	return mirror_renew(&attempt->mirror, err) < 0 ? -1 : workspace_attach(&attempt->workspace, &attempt->mirror, err);
}
