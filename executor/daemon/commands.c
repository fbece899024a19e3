#include "executor/daemon/commands.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/base/str.h"
#include "executor/daemon/attempts.h"
#include "executor/daemon/messages.h"

void commands_send_result(struct daemon *daemon, struct reported_item *item)
{
	struct reported_text text;
	struct error err = ERROR_INIT;
	/* Kafka would get each copy in the end, and until then each is held in memory. Or it comes once it is saved. */
	if (item->under_way[0] != '\0' || item->saving)
		return;
	if (reported_read(&daemon->reported, item, &text, &err) < 0) {
		log_error("a stored result cannot be read", "build_id", item->token.build_id, "error", err.message, NULL);
		return;
	}
	messages_finished(daemon, item, &text);
	cJSON_Delete(text.tree);
}

/* Another attempt of a build that we still work on: the old one was given up, and must be gone before the new one
 * begins. */
static void succeed(struct daemon *daemon, struct held *old, const struct fencing_token *token,
					const struct assigned *assigned)
{
	if (token->attempt < old->token.attempt) {
		log_warn("an assignment older than the attempt held is ignored", "build_id", token->build_id, NULL);
		return;
	}
	free(old->successor);
	old->successor = xstrndup(assigned->data, assigned->len);
	old->successor_len = assigned->len;
	(void)snprintf(old->successor_traceparent, sizeof(old->successor_traceparent), "%s", assigned->traceparent);
	if (!old->abandoned)
		attempts_abandon(daemon, old);
}

void commands_assign(struct daemon *daemon, const struct assigned *assigned)
{
	CLEANUP(cJSON_Delete_p) cJSON *command = NULL;
	struct error err = ERROR_INIT;
	struct fencing_token token;
	if (json_parse(assigned->data, assigned->len, &command, &err) < 0 ||
		fencing_token_read(command, &token, &err) < 0) {
		log_error("an assignment is malformed", "error", err.message, NULL);
		return;
	}
	const struct held *same = attempts_find(daemon, &token);
	if (same != NULL) {
		messages_accepted(daemon, same);
		return;
	}
	struct reported_item *reported = reported_find(&daemon->reported, &token);
	if (reported != NULL) {
		commands_send_result(daemon, reported);
		return;
	}
	if (over_has(&daemon->over, token.lease_id)) {
		log_info("an assignment of an attempt that is over is ignored", "build_id", token.build_id, NULL);
		return;
	}
	if (daemon->state != DAEMON_READY || daemon->draining || daemon->dead) {
		log_warn("an assignment is not accepted now", "build_id", token.build_id, "draining",
				 daemon->draining ? "yes" : "no", NULL);
		return;
	}
	struct held *same_build = attempts_find_build(daemon, token.build_id);
	if (same_build != NULL) {
		succeed(daemon, same_build, &token, assigned);
		return;
	}
	if ((int64_t)attempts_slots_used(daemon) >= daemon->config->slots) {
		log_error("an assignment beyond the slots is not accepted", "build_id", token.build_id,
				  NULL); /* the build service counts: a bug */
		return;
	}
	(void)attempts_start(daemon, &token, assigned,
						 false); /* without a child it is not accepted: the build service sees that */
}

static void forget_result(struct daemon *daemon, struct reported_item *item)
{
	state_writer_remove_result(daemon->state_writer, item->token.lease_id);
	reported_remove(&daemon->reported, item);
}

static void released(struct daemon *daemon, const struct fencing_token *token, bool last)
{
	struct reported_item *item = reported_find(&daemon->reported, token);
	over_add(&daemon->over, token->lease_id);
	if (item == NULL)
		return; /* a repetition */
	struct reported_text text;
	struct error err = ERROR_INIT;
	if (last && reported_read(&daemon->reported, item, &text, &err) == 0) {
		tidying_want(daemon, token, &text);
		cJSON_Delete(text.tree);
	}
	forget_result(daemon, item);
}

static void fenced(struct daemon *daemon, const cJSON *command)
{
	const char *reason = json_get_string(command, "reason");
	log_error("fenced: another incarnation is this worker now", "reason", reason, NULL);
	daemon->exit_status = 1;
	attempts_kill_all(daemon, "worker_lost", "the worker was fenced");
	LIST_FOR_EACH (node, &daemon->held)
		LIST_ITEM(node, struct held, node)->abandoned = true; /* nothing of ours counts any more */
	daemon_set_state(daemon, DAEMON_OVER);
}

void commands_handle(struct daemon *daemon, const struct mail *mail)
{
	const char *type = mail->type;
	CLEANUP(cJSON_Delete_p) cJSON *command = NULL;
	struct error err = ERROR_INIT;
	struct fencing_token token;
	if (json_parse(mail->data, mail->len, &command, &err) < 0) {
		log_error("a command is malformed", "type", type, "error", err.message, NULL);
		return;
	}
	if (!worker_identity_is_addressed(&daemon->identity, command)) {
		log_debug("a command for another incarnation is ignored", "type", type, NULL);
		return;
	}
	if (str_equal(type, "worker.fenced")) {
		fenced(daemon, command);
		return;
	}
	if (str_equal(type, "worker.drain")) {
		if (!daemon->drain_wished)
			log_info("asked to take no more builds and to end with the last one", NULL);
		daemon->drain_wished = true; /* the loop sees to it */
		return;
	}
	if (fencing_token_read(command, &token, &err) < 0) {
		log_error("a command is malformed", "type", type, "error", err.message, NULL);
		return;
	}
	struct held *held = attempts_find(daemon, &token);
	struct reported_item *item = reported_find(&daemon->reported, &token);
	if (str_equal(type, "attempt.assign")) {
		struct assigned assigned = {.data = mail->data, .len = mail->len, .traceparent = mail->traceparent};
		commands_assign(daemon, &assigned);
	} else if (str_equal(type, "attempt.cancel")) {
		if (held != NULL)
			attempts_cancel(daemon, held);
	} else if (str_equal(type, "attempt.released")) {
		released(daemon, &token, json_get_bool(command, "last", false));
	} else if (str_equal(type, "attempt.abandon")) {
		over_add(&daemon->over, token.lease_id);
		if (held != NULL)
			attempts_abandon(daemon, held);
		if (item != NULL)
			forget_result(daemon, item);
	} else {
		log_debug("an unknown command is ignored", "type", type, NULL);
	}
}
