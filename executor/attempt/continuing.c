#include "executor/attempt/continuing.h"

#include "common/base/alloc.h"
#include "common/base/str.h"

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

int attempt_continue(struct attempt *attempt)
{
	const cJSON *continues = attempt->assignment.continues;
	const char *problem = json_get_string(continues, "problem");
	if (str_equal(problem, "not_ended"))
		return outcome_fail(&attempt->outcome, "rejected", false, "continue_from: that build has not ended");
	if (problem != NULL)
		return outcome_fail(&attempt->outcome, "rejected", false,
							"continue_from: there is no such build of this project");
	free(attempt->prompt);
	if (continues == NULL) {
		attempt->prompt = xstrdup(attempt->assignment.prompt);
		return 0;
	}
	attempt->prompt = with_context(continues, attempt->assignment.prompt);
	attempt->continued = "context";
	attempt_log_kiln(&attempt->log, "this build continues %s: its prompt and answer are given as context",
					 json_get_string(continues, "build_id"));
	return 0;
}
