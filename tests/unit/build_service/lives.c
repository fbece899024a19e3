#include "tests/unit/build_service/lives.h"

#include <string.h>

#include "build-service/result.h"
#include "common/base/str.h"
#include "common/json/json.h"

struct lives sample;

int lives_set_up(void **state UNUSED)
{
	arena_init(&sample.arena);
	trail_init(&sample.trail, &sample.arena);
	trail_begin(&sample.trail);
	sample.context = (struct transition_context){.trail = &sample.trail, .policy = &retry_policy_default};
	lives_new(&sample);
	return 0;
}

int lives_tear_down(void **state UNUSED)
{
	trail_release(&sample.trail);
	arena_release(&sample.arena);
	return 0;
}

void lives_new(struct lives *lives)
{
	lives->build = (struct build){
		.id = LIVES_BUILD_ID,
		.project_id = "55555555-5555-4555-8555-555555555555",
		.project_name = "demo",
		.max_attempts = 3,
		.class_name = "command",
		.priority = 5,
		.queue_timeout_s = 60,
		.metadata = "{\"k\":\"v\"}",
		.created_at = "2026-11-23T17:20:00.000000Z",
		.spec = "{}",
	};
}

struct occurrence lives_occurrence(const struct lives *lives, enum happening what)
{
	struct occurrence occurrence = {.what = what};
	build_token(&lives->build, &occurrence.token);
	switch (what) {
	case HAPPENED_REFUSAL:
		occurrence.refusal.message = "cannot be run";
		break;
	case HAPPENED_ASSIGN:
		occurrence.assign.lease_id = LIVES_LEASE;
		occurrence.assign.worker_id = LIVES_WORKER;
		occurrence.assign.incarnation = (struct incarnation){.counter = 1, .nonce = LIVES_NONCE};
		break;
	case HAPPENED_PHASE:
		occurrence.phase.phase = PHASE_AGENT;
		occurrence.phase.base_sha = LIVES_SHA;
		occurrence.phase.sandbox = "bwrap";
		occurrence.phase.branch = "main";
		break;
	case HAPPENED_FINISH:
		occurrence.finish.outcome = OUTCOME_COMPLETED;
		occurrence.finish.result = "{\"success\":true}";
		break;
	case HAPPENED_LOSS:
		occurrence.loss.reason = LOSS_LEASE_EXPIRED;
		break;
	case HAPPENED_LATE_COMMIT:
	case HAPPENED_LATE_PUSH:
		occurrence.late.commit_sha = LIVES_SHA;
		occurrence.late.lost_attempt = 1;
		break;
	case HAPPENED_REQUEST:
	case HAPPENED_ACCEPT:
	case HAPPENED_CANCEL:
	case HAPPENED_QUEUE_TIMEOUT:
	case HAPPENED_SETTLE_TIMEOUT:
	case HAPPENED_COUNT:
		break;
	}
	return occurrence;
}

struct occurrence lives_failure(const struct lives *lives, bool retryable)
{
	struct occurrence finish = lives_occurrence(lives, HAPPENED_FINISH);
	finish.finish.outcome = OUTCOME_FAILED;
	finish.finish.retryable = retryable;
	finish.finish.error_class = "git_unreachable";
	finish.finish.error_message = "no route";
	finish.finish.result = "{\"success\":false}";
	return finish;
}

enum applied lives_apply(struct lives *lives, const struct occurrence *occurrence)
{
	enum applied applied = transition_apply(&lives->context, &lives->build, occurrence);
	lives_check(lives);
	return applied;
}

enum applied lives_happen(struct lives *lives, enum happening what)
{
	struct occurrence occurrence = lives_occurrence(lives, what);
	return lives_apply(lives, &occurrence);
}

static void reach_settle_queued(struct lives *lives)
{
	lives_happen(lives, HAPPENED_REQUEST);
	lives_happen(lives, HAPPENED_ASSIGN);
	struct occurrence pushing = lives_occurrence(lives, HAPPENED_PHASE);
	pushing.phase.phase = PHASE_PUSHING;
	pushing.phase.commit_sha = LIVES_SHA;
	lives_apply(lives, &pushing);
	struct occurrence failed = lives_occurrence(lives, HAPPENED_FINISH);
	failed.finish.outcome = OUTCOME_FAILED;
	failed.finish.error_class = "push_rejected";
	failed.finish.error_message = "no";
	failed.finish.result = "{\"success\":false}";
	lives_apply(lives, &failed);
}

