/* attempts_end: what becomes of an attempt when none of its processes is left. */
#include "executor/daemon/attempts.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/attempt/outcome.h"
#include "executor/daemon/commands.h"
#include "executor/daemon/messages.h"
#include "executor/daemon/metrics.h"

#define MAX_RESULT_BYTES ((size_t)16 * 1024 * 1024)
#define MAX_STORED_BYTES ((size_t)32 * 1024 * 1024)

static void held_free(struct held *held)
{
	free(held->assignment);
	free(held->result);
	free(held->base_sha);
	free(held->branch);
	free(held->successor);
	free(held);
}

/* The end of an attempt whose child could not tell it. */
static void make_end(const struct held *held, struct buffer *out)
{
	struct outcome outcome;
	outcome_init(&outcome);
	if (held->cancelled)
		(void)outcome_cancel(&outcome); /* it is set */
	else if (held->kill_class != NULL)
		(void)outcome_fail(&outcome, held->kill_class, !held->kill_final, "%s", held->kill_message); /* as above */
	else
		(void)outcome_fail(&outcome, "internal", true, "the attempt's process died"); /* as above */
	if (held->branch != NULL)
		(void)snprintf(outcome.branch, sizeof(outcome.branch), "%s", held->branch);
	outcome_write(&outcome, out);
	outcome_release(&outcome);
}

/* The RESULT frame when there is a good one, else an end of our own. */
static cJSON *find_end(const struct held *held)
{
	cJSON *end = NULL;
	struct error err = ERROR_INIT;
	if (held->result != NULL && json_parse(held->result, held->result_len, &end, &err) == 0)
		return end;
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, MAX_RESULT_BYTES);
	make_end(held, &text);
	CHECK(json_parse(text.data, text.len, &end, &err) == 0);
	return end;
}

static void write_stored(const struct held *held, const char *id, const struct buffer *finished, const cJSON *end,
						 struct buffer *out)
{
	CLEANUP(cJSON_Delete_p) cJSON *assignment = NULL;
	struct error err = ERROR_INIT;
	struct json_writer w;
	json_writer_init(&w, out);
	json_object_begin(&w, NULL);
	fencing_token_write(&w, &held->token);
	json_string(&w, "id", id);
	json_string_len(&w, "finished", finished->data, finished->len);
	json_string(&w, "traceparent", held->traceparent);
	json_string(&w, "fence", json_get_string(end, "fence"));
	json_object_begin(&w, "assignment");
	if (json_parse(held->assignment, held->assignment_len, &assignment, &err) == 0) {
		json_tree(&w, "project", json_get(assignment, "project"));
		json_tree(&w, "git", json_get(assignment, "git"));
	}
	json_object_end(&w);
	json_object_end(&w);
	CHECK(buffer_ok(out));
}

static void report(struct daemon *daemon, const struct held *held)
{
	CLEANUP(cJSON_Delete_p) cJSON *end = find_end(held);
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	CLEANUP(buffer_release_p) struct buffer finished;
	buffer_init(&finished, MAX_RESULT_BYTES);
	messages_write_finished(daemon, &held->token, end, &finished);
	CHECK(buffer_ok(&finished));
	CLEANUP(buffer_release_p) struct buffer stored;
	buffer_init(&stored, MAX_STORED_BYTES);
	write_stored(held, id, &finished, end, &stored);
	const char *outcome = json_get_string(end, "outcome");
	const char *error_class = json_get_string(json_get(json_get(end, "result"), "error"), "class");
	log_info("attempt finished", "build_id", held->token.build_id, "attempt", LOG_INT(held->token.attempt), "outcome",
			 outcome, "class", error_class, "published", json_get_bool(end, "published", false) ? "yes" : "no",
			 "trace_id", held->trace_id, NULL);
	executor_metrics_finished(outcome);
	/* Kept first, and sent when MAIL_SAVED comes: were it in the log only when this daemon dies, its successor's hello
	 * would not list it, and the attempt would be taken for lost before its result is applied (SENT_FIRST of
	 * tests/model/leases.pml). A disk that has not written it for as long as the dead-man time is one that fails. */
	const char *lease_id = held->token.lease_id;
	int64_t now_ms = clock_boot_ms();
	reported_add(&daemon->reported, &held->token, stored.data, stored.len, now_ms + daemon->config->dead_man_ms);
	if (!state_writer_save_result(daemon->state_writer, lease_id, stored.data, stored.len)) {
		log_error("the disk is far behind: a result is kept in memory only", "build_id", held->token.build_id,
				  "trace_id", held->trace_id, NULL);
		(void)reported_saved(&daemon->reported, lease_id, false, now_ms); /* it was just added */
	}
}

