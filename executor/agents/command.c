/* Provider `command`: a program of the operator's, KILN_COMMAND_AGENTS_DIR/NAME. A bot names it, but can never name a
 * path. Exit 0 is success. */
#include "executor/agents/agent.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

static bool configured(const struct executor_config *config)
{
	return config->command_agents_dir != NULL;
}

static int prepare(const struct agent_task *task, struct agent_program *program, struct error *err)
{
	const char *name = json_get_string(task->agent, "command");
	if (name == NULL || !str_is_name(name, strlen(name)))
		return error_set(err, ERR_INVALID, "agent.command is no name");
	CLEANUP(free_p) char *path = xasprintf("%s/%s", task->config->command_agents_dir, name);
	struct stat info;
	if (stat(path, &info) < 0 || !S_ISREG(info.st_mode))
		return error_set(err, ERR_NOT_FOUND, "this worker has no command agent \"%s\"", name);
	if (access(path, X_OK) < 0)
		return error_set(err, ERR_NOT_FOUND, "the command agent \"%s\" of this worker is not executable", name);
	agent_program_arg(program, path);
	path = NULL;
	agent_program_environment(program, task);
	return 0;
}

static void finish(struct agent_report *report, int status)
{
	char ending[64];
	agent_ending(status, ending, sizeof(ending));
	report->success = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!report->success)
		agent_report_fail(report, NULL, false, "the agent %s", ending);
}

const struct code_agent code_agent_command = {
	.name = "command",
	.configured = configured,
	.prepare = prepare,
	.finish = finish,
};
