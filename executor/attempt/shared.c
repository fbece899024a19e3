/* What several steps of an attempt need. */
#include "executor/attempt/attempt.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/sandbox/usage.h"

uint64_t attempt_phase(struct attempt *attempt, const char *phase, const char *commit_sha)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, 2048);
	struct json_writer w;
	json_writer_init(&w, &text);
	json_object_begin(&w, NULL);
	json_string(&w, "phase", phase);
	json_string(&w, "base_sha", attempt->base_sha[0] != '\0' ? attempt->base_sha : NULL);
	json_string(&w, "branch", attempt->branch_ref[0] != '\0' ? attempt->refs.branch : NULL);
	json_string(&w, "commit_sha", commit_sha);
	if (str_equal(phase, "agent")) {
		json_string(&w, "sandbox", attempt->sandbox->name);
		json_string(&w, "continued", attempt->continued);
	}
	json_object_end(&w);
	CHECK(buffer_ok(&text));
	return daemon_link_send(attempt->link, FRAME_PHASE, text.data, text.len, true);
}

void attempt_mark(const struct attempt *attempt, const char *step)
{
	log_debug("attempt step", "build_id", attempt->assignment.token.build_id, "step", step, "us",
			  LOG_INT(clock_boot_us() - attempt->outcome.started_ms * 1000), NULL);
}

struct aside_limits attempt_aside_limits(const struct attempt *attempt)
{
	return (struct aside_limits){.deadline_ms = clock_boot_ms() + attempt->config->publish_timeout_ms,
								 .memory_bytes = attempt->config->agent_memory_bytes,
								 .link = attempt->link};
}

int attempt_check_branch(struct attempt *attempt)
{
	const struct remote_refs *refs = &attempt->refs;
	if (refs->tip[0] != '\0' || refs->in_the_way[0] == '\0')
		return 0;
	return outcome_fail(&attempt->outcome, "push_rejected", false,
						"the branch \"%s\" cannot be made: the remote has \"%s\", and git cannot have both",
						refs->branch, refs->in_the_way);
}

int attempt_check_cancelled(struct attempt *attempt)
{
	return daemon_link_receive(attempt->link) ? outcome_cancel(&attempt->outcome) : 0;
}

struct sandbox_spec attempt_sandbox_spec(const struct attempt *attempt)
{
	return (struct sandbox_spec){
		.config = attempt->config,
		.lease_id = attempt->assignment.token.lease_id,
		.files = attempt->workspace.files,
		.home = attempt->workspace.home,
		.tmp = attempt->workspace.tmp,
		.objects = attempt->mirror.objects,
		.model_socket = attempt->model_socket,
	};
}

struct tree_limits attempt_tree_limits(const struct executor_config *config)
{
	return (struct tree_limits){
		.files = config->agent_max_files, .bytes = config->agent_disk_bytes, .depth = USAGE_MAX_DEPTH};
}