/* The assignment again, as a settling one with the same token: what the dead child announced is among the earlier
 * commits. NULL when that cannot be made. */
static char *settle_assignment(const struct held *held, size_t *ret_len)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	if (json_parse(held->assignment, held->assignment_len, &tree, &err) < 0)
		return NULL;
	cJSON *earlier = cJSON_GetObjectItemCaseSensitive(tree, "earlier");
	cJSON *announced = cJSON_CreateObject();
	CHECK(announced != NULL);
	(void)cJSON_AddNumberToObject(announced, "attempt", (double)held->token.attempt); /* out of memory shows below */
	(void)cJSON_AddStringToObject(announced, "commit_sha", held->announced_sha);      /* as above */
	if (!cJSON_IsArray(earlier) || !cJSON_AddItemToArray(earlier, announced)) {
		cJSON_Delete(announced);
		return NULL;
	}
	static const char *const replaced[] = {"mode", "base_sha", "branch", "settle_end"};
	for (size_t i = 0; i < ARRAY_LEN(replaced); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(tree, replaced[i]);
	(void)cJSON_AddStringToObject(tree, "mode", "settle"); /* a tree without it is refused by the child */
	(void)cJSON_AddTrueToObject(tree, "quiet");            /* the numbers of log lines are the first child's */
	if (held->base_sha != NULL)
		(void)cJSON_AddStringToObject(tree, "base_sha", held->base_sha); /* as above */
	if (held->branch != NULL)
		(void)cJSON_AddStringToObject(tree, "branch", held->branch); /* as above */
	cJSON *end = cJSON_AddObjectToObject(tree, "settle_end");
	(void)cJSON_AddStringToObject(end, "status", held->cancelled ? "cancelled" : "failed"); /* as above */
	(void)cJSON_AddBoolToObject(end, "retryable", !held->cancelled); /* as of any child that dies */
	cJSON *error = cJSON_AddObjectToObject(end, "error");
	(void)cJSON_AddStringToObject(error, "class", held->cancelled ? "cancelled" : "internal"); /* as above */
	(void)cJSON_AddStringToObject(
		error, "message", held->cancelled ? "cancelled by request" : "the attempt's process died"); /* as above */
	char *text = cJSON_PrintUnformatted(tree);
	CHECK(text != NULL);
	*ret_len = strlen(text);
	return text;
}

/* A second child finds out what the first one's push came to. */
static bool settle(struct daemon *daemon, struct held *held)
{
	size_t len = 0;
	char *assignment = settle_assignment(held, &len);
	struct child child;
	struct error err = ERROR_INIT;
	if (assignment == NULL || child_spawn(&child, &daemon->nursery, daemon->offers.versions, &err) < 0) {
		free(assignment);
		return false;
	}
	log_info("settling what a dead child was pushing", "build_id", held->token.build_id, "trace_id", held->trace_id,
			 NULL);
	/* What Kafka has yet to acknowledge is the first child's: its frames have the numbers of this one's. */
	held->serial = ++daemon->last_serial;
	held->forwarded = 0;
	held->child = child;
	held->child_gone = false;
	held->settling = true;
	attempts_instruct(held, assignment, len);
	free(assignment);
	return true;
}

void attempts_end(struct daemon *daemon, struct held *held)
{
	packer_want(&daemon->packer);
	/* Killed by us means that the lease is gone, or that the worker leaves: then the build service has it settled. */
	bool unsettled = held->result == NULL && held->pushing && held->kill_class == NULL && !held->settling &&
					 !held->abandoned && !held->tidy;
	if (unsettled && settle(daemon, held)) { /* in the place of the workspace, and by the same lock */
		janitor_wake(daemon->janitor);
		return;
	}
	state_writer_clear_lease(daemon->state_writer, held->token.lease_id);
	list_remove(&held->node);
	daemon->held_len--;
	if (!held->abandoned && !held->tidy)
		report(daemon, held);
	executor_metrics_held((int64_t)attempts_slots_used(daemon));
	if (held->successor != NULL) {
		struct assigned successor = {
			.data = held->successor, .len = held->successor_len, .traceparent = held->successor_traceparent};
		commands_assign(daemon, &successor);
	}
	held_free(held);
}
