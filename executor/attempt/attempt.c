/* The story of one attempt, from top to bottom. */
#include "executor/attempt/attempt.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/agents/offers.h"
#include "executor/attempt/agent_model.h"
#include "executor/attempt/agent_run.h"
#include "executor/attempt/continuing.h"
#include "executor/attempt/settle.h"
#include "executor/git/credentials.h"
#include "executor/proxy/key.h"

/* The agent of the spec, and the program that it is here. Before anything is fetched: what cannot run needs no
 * workspace. */
static int find_agent(struct attempt *attempt, const struct code_agent **ret_agent, struct agent_program *program)
{
	const char *provider = json_get_string(attempt->assignment.agent, "provider");
	const struct code_agent *agent = code_agent_find(provider);
	if (agent == NULL || !agent->configured(attempt->config))
		return outcome_fail(&attempt->outcome, "agent_failed", false, "this worker has no agent provider \"%s\"",
							provider);
	const struct sandbox_spec spec = attempt_sandbox_spec(attempt);
	const struct sandbox_view view = attempt->sandbox->view(&spec);
	CLEANUP(free_p) char *model_url = NULL;
	CLEANUP(free_p) char *network_proxy = NULL;
	if (attempt_open_proxy(attempt, agent, &model_url, &network_proxy) < 0)
		return -1;
	struct agent_task task = {
		.config = attempt->config,
		.token = &attempt->assignment.token,
		.agent = attempt->assignment.agent,
		.project = attempt->assignment.project_name,
		.branch = attempt->assignment.branch != NULL ? attempt->assignment.branch : "",
		.files = view.files,
		.home = view.home,
		.tmp = view.tmp,
		.session_id = attempt->resumed_session,
		.model_url = model_url,
		.model_key = model_url != NULL ? model_proxy_token(attempt->model_proxy) : NULL,
		.network_proxy = network_proxy,
	};
	/* The branch is known only after the remote was looked at: then this is called again. */
	if (attempt->branch_ref[0] != '\0')
		task.branch = attempt->refs.branch;
	struct error err = ERROR_INIT;
	agent_program_release(program);
	if (agent->prepare(&task, program, &err) < 0)
		return outcome_fail(&attempt->outcome, "agent_failed", false, "%s", err.message);
	*ret_agent = agent;
	return agent->model_api != NULL ? attempt_check_model(attempt, program->model) : 0;
}

static int fail_agent(struct outcome *outcome)
{
	const struct agent_report *report = &outcome->report;
	return outcome_fail(outcome, report->error_class != NULL ? report->error_class : "agent_failed", report->retryable,
						"%s", report->message);
}

/* Nothing is the agent's fault but that its program cannot be run. */
static int fail_to_run(struct outcome *outcome, const struct error *err)
{
	const char *error_class = err->kind == ERR_INVALID       ? "agent_failed"
							  : err->kind == ERR_UNAVAILABLE ? "sandbox_unavailable"
															 : "internal";
	return outcome_fail(outcome, error_class, err->kind != ERR_INVALID, "%s", err->message);
}

static int judge_agent(struct attempt *attempt, enum agent_end end)
{
	struct outcome *outcome = &attempt->outcome;
	switch (end) {
	case AGENT_EXITED:
		if (outcome->report.success)
			return 0;
		return fail_agent(outcome);
	case AGENT_STOPPED:
		return fail_agent(outcome);
	case AGENT_TIMED_OUT:
		return outcome_fail(outcome, "agent_timeout", false, "the agent was still running after %lld s",
							(long long)attempt->assignment.timeout_s);
	case AGENT_MADE_NO_PROGRESS:
		return outcome_fail(outcome, "no_progress", false,
							"the agent has printed nothing and had nothing to do with its model for %lld s",
							(long long)attempt->config->agent_no_progress_s);
	case AGENT_PRINTED_TOO_MUCH:
		return outcome_fail(outcome, "output_limit", false, "the agent printed more than %lld bytes",
							(long long)attempt->config->agent_output_limit_bytes);
	case AGENT_CANCELLED:
		return outcome_cancel(outcome);
	}
	return -1;
}

/* What an agent that is not confined can read with the executor's rights. One that is confined can have none of it, and
 * must not learn from masks which of its guesses are right. */
static void learn_secrets(struct attempt *attempt)
{
	struct secrets *secrets = &attempt->log.secrets;
	if (attempt->sandbox->confines)
		return;
	credentials_list_secrets(attempt->config->credentials_dir, secrets);
	for (size_t i = 0; code_agents[i] != NULL; i++) {
		struct model_api api;
		CLEANUP(model_key_free_p) char *key = NULL;
		struct error err = ERROR_INIT;
		if (!code_agents[i]->configured(attempt->config) || code_agents[i]->model_api == NULL)
			continue;
		code_agents[i]->model_api(attempt->config, &api);
		if (model_key_read(api.key_file, &key, &err) == 0)
			secrets_add(secrets, key);
	}
}