void lives_reach(struct lives *lives, enum life life)
{
	lives_new(lives);
	lives->trail.len = 0;
	switch (life) {
	case LIFE_NEW:
		break;
	case LIFE_QUEUED:
		lives_happen(lives, HAPPENED_REQUEST);
		break;
	case LIFE_ASSIGNED:
		lives_reach(lives, LIFE_QUEUED);
		lives_happen(lives, HAPPENED_ASSIGN);
		break;
	case LIFE_RUNNING:
		lives_reach(lives, LIFE_ASSIGNED);
		lives_happen(lives, HAPPENED_ACCEPT);
		break;
	case LIFE_SETTLE_QUEUED:
		reach_settle_queued(lives);
		break;
	case LIFE_SETTLE_ASSIGNED:
		lives_reach(lives, LIFE_SETTLE_QUEUED);
		lives_happen(lives, HAPPENED_ASSIGN);
		break;
	case LIFE_SETTLE_RUNNING:
		lives_reach(lives, LIFE_SETTLE_ASSIGNED);
		lives_happen(lives, HAPPENED_ACCEPT);
		break;
	case LIFE_ENDED:
		lives_reach(lives, LIFE_RUNNING);
		lives_happen(lives, HAPPENED_FINISH);
		break;
	case LIFE_COUNT:
		fail();
	}
	assert_int_equal(build_life(&lives->build), life);
}

const char *lives_event(const struct lives *lives, size_t back)
{
	return back < lives->trail.len ? lives->trail.rows[lives->trail.len - 1 - back].type : "";
}

size_t lives_count(const struct lives *lives, const char *type)
{
	size_t count = 0;
	for (size_t i = 0; i < lives->trail.len; i++)
		count += strcmp(lives->trail.rows[i].type, type) == 0;
	return count;
}

bool lives_last_says(const struct lives *lives, const char *text)
{
	assert_true(lives->trail.len > 0);
	const struct trail_row *row = &lives->trail.rows[lives->trail.len - 1];
	CLEANUP(buffer_release_p) struct buffer body;
	buffer_init(&body, 1 << 20);
	assert_int_equal(buffer_append(&body, trail_body(&lives->trail, row), row->body_len), 0);
	return strstr(body.data, text) != NULL;
}

static void check_columns(const struct build *build)
{
	bool pending = build->phase == PHASE_QUEUED || build->phase == PHASE_ASSIGNED;
	bool ended = build->phase == PHASE_NONE;
	assert_int_equal(build->status == STATUS_PENDING, pending);
	assert_int_equal(build->status == STATUS_RUNNING, !pending && !ended);
	assert_int_equal(build->queue.waiting, build->phase == PHASE_QUEUED);
	assert_int_equal(build_is_held(build), !ended && build->phase != PHASE_QUEUED);
	assert_true(build->attempts_used >= 0 && build->attempts_used <= build->max_attempts);
	assert_int_equal(build->result != NULL, ended);
	if (build->settling)
		assert_true(build->pushing_seen && build->settle_end != NULL);
}

static void check_trail(const struct lives *lives)
{
	uint8_t hash[SHA256_SIZE] = {0};
	size_t terminal = 0;
	for (size_t i = 0; i < lives->trail.len; i++) {
		const struct trail_row *row = &lives->trail.rows[i];
		const char *body = trail_body(&lives->trail, row);
		assert_int_equal(row->sequence, (int32_t)i + 1);
		sha256_two(hash, sizeof(hash), body, row->body_len, hash);
		assert_memory_equal(row->hash, hash, sizeof(hash));
		struct error err = ERROR_INIT;
		cJSON *tree = NULL;
		assert_int_equal(json_parse(body, row->body_len, &tree, &err), 0);
		CLEANUP(buffer_release_p) struct buffer canonical;
		buffer_init(&canonical, 1 << 20);
		assert_int_equal(json_canonical(&canonical, tree), 0);
		assert_int_equal(canonical.len, row->body_len);
		assert_memory_equal(canonical.data, body, row->body_len);
		assert_int_equal(json_get_int(tree, "sequence", 0), row->sequence);
		bool is_end = json_get(tree, "result") != NULL;
		terminal += is_end;
		const char *phase = json_get_string(tree, "phase"), *status = json_get_string(tree, "status");
		if (is_end)
			assert_true(phase == NULL && !str_equal(status, "pending") && !str_equal(status, "running"));
		cJSON_Delete(tree);
	}
	assert_int_equal(terminal, lives->build.exists && build_ended(&lives->build));
}

void lives_check(const struct lives *lives)
{
	if (!lives->build.exists)
		return;
	check_columns(&lives->build);
	check_trail(lives);
}
