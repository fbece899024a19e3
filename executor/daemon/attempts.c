#include "executor/daemon/attempts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/daemon/messages.h"
#include "executor/daemon/metrics.h"
#include "executor/daemon/orphans.h"
#include "executor/descendants.h"
#include "executor/sandbox/cgroup.h"

#define MAX_FORWARDED 128
#define SPARE_DELAY_MS 250 /* after an attempt took one: it needs the processor now */
#define SPARE_RETRY_MS 1000
#define SWEEP_MS 10           /* while leftovers are being killed */
#define CANCEL_MARGIN_MS 5000 /* on top of the agent's grace, for the child to clean up */
#define MAX_KEPT 4096

struct held *attempts_find(struct daemon *daemon, const struct fencing_token *token)
{
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		if (!held->tidy && fencing_token_equal(&held->token, token))
			return held;
	}
	return NULL;
}

struct held *attempts_find_build(struct daemon *daemon, const char *build_id)
{
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		if (!held->tidy && str_equal(held->token.build_id, build_id))
			return held;
	}
	return NULL;
}

size_t attempts_slots_used(const struct daemon *daemon)
{
	size_t used = 0;
	LIST_FOR_EACH (node, &daemon->held)
		used += LIST_ITEM(node, struct held, node)->tidy ? 0 : 1;
	return used;
}

static int take_child(struct daemon *daemon, struct child *ret_child, struct error *err)
{
	daemon->spare_due_ms = clock_boot_ms() + SPARE_DELAY_MS;
	if (daemon->has_spare) {
		*ret_child = daemon->spare;
		daemon->has_spare = false;
		return 0;
	}
	return child_spawn(ret_child, &daemon->nursery, daemon->offers.versions, err);
}

void attempts_instruct(struct held *held, const char *assignment, size_t len)
{
	if (held->trace_id != NULL)
		child_send(&held->child, FRAME_TRACE, 0, held->trace_id, strlen(held->trace_id));
	child_send(&held->child, FRAME_ATTEMPT, 0, assignment, len);
}

bool attempts_start(struct daemon *daemon, const struct fencing_token *token, const struct assigned *assigned,
					bool tidy)
{
	struct child child;
	struct error err = ERROR_INIT;
	int rc = tidy ? child_spawn(&child, &daemon->nursery, daemon->offers.versions, &err)
				  : take_child(daemon, &child, &err); /* tidying must not make a build wait */
	if (rc < 0) {
		log_error("no child for an attempt", "build_id", token->build_id, "error", err.message, NULL);
		return false;
	}
	struct held *held = xcalloc(1, sizeof(*held));
	held->serial = ++daemon->last_serial;
	held->token = *token;
	held->assignment = xstrndup(assigned->data, assigned->len);
	held->assignment_len = assigned->len;
	(void)snprintf(held->traceparent, sizeof(held->traceparent), "%s", assigned->traceparent);
	held->trace_id = trace_id_of(held->traceparent, held->trace_id_text);
	held->child = child;
	held->kill_ms = INT64_MAX;
	held->phase_ms = INT64_MAX;
	held->tidy = tidy;
	list_append(&daemon->held, &held->node);
	daemon->held_len++;
	attempts_instruct(held, assigned->data, assigned->len);
	if (!tidy) {
		messages_accepted(daemon, held);
		log_info("attempt accepted", "build_id", token->build_id, "attempt", LOG_INT(token->attempt), "trace_id",
				 held->trace_id, NULL);
		executor_metrics_held((int64_t)attempts_slots_used(daemon));
	}
	return true;
}

void attempts_cancel(struct daemon *daemon, struct held *held)
{
	(void)daemon;
	if (held->cancelled || held->child_gone)
		return;
	log_info("attempt is cancelled", "build_id", held->token.build_id, "attempt", LOG_INT(held->token.attempt),
			 "trace_id", held->trace_id, NULL);
	held->cancelled = true;
	child_send(&held->child, FRAME_CANCEL, 0, NULL, 0);
	/* While it pushes, the push's outcome is waited for, and wins. */
	if (!held->pushing)
		held->kill_ms = clock_boot_ms() + daemon->config->kill_grace_ms + CANCEL_MARGIN_MS;
}

