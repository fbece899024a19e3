/*
 * Sessions of agents that can go on with one (struct code_agent, session_path): a copy of the session's file, kept by
 * this worker under STATE/sessions when an agent has ended, and put into the HOME of an agent that continues its build.
 * Its name holds project, build and session, so that only a build of the same project can find it. Bounded: a file of
 * SESSION_MAX_BYTES, all of them KILN_SESSIONS_BYTES and SESSION_MAX_FILES; the oldest go first. No agent sees the
 * folder. What cannot be kept or found is no error: the next build is told by context.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "executor/secrets.h"

#define SESSION_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define SESSION_MAX_FILES 4096

struct session {
	const char *state_dir;
	const char *project_id, *build_id;
	const char *session_id; /* as the agent has told it: anything */
	const char *home;       /* on this machine */
	const char *path;       /* of its file, below home */
};

/* A copy of what the agent has left, secrets masked. The agent's processes must be gone. */
void session_keep(const struct session *session, const struct secrets *secrets, int64_t all_bytes);
/* Puts it back into a HOME where no agent has been yet. */
bool session_restore(const struct session *session) MUST_CHECK;
