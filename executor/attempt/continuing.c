#include "executor/attempt/continuing.h"

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/attempt/session.h"

static char *with_context(const cJSON *continues, const char *prompt)
{
	const char *asked = json_get_string(continues, "prompt"), *answered = json_get_string(continues, "output");
	return xasprintf(
		"You go on from earlier work on this repository. What was asked then, and what was answered, "
		"stands between the lines; it is over, and tells you only where you stand. What is to be done "
		"now follows the last line.\n\n"
		"----- asked earlier -----\n%s\n----- answered earlier -----\n%s\n----- now -----\n\n%s",
		asked != NULL ? asked : "(not known)", answered != NULL ? answered : "(nothing)", prompt);
}

/* Of this attempt's workspace; its path is the caller's to free, NULL when the agent cannot resume. */
static struct session session_of(const struct attempt *attempt, const struct code_agent *agent, const char *build_id,
								 const char *session_id, char **ret_path)
{
	const struct sandbox_spec spec = attempt_sandbox_spec(attempt);
	bool resumes = agent != NULL && agent->session_path != NULL && session_id != NULL;
	*ret_path = resumes ? agent->session_path(session_id, attempt->sandbox->view(&spec).files) : NULL;
	return (struct session){
		.state_dir = attempt->config->state_dir,
		.project_id = attempt->assignment.project_id,
		.build_id = build_id,
		.session_id = session_id,
		.home = attempt->workspace.home,
		.path = *ret_path,
	};
}

static bool resume(struct attempt *attempt, const cJSON *continues)
{
	const char *provider = json_get_string(attempt->assignment.agent, "provider");
	const char *session_id = json_get_string(continues, "session_id");
	CLEANUP(free_p) char *path = NULL;
	const struct session session =
		session_of(attempt, code_agent_find(provider), json_get_string(continues, "build_id"), session_id, &path);
	if (path == NULL || !str_equal(json_get_string(continues, "provider"), provider) || !session_restore(&session))
		return false;
	attempt->resumed_session = session_id;
	return true;
}

int attempt_continue(struct attempt *attempt)
{
	const cJSON *continues = attempt->assignment.continues;
	const char *problem = json_get_string(continues, "problem"), *earlier = json_get_string(continues, "build_id");
	if (str_equal(problem, "not_ended"))
		return outcome_fail(&attempt->outcome, "rejected", false, "continue_from: that build has not ended");
	if (problem != NULL)
		return outcome_fail(&attempt->outcome, "rejected", false,
							"continue_from: there is no such build of this project");
	if (continues == NULL) {
		attempt->prompt = xstrdup(attempt->assignment.prompt);
	} else if (resume(attempt, continues)) {
		attempt->prompt = xstrdup(attempt->assignment.prompt);
		attempt->continued = "resumed";
		attempt_log_kiln(&attempt->log, "this build continues %s: its agent's session goes on", earlier);
	} else {
		attempt->prompt = with_context(continues, attempt->assignment.prompt);
		attempt->continued = "context";
		attempt_log_kiln(&attempt->log, "this build continues %s: its prompt and answer are given as context", earlier);
	}
	return 0;
}

void attempt_keep_session(const struct attempt *attempt, const struct code_agent *agent)
{
	CLEANUP(free_p) char *path = NULL;
	const struct session session =
		session_of(attempt, agent, attempt->assignment.token.build_id, attempt->outcome.report.session_id, &path);
	if (path != NULL)
		session_keep(&session, &attempt->log.secrets, attempt->config->sessions_bytes);
}