void attempts_abandon(struct daemon *daemon, struct held *held)
{
	log_info("attempt is abandoned", "build_id", held->token.build_id, "attempt", LOG_INT(held->token.attempt),
			 "trace_id", held->trace_id, NULL);
	held->abandoned = true;
	attempts_kill(daemon, held, "worker_lost", "abandoned");
}

void attempts_kill(struct daemon *daemon, struct held *held, const char *error_class, const char *message)
{
	if (held->kill_class == NULL) {
		held->kill_class = error_class;
		held->kill_message = message;
	}
	if (held->child_gone)
		return;
	log_info("agent is killed", "build_id", held->token.build_id, "attempt", LOG_INT(held->token.attempt), "reason",
			 message, "trace_id", held->trace_id, NULL);
	child_kill(&held->child);
	daemon->sweep_due_ms = clock_boot_ms();
}

void attempts_kill_all(struct daemon *daemon, const char *error_class, const char *message)
{
	LIST_FOR_EACH (node, &daemon->held)
		attempts_kill(daemon, LIST_ITEM(node, struct held, node), error_class, message);
}

/* ---- frames of the child */

static void replace(char **text, const char *by)
{
	if (by == NULL)
		return;
	free(*text);
	*text = xstrdup(by);
}

/* The agent's phase is limited by the attempt's child, and publishing has its own deadline. Keeping the artifacts has,
 * too: what a store takes is not the commit's, which begins with FRAME_COMMITTING. */
static void limit_phase(struct daemon *daemon, struct held *held, const char *phase)
{
	held->preparing = str_equal(phase, "preparing");
	held->phase_ms = INT64_MAX;
	if (held->preparing)
		held->phase_ms = clock_boot_ms() + daemon->config->prepare_timeout_ms;
	if (str_equal(phase, "committing"))
		held->phase_ms = clock_boot_ms() + daemon->config->artifacts_timeout_ms + daemon->config->commit_timeout_ms;
}

static void end_phase(struct daemon *daemon, struct held *held)
{
	held->phase_ms = INT64_MAX;
	held->kill_final = held->kill_class == NULL;
	if (held->preparing)
		attempts_kill(daemon, held, "rejected", "the repository could not be made ready for the agent in time");
	else
		attempts_kill(daemon, held, "agent_failed", "what the agent left could not be committed in time");
}

static void take_phase(struct daemon *daemon, struct held *held, const struct frame *frame)
{
	CLEANUP(cJSON_Delete_p) cJSON *phase = NULL;
	struct error err = ERROR_INIT;
	if (json_parse(frame->data, frame->len, &phase, &err) < 0) {
		attempts_kill(daemon, held, "internal", "the child sent a malformed phase");
		return;
	}
	replace(&held->base_sha, json_get_string(phase, "base_sha"));
	replace(&held->branch, json_get_string(phase, "branch"));
	limit_phase(daemon, held, json_get_string(phase, "phase"));
	if (str_equal(json_get_string(phase, "phase"), "pushing") && json_get_string(phase, "commit_sha") != NULL) {
		held->pushing = true;
		held->kill_ms = INT64_MAX;
		(void)snprintf(held->announced_sha, sizeof(held->announced_sha), "%s", json_get_string(phase, "commit_sha"));
	}
	held->forwarded++;
	messages_phase(daemon, held, phase, frame->id);
}

/* How long a push may begin: by the dead-man rule's own clock, since nobody else kills us earlier. */
static void answer_lease(struct daemon *daemon, struct held *held, uint64_t id)
{
	int64_t left_ms = atomic_load(&daemon->view.heartbeat_acked_ms) + daemon->config->dead_man_ms - clock_boot_ms();
	if (left_ms < 0 || daemon->dead || held->kill_class != NULL)
		left_ms = 0;
	char text[64];
	int len = snprintf(text, sizeof(text), "{\"left_ms\":%lld}", (long long)left_ms);
	child_send(&held->child, FRAME_LEASE, id, text, (size_t)len);
}

