/*
 * The port for what holds an agent: one adapter per way, a file each (none.c, bwrap.c), and one row each in sandbox.c.
 * An adapter starts the agent's program so that it sees and reaches no more than it is meant to; waiting for it,
 * reading it and killing it are the same for all (attempt/agent_run.h). docs/sandbox.md says what is kept from whom.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/process.h"
#include "executor/config.h"
#include "executor/sandbox/model_address.h"

/* What a confined agent sees, whatever the host is like. */
#define SANDBOX_FILES "/workspace"
#define SANDBOX_HOME "/home/agent"
#define SANDBOX_TMP "/tmp"
#define SANDBOX_OBJECTS "/run/kiln/objects"
#define SANDBOX_MAX_READABLE 16 /* paths of KILN_SANDBOX_READABLE */

/* What is to be confined. The caller's memory, absolute paths of the host. */
struct sandbox_spec {
	const struct executor_config *config;
	const char *lease_id;
	const char *files, *home, *tmp; /* all that it may write to */
	const char *objects;            /* git objects that the workspace borrows; NULL = none */
	const char *model_socket;       /* the model proxy listens there; NULL: there is no network at all */
};

/* The same as the agent knows them. */
struct sandbox_view {
	const char *files, *home, *tmp, *objects;
};

/* One that runs. */
struct sandboxed {
	pid_t pid;     /* our child, whose end is the end of all of it */
	int status_fd; /* where the agent's own end is told; -1 = the child is the agent itself */
	char *cgroup;  /* of its own, NULL = none */
};

struct sandbox {
	const char *name;
	bool confines; /* false: the agent can do what the executor's user can */
	/* Once in the daemon, before anything runs: finds out by a real run whether it works here, and how limits are kept.
	 * ERR_UNAVAILABLE with a message for the operator. */
	int (*set_up)(const struct executor_config *config, struct error *err);
	/* What can be done in an attempt's process before there is an attempt. */
	void (*warm_up)(const struct executor_config *config);
	struct sandbox_view (*view)(const struct sandbox_spec *spec);
	/* Starts the agent. `options` say what and with which descriptors; adapters set working directory and limits.
	 * ERR_INVALID: the agent's program cannot be run (sandbox_exec_failed); ERR_UNAVAILABLE and any other: what it was to
	 * be run in, or by, failed, which is not the agent's fault. */
	int (*spawn)(const struct sandbox_spec *spec, const struct process_options *options, struct sandboxed *ret,
				 struct error *err);
};

/* KILN_SANDBOX's; never NULL after config_load. */
const struct sandbox *sandbox_find(const char *name);

extern const struct sandbox sandbox_none;
extern const struct sandbox sandbox_bwrap;

/* After the child's end (wait status): the agent's own wait status. ERR_UNAVAILABLE: the agent never ran; as of
 * sandbox_exec_failed: its program cannot be run. */
int sandboxed_status(const struct sandboxed *sandboxed, int child_status, int *ret_status,
					 struct error *err) MUST_CHECK;
/* Exec of the agent's program has failed with what `err` says. ERR_INVALID when it is the program, which is not there or
 * may not be run; else it was the machine, and the kind stays. Returns -1. */
int sandbox_exec_failed(struct error *err);
/* When nothing of it runs any more. Accepts {.status_fd = -1}. */
void sandboxed_release(struct sandboxed *sandboxed);

/* Not more than is allowed to us: a limit can be lowered, not raised. */
uint64_t sandbox_limit(int resource, int64_t wanted);