static int run_agent(struct attempt *attempt, const struct code_agent *agent, const struct agent_program *program)
{
	CHECK(agent != NULL); /* find_agent has found it */
	const struct fencing_token *token = &attempt->assignment.token;
	const struct sandbox_spec spec = attempt_sandbox_spec(attempt);
	struct agent_run run = {
		.config = attempt->config,
		.agent = agent,
		.program = program,
		.prompt = attempt->prompt,
		.sandbox = attempt->sandbox,
		.sandbox_spec = &spec,
		.lock_fd = attempt->lock_fd,
		.timeout_ms = attempt->assignment.timeout_s * 1000,
		.log = &attempt->log,
		.link = attempt->link,
		.output = &attempt->outcome.output,
		.report = &attempt->outcome.report,
		.model_proxy = attempt->model_proxy,
	};
	enum agent_end end = AGENT_EXITED;
	struct error err = ERROR_INIT;
	learn_secrets(attempt);
	attempt_mark(attempt, "agent starts");
	attempt->outcome.provider = agent->name;
	attempt->outcome.report.version = agent_offers_version(attempt->agent_versions, agent->name);
	attempt->outcome.report.model = xstrdup(program->model);
	log_info("agent starts", "build_id", token->build_id, "attempt", LOG_INT(token->attempt), NULL);
	int rc = attempt->model_proxy != NULL ? model_proxy_start(attempt->model_proxy, &err) : 0;
	if (rc == 0)
		rc = agent_run(&run, &end, &err);
	if (rc == 0)
		attempt_keep_session(attempt, agent);
	log_info("agent ended", "build_id", token->build_id, "attempt", LOG_INT(token->attempt), NULL);
	if (rc < 0)
		return fail_to_run(&attempt->outcome, &err);
	rc = judge_agent(attempt, end);
	if (rc == 0)
		(void)attempt_phase(attempt, "committing", NULL); /* nobody waits for it */
	/* Also of an agent that failed: its reports are what one wants to see then. */
	if (end != AGENT_CANCELLED)
		attempt_keep_artifacts(attempt);
	return rc;
}

static int run(struct attempt *attempt, const struct code_agent **agent, struct agent_program *program)
{
	struct commit_made made;
	attempt_mark(attempt, "begins");
	if (!attempt->sandbox->confines)
		attempt_log_kiln(&attempt->log,
						 "this build runs unsandboxed (KILN_SANDBOX=%s): its agent can do what the executor's user can",
						 attempt->sandbox->name);
	(void)attempt_phase(attempt, "preparing", NULL); /* nobody waits for it */
	if (attempt_continue(attempt) < 0 || find_agent(attempt, agent, program) < 0 || attempt_prepare(attempt) < 0 ||
		attempt_check_cancelled(attempt) < 0 || find_agent(attempt, agent, program) < 0)
		return -1;

	attempt->base_phase_id = attempt_phase(attempt, "agent", NULL);
	if (run_agent(attempt, *agent, program) < 0)
		return -1;

	(void)daemon_link_send(attempt->link, FRAME_COMMITTING, NULL, 0, false); /* nobody asks for its id */
	if (attempt_commit(attempt, &made) < 0 || attempt_check_cancelled(attempt) < 0)
		return -1;
	if (!made.changed) {
		const struct assignment *assignment = &attempt->assignment;
		/* From here on the remote decides how long it takes, and not the limit of a commit. */
		if (assignment->announced_len > 0) {
			(void)attempt_phase(attempt, "pushing",
								assignment->announced[assignment->announced_len - 1]); /* as above */
			settle_unpublished(attempt, (const char(*)[GIT_SHA_SIZE])assignment->announced, assignment->announced_len,
							   true);
		}
		return attempt->outcome.completed ? 0 : -1;
	}
	/* What the agent left is committed: a remote, or a store, that is slow now is not the agent's fault, and is tried
	 * again. */
	(void)daemon_link_send(attempt->link, FRAME_PUBLISHING, NULL, 0, false); /* as above */
	if (!attempt->assignment.auto_push)
		return attempt_keep_commit(attempt, attempt->has_start ? &attempt->start : NULL, &made.commit);
	return attempt_publish(attempt, &made);
}

void attempt_run(struct attempt *attempt)
{
	struct error err = ERROR_INIT;
	const struct fencing_token *token = &attempt->assignment.token;
	(void)snprintf(attempt->fence_ref, sizeof(attempt->fence_ref), "refs/kiln/builds/%s", token->build_id);
	attempt->identity = (struct commit_identity){
		.name = attempt->config->committer_name,
		.email = attempt->config->committer_email,
		.build_id = token->build_id,
		.attempt = token->attempt,
	};
	if (workspace_make(attempt->config->state_dir, token->lease_id, attempt->config->committer_name,
					   attempt->config->committer_email, &attempt->workspace, &err) < 0) {
		(void)outcome_fail_git(&attempt->outcome, &err); /* there is nothing to go back from */
		return;
	}
	struct agent_program program = {.argv_len = 0};
	const struct code_agent *agent = NULL;
	CLEANUP(free_p) char *subject = NULL;
	switch (attempt->assignment.mode) {
	case MODE_RUN:
		subject = commit_subject(attempt->assignment.prompt);
		attempt->identity.message =
			attempt->assignment.commit_message != NULL ? attempt->assignment.commit_message : subject;
		(void)run(attempt, &agent, &program); /* the outcome says it */
		break;
	case MODE_SETTLE:
		(void)attempt_settle(attempt); /* as above */
		break;
	case MODE_TIDY:
		(void)attempt_tidy(attempt); /* as above */
		break;
	}
	agent_program_release(&program);
	model_proxy_free(attempt->model_proxy);
	free(attempt->model_socket);
	free(attempt->prompt);
	attempt->model_proxy = NULL;
	attempt->model_socket = NULL;
	attempt->prompt = NULL;
}