static void take_frame(struct daemon *daemon, struct held *held, const struct frame *frame)
{
	switch (frame->type) {
	case FRAME_PHASE:
		take_phase(daemon, held, frame);
		return;
	case FRAME_LOG:
		held->forwarded++;
		messages_log(daemon, held, frame);
		return;
	case FRAME_ASK_LEASE:
		answer_lease(daemon, held, frame->id);
		return;
	case FRAME_COMMITTING:
		held->phase_ms = clock_boot_ms() + daemon->config->commit_timeout_ms;
		return;
	case FRAME_PUBLISHING:
		held->phase_ms = INT64_MAX;
		return;
	case FRAME_RESULT:
		free(held->result);
		held->result = xstrndup(frame->data, frame->len);
		held->result_len = frame->len;
		return;
	case FRAME_TRACE:
	case FRAME_ATTEMPT:
	case FRAME_CANCEL:
	case FRAME_ACK:
	case FRAME_LEASE:
		attempts_kill(daemon, held, "internal", "the child sent a frame of the wrong direction");
		return;
	}
}

bool attempts_reads(const struct held *held)
{
	return held->child.fd >= 0 && held->forwarded < MAX_FORWARDED;
}

static void take_frames(struct daemon *daemon, struct held *held)
{
	struct frame frame;
	int found = 0;
	while (held->forwarded < MAX_FORWARDED && (found = frame_peek(&held->child.in, &frame)) > 0) {
		take_frame(daemon, held, &frame);
		frame_consume(&held->child.in, &frame);
	}
	if (found < 0)
		attempts_kill(daemon, held, "internal", "the child sent no frame");
}

void attempts_serve(struct daemon *daemon, struct held *held)
{
	child_flush(&held->child);
	if (held->child.fd < 0 || !attempts_reads(held))
		return;
	(void)child_read(&held->child); /* its end is seen when it is reaped */
	take_frames(daemon, held);
}

void attempts_acked(struct daemon *daemon, uint64_t serial, uint64_t frame_id)
{
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		if (held->serial != serial)
			continue;
		if (held->forwarded > 0) /* of a child that has ended nobody counts them any more */
			held->forwarded--;
		child_send(&held->child, FRAME_ACK, frame_id, NULL, 0);
		take_frames(daemon, held); /* what waited for room */
		return;
	}
}

/* ---- ends */

/* Everything that it sent before it ended is taken in; then its processes are looked after. */
static void child_ended(struct daemon *daemon, struct held *held, int status)
{
	held->child.pid = 0;
	held->child_gone = true;
	held->forwarded = 0; /* nobody waits for acknowledgements any more, so nothing holds back what is left to be read */
	bool more = true;
	while (more) {
		more = child_read(&held->child) && held->child.in.len >= FRAME_HEADER_BYTES;
		size_t before = held->child.in.len;
		take_frames(daemon, held);
		held->forwarded = 0;
		if (held->child.in.len == before)
			more = false; /* no whole frame: it was cut off */
	}
	child_release(&held->child);
	if (!WIFEXITED(status) || held->result == NULL)
		log_warn("an attempt's child has died", "build_id", held->token.build_id, "status", LOG_INT(status), "trace_id",
				 held->trace_id, NULL);
	daemon->sweep_due_ms = clock_boot_ms();
}

static struct held *find_pid(struct daemon *daemon, pid_t pid)
{
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		if (held->child.pid == pid)
			return held;
	}
	return NULL;
}

static void reap(struct daemon *daemon)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return;
		struct held *held = find_pid(daemon, pid);
		if (held != NULL) {
			nursery_child_ended(&daemon->nursery, status);
			child_ended(daemon, held, status);
		} else if (daemon->has_spare && daemon->spare.pid == pid) {
			log_warn("the spare child has died", "status", LOG_INT(status), NULL);
			child_release(&daemon->spare);
			daemon->has_spare = false;
			state_writer_clear_spare(daemon->state_writer, (int)pid);
			daemon->spare_due_ms = clock_boot_ms() + SPARE_RETRY_MS;
		} else if (daemon->nursery.pid == pid) {
			log_warn("the nursery has died", "status", LOG_INT(status), NULL);
			nursery_ended(&daemon->nursery);
		} else if (daemon->packer.pid == pid) {
			packer_ended(&daemon->packer, status);
			if (daemon->packer.died)
				daemon->sweep_due_ms = clock_boot_ms();
		} else { /* perhaps of a nursery that was given up: nobody has its pid, but it has a folder */
			state_writer_clear_spare(daemon->state_writer, (int)pid);
		}
	}
}

