#include "build-service/build.h"

#include <string.h>

#include "common/base/str.h"

static const char *const status_names[] = {"pending", "running", "completed", "failed", "cancelled"};
static const char *const phase_names[] = {NULL, "queued", "assigned", "preparing", "agent", "committing", "pushing"};
static const char *const state_names[] = {NULL, "assigned", "accepted", "finished", "lost"};
static const char *const mode_names[] = {"run", "settle"};
static const char *const reason_names[] = {"accept_timeout", "lease_expired", "worker_restarted", "not_held", "failed"};

const char *build_status_name(enum build_status status)
{
	return status_names[status];
}

const char *build_phase_name(enum build_phase phase)
{
	return phase_names[phase];
}

const char *attempt_state_name(enum attempt_state state)
{
	return state_names[state];
}

const char *attempt_mode_name(enum attempt_mode mode)
{
	return mode_names[mode];
}

const char *loss_reason_name(enum loss_reason reason)
{
	return reason_names[reason];
}

static int find(const char *const *names, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		if (str_equal(names[i], text))
			return (int)i;
	}
	return -1;
}

int build_status_parse(const char *text, enum build_status *ret_status)
{
	int found = find(status_names, ARRAY_LEN(status_names), text);
	if (found < 0)
		return -1;
	*ret_status = (enum build_status)found;
	return 0;
}

int build_phase_parse(const char *text, enum build_phase *ret_phase)
{
	int found = find(phase_names, ARRAY_LEN(phase_names), text);
	if (found < 0)
		return -1;
	*ret_phase = (enum build_phase)found;
	return 0;
}

int attempt_state_parse(const char *text, enum attempt_state *ret_state)
{
	int found = find(state_names, ARRAY_LEN(state_names), text);
	if (found < 0)
		return -1;
	*ret_state = (enum attempt_state)found;
	return 0;
}

int attempt_mode_parse(const char *text, enum attempt_mode *ret_mode)
{
	int found = find(mode_names, ARRAY_LEN(mode_names), text);
	if (found < 0)
		return -1;
	*ret_mode = (enum attempt_mode)found;
	return 0;
}

bool incarnation_equal(const struct incarnation *a, const struct incarnation *b)
{
	return a->counter == b->counter && strcmp(a->nonce, b->nonce) == 0;
}

void build_token(const struct build *build, struct fencing_token *ret_token)
{
	memcpy(ret_token->build_id, build->id, sizeof(ret_token->build_id));
	ret_token->attempt = build->attempt.number;
	memcpy(ret_token->lease_id, build->attempt.lease_id, sizeof(ret_token->lease_id));
}

bool build_is_held(const struct build *build)
{
	return build->attempt.state == ATTEMPT_ASSIGNED || build->attempt.state == ATTEMPT_ACCEPTED;
}
