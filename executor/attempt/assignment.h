/* The attempt.assign that a child works on (docs/messages.md), read once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/http/network_rules.h"
#include "common/json/json.h"
#include "common/model/fencing_token.h"
#include "executor/git/remote.h"

enum attempt_mode {
	MODE_RUN,    /* run the agent, commit, publish */
	MODE_SETTLE, /* find out or decide whether the build was published */
	MODE_TIDY, /* the daemon's own: delete the fence ref of a build that has ended; field `fence` is where it stands */
};

/* All pointers lead into `tree`. */
struct assignment {
	cJSON *tree;
	struct fencing_token token;
	enum attempt_mode mode;
	const char *project_name, *project_id; /* id: NULL = not a UUID */
	const char *prompt, *commit_message;   /* message may be NULL */
	bool auto_commit, auto_push;
	const cJSON *agent;     /* {provider, model, command, …} */
	const cJSON *artifacts; /* globs; may be NULL */
	const cJSON *continues; /* {build_id, problem, prompt, output, provider, session_id}; NULL = no other build */
	struct network_rules *network; /* what the agent may reach besides its model; MODE_RUN */
	int64_t timeout_s;
	const char *git_url, *credential; /* credential may be NULL */
	bool create_missing;
	const char *base_sha, *branch;   /* as the first attempt reported them, branch else the spec's; may be NULL */
	char (*announced)[GIT_SHA_SIZE]; /* commits that earlier attempts announced before they pushed */
	size_t announced_len;
	bool has_earlier;                                          /* this is not the first attempt */
	const char *settle_status, *settle_class, *settle_message; /* MODE_SETTLE */
	bool settle_retryable; /* MODE_SETTLE, the daemon's own: the run may be repeated, so it is only looked for */
	const char *fence;     /* MODE_TIDY */
	bool quiet;            /* no log: the daemon's own work, or a second child on the same attempt */
};

/* ERR_INVALID for anything that is missing, ill-typed or unsafe (a branch name, a sha). */
int assignment_read(const char *data, size_t len, struct assignment *ret_assignment, struct error *err) MUST_CHECK;
void assignment_release(struct assignment *assignment);

/* refs/heads/NAME can be given to git as it is: the pattern of schemas/common.json, in code. */
bool branch_is_safe(const char *name);