/* Kills the children that a dead child has left to us. */
static size_t kill_unknown(struct daemon *daemon)
{
	pid_t *keep = xcalloc(MAX_KEPT, sizeof(*keep));
	size_t len = 0;
	if (daemon->has_spare)
		keep[len++] = daemon->spare.pid;
	if (daemon->nursery.pid > 0) /* what it is forking is not ours yet */
		keep[len++] = daemon->nursery.pid;
	if (daemon->packer.pid > 0)
		keep[len++] = daemon->packer.pid;
	LIST_FOR_EACH (node, &daemon->held) {
		const struct held *held = LIST_ITEM(node, struct held, node);
		if (held->child.pid > 0 && len < MAX_KEPT)
			keep[len++] = held->child.pid;
	}
	size_t count = descendants_kill_others(keep, len);
	free(keep);
	return count;
}

/* Ends the first attempt whose child has ended and of which nothing is left. False: there is none. */
static bool end_swept(struct daemon *daemon)
{
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		if (!held->child_gone || !orphans_clear_lease(daemon->config->state_dir, held->token.lease_id))
			continue;
		cgroup_discard(held->token.lease_id);
		attempts_end(daemon, held);
		return true; /* the list may have changed: from the front again */
	}
	return false;
}

/* Attempts whose child has ended: when nothing of them is left, they end. A child that ended well has seen to that
 * itself. */
static void sweep(struct daemon *daemon, int64_t now_ms)
{
	if (now_ms < daemon->sweep_due_ms)
		return;
	daemon->sweep_due_ms = INT64_MAX;
	bool unwell = daemon->packer.died;
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		unwell = unwell || (held->child_gone && held->result == NULL);
	}
	size_t unknown = unwell ? kill_unknown(daemon) : 0;
	if (unknown > 0)
		daemon->sweep_due_ms = now_ms + SWEEP_MS;
	else
		daemon->packer.died = false;
	reap(daemon);
	while (unknown == 0 && end_swept(daemon)) {
	}
	LIST_FOR_EACH (node, &daemon->held) {
		if (LIST_ITEM(node, struct held, node)->child_gone)
			daemon->sweep_due_ms = now_ms + SWEEP_MS;
	}
}

static bool wants_spare(const struct daemon *daemon)
{
	return !daemon->has_spare && !daemon->draining && daemon->state == DAEMON_READY && daemon->config->slots > 0;
}

static void keep_spare(struct daemon *daemon, int64_t now_ms)
{
	if (!wants_spare(daemon) || now_ms < daemon->spare_due_ms)
		return;
	struct error err = ERROR_INIT;
	daemon->has_spare = child_spawn(&daemon->spare, &daemon->nursery, daemon->offers.versions, &err) == 0;
	daemon->spare_due_ms = daemon->has_spare ? INT64_MAX : now_ms + SPARE_RETRY_MS;
	if (!daemon->has_spare)
		log_error("no spare child", "error", err.message, NULL);
}

void attempts_tick(struct daemon *daemon, int64_t now_ms)
{
	reap(daemon);
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		if (now_ms >= held->kill_ms && !held->child_gone) {
			held->kill_ms = INT64_MAX;
			attempts_kill(daemon, held, "cancelled", "cancelled by request");
		}
		if (now_ms >= held->phase_ms && !held->child_gone)
			end_phase(daemon, held);
	}
	sweep(daemon, now_ms);
	keep_spare(daemon, now_ms);
}

int64_t attempts_due_ms(const struct daemon *daemon)
{
	int64_t due_ms = daemon->sweep_due_ms;
	if (wants_spare(daemon) && daemon->spare_due_ms < due_ms)
		due_ms = daemon->spare_due_ms;
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		if (held->kill_ms < due_ms)
			due_ms = held->kill_ms;
		if (held->phase_ms < due_ms)
			due_ms = held->phase_ms;
	}
	return due_ms;
}
