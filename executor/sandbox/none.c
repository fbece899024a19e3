/* KILN_SANDBOX=none: the agent runs as the executor's user, with what rlimits can do. */
#include <sys/resource.h>

#include "executor/sandbox/sandbox.h"

#define MAX_OPEN_FILES 65536

static int set_up(const struct executor_config *config, struct error *err)
{
	(void)config; /* there is nothing to set up, or to fail */
	(void)err;    /* as above */
	return 0;
}

static void warm_up(const struct executor_config *config)
{
	(void)config; /* as above */
}

static struct sandbox_view view(const struct sandbox_spec *spec)
{
	return (struct sandbox_view){.files = spec->files, .home = spec->home, .tmp = spec->tmp, .objects = spec->objects};
}

static int spawn(const struct sandbox_spec *spec, const struct process_options *options, struct sandboxed *ret,
				 struct error *err)
{
	struct process_options limited = *options;
	struct sandboxed sandboxed = {.status_fd = -1};
	bool exec_failed = false;
	limited.cwd = spec->files;
	limited.limit_nofile = sandbox_limit(RLIMIT_NOFILE, MAX_OPEN_FILES);
	limited.limit_fsize_bytes = sandbox_limit(RLIMIT_FSIZE, spec->config->agent_max_file_bytes);
	limited.limit_nproc = sandbox_limit(RLIMIT_NPROC, spec->config->agent_max_processes);
	limited.ret_exec_failed = &exec_failed;
	if (process_spawn(&limited, &sandboxed.pid, err) < 0)
		return exec_failed ? sandbox_exec_failed(err) : -1;
	*ret = sandboxed;
	return 0;
}

const struct sandbox sandbox_none = {
	.name = "none",
	.confines = false,
	.set_up = set_up,
	.warm_up = warm_up,
	.view = view,
	.spawn = spawn,
};
