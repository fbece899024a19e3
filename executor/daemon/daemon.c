#include "executor/daemon/daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/http/ops_server.h"
#include "common/kafka/topics.h"
#include "executor/daemon/attempts.h"
#include "executor/daemon/commands.h"
#include "executor/daemon/heartbeats.h"
#include "executor/daemon/messages.h"
#include "executor/daemon/metrics.h"
#include "executor/daemon/orphans.h"
#include "executor/sandbox/sandbox.h"

#define CLEAR_POLL_MS 20
#define LEAVE_RELEASE_MS 2000 /* for results to be released before the bye */
#define LEAVE_BYE_MS 5000
#define LEAVE_KILLED_MS 5000 /* for what was killed at the drain's deadline to be gone */
#define FENCED_MS 10000
#define FLUSH_MS 3000
#define THREADS_MS 5000 /* for those that may be waiting for a disk that hangs */
#define PACKER_MS 10000 /* it is nice, and may be in the kernel, on a disk that hangs */
#define MAX_QUEUED 20000
#define RESULTS_LINGER_MS 1 /* what an attempt says at once is one request */
#define FIXED_FDS 3

void daemon_set_state(struct daemon *daemon, enum daemon_state state)
{
	daemon->state = state;
	atomic_store(&daemon->view.state, (int)state);
}

/* ---- readiness, on the ops thread */

static bool check_kafka(void *ctx, struct buffer *why)
{
	struct daemon *daemon = ctx;
	return kafka_producer_ready(daemon->producer, why);
}

static bool check_worker(void *ctx, struct buffer *why)
{
	struct daemon *daemon = ctx;
	switch ((enum daemon_state)atomic_load(&daemon->view.state)) {
	case DAEMON_CLEARING:
		(void)buffer_append_str(
			why,
			"waiting for the assignments partition and for processes of the predecessor to end"); /* as far as there is
																									 room */
		return false;
	case DAEMON_GREETING:
		(void)buffer_append_str(why, "the hello was not acknowledged yet"); /* as above */
		return false;
	case DAEMON_READY:
		return true;
	case DAEMON_LEAVING:
	case DAEMON_OVER:
		(void)buffer_append_str(why, "leaving"); /* as above */
		return false;
	}
	return false;
}

static bool check_heartbeat(void *ctx, struct buffer *why)
{
	struct daemon *daemon = ctx;
	int64_t acked_ms = atomic_load(&daemon->view.heartbeat_acked_ms);
	if (acked_ms != 0 && clock_boot_ms() < acked_ms + daemon->config->dead_man_ms)
		return true;
	(void)buffer_append_str(why, "no heartbeat was acknowledged lately"); /* as far as there is room */
	return false;
}

static int start_ops(struct daemon *daemon, struct error *err)
{
	const struct ops_check checks[] = {
		{.name = "kafka", .check = check_kafka, .ctx = daemon},
		{.name = "worker", .check = check_worker, .ctx = daemon},
		{.name = "heartbeat", .check = check_heartbeat, .ctx = daemon},
	};
	executor_metrics_init(daemon->config->slots);
	return ops_server_start(daemon->config->common.ops_address, daemon->config->common.ops_port, checks,
							ARRAY_LEN(checks), err);
}

/* ---- the loop */

static void take_delivered(struct daemon *daemon, struct mail *mail)
{
	struct sent *sent = mail->message;
	if (!sender_delivered(&daemon->sender, sent, mail->outcome))
		return;
	switch (sent->kind) {
	case SENT_FRAME:
		attempts_acked(daemon, sent->serial, sent->frame_id);
		break;
	case SENT_HELLO:
		heartbeats_acked(daemon, sent->created_ms);
		if (daemon->state == DAEMON_GREETING) {
			log_info("worker is ready", "incarnation", LOG_INT(daemon->identity.counter), "partition",
					 LOG_INT(assignments_partition(daemon->assignments)), NULL);
			daemon_set_state(daemon, DAEMON_READY);
			daemon->heartbeat_due_ms = sent->created_ms + daemon->config->heartbeat_ms;
			daemon->spare_due_ms = 0;
		}
		break;
	case SENT_RESULT:
		reported_acknowledged(&daemon->reported, sent->id);
		break;
	case SENT_BYE:
		daemon_set_state(daemon, DAEMON_OVER);
		break;
	case SENT_PLAIN:
		break;
	}
	sent_free(sent);
}

/* resend() sends it. */
static void take_saved(struct daemon *daemon, const struct mail *mail)
{
	bool saved = mail->outcome == ERR_NONE;
	const struct reported_item *item = reported_saved(&daemon->reported, mail->lease_id, saved, clock_boot_ms());
	if (!saved && item != NULL)
		log_error("a result is kept in memory only", "build_id", item->token.build_id, "error", mail->data, NULL);
}

static void take_mail(struct daemon *daemon)
{
	/* Before the mailbox: everything below this offset has been posted. */
	int64_t position = assignments_position(daemon->assignments);
	struct list_node mails;
	list_init(&mails);
	mailbox_take(daemon->mailbox, &mails);
	for (struct list_node *node = list_pop(&mails); node != NULL; node = list_pop(&mails)) {
		struct mail *mail = LIST_ITEM(node, struct mail, node);
		switch (mail->kind) {
		case MAIL_COMMAND:
			commands_handle(daemon, mail);
			break;
		case MAIL_POSITIONED:
			break; /* the position says it */
		case MAIL_DELIVERED:
			take_delivered(daemon, mail);
			break;
		case MAIL_HEARTBEAT:
			heartbeats_acked(daemon, mail->value);
			break;
		case MAIL_SAVED:
			take_saved(daemon, mail);
			break;
		}
		mail_free(mail);
	}
	daemon->read_offset = position;
}

/* The hello, when nothing of the predecessor runs any more and our commands are being read. */
static void greet(struct daemon *daemon)
{
	if (daemon->state != DAEMON_CLEARING || daemon->read_offset < 0 || !orphans_clear(daemon->config->state_dir))
		return;
	janitor_discard_leftovers(daemon->config->state_dir);
	janitor_wake(daemon->janitor);
	nursery_start(&daemon->nursery, daemon->offers.versions);
	daemon_set_state(daemon, DAEMON_GREETING);
	messages_hello(daemon);
}

static void begin_drain(struct daemon *daemon)
{
	daemon->draining = true;
	daemon->leave_ms = INT64_MAX;
	if (daemon->state != DAEMON_READY) {
		daemon_set_state(daemon, DAEMON_OVER); /* nobody knows of us yet */
		return;
	}
	messages_worker(daemon, "worker.draining", SENT_PLAIN);
	heartbeats_hasten(daemon);
}

/* Nobody waits for us. */
static bool all_is_done(const struct daemon *daemon)
{
	return daemon->held_len == 0 && daemon->tidying.waiting_len == 0 && daemon->reported.len == 0 &&
		   daemon->sender.pending == 0;
}

/* Draining: running builds may end; at the deadline, which only a signal sets, they are handed back; their results are
 * kept; then the bye. Fence refs are removed for as long as results may be released, and not waited for any longer. */
static void drain(struct daemon *daemon, int64_t now_ms)
{
	if (!daemon->draining) {
		if (!signals_draining() && !(daemon->drain_wished && daemon->state == DAEMON_READY))
			return;
		begin_drain(daemon);
	}
	if (signals_draining() && !daemon->drain_limited) {
		daemon->drain_limited = true;
		daemon->drain_deadline_ms = now_ms + daemon->config->common.drain_timeout_ms;
	}
	size_t running = attempts_slots_used(daemon);
	if (daemon->state == DAEMON_READY && running > 0 && now_ms >= daemon->drain_deadline_ms) {
		daemon->drain_deadline_ms = INT64_MAX;
		daemon->give_up_ms = now_ms + LEAVE_KILLED_MS;
		attempts_kill_all(daemon, "cancelled", "the worker is being stopped"); /* nobody's wish: it is handed back */
	}
	if (daemon->state == DAEMON_READY && running > 0 && now_ms >= daemon->give_up_ms) {
		/* Perhaps in the kernel, on a disk that hangs. Without a bye: nobody may have its build before its lease ends. */
		log_error("processes of attempts cannot be ended", "attempts", LOG_INT((int64_t)running), NULL);
		daemon_set_state(daemon, DAEMON_OVER);
	}
	if (daemon->state == DAEMON_READY && running == 0)
		daemon->drain_deadline_ms = daemon->give_up_ms = INT64_MAX;
	if (daemon->state == DAEMON_READY && running == 0 && !reported_saving(&daemon->reported)) {
		if (daemon->leave_ms == INT64_MAX)
			daemon->leave_ms = now_ms + LEAVE_RELEASE_MS;
		if (all_is_done(daemon) || now_ms >= daemon->leave_ms) {
			daemon_set_state(daemon, DAEMON_LEAVING);
			daemon->leave_ms = now_ms + LEAVE_BYE_MS;
			messages_worker(daemon, "worker.bye", SENT_BYE);
		}
	}
	if (daemon->state == DAEMON_LEAVING && now_ms >= daemon->leave_ms)
		daemon_set_state(daemon, DAEMON_OVER); /* without Kafka: the next hello says it all */
}

static void resend(struct daemon *daemon, int64_t now_ms)
{
	if (daemon->state != DAEMON_READY)
		return;
	for (struct reported_item *item = reported_due(&daemon->reported, now_ms); item != NULL;
		 item = reported_due(&daemon->reported, now_ms))
		commands_send_result(daemon, item);
}

static int64_t earliest(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool may_pack(const struct daemon *daemon)
{
	return daemon->state == DAEMON_READY && !daemon->draining;
}

static int64_t next_due_ms(const struct daemon *daemon, int64_t now_ms)
{
	int64_t due_ms = earliest(attempts_due_ms(daemon), heartbeats_due_ms(daemon));
	due_ms = earliest(due_ms, sender_due_ms(&daemon->sender));
	if (daemon->state == DAEMON_READY)
		due_ms = earliest(due_ms, reported_due_ms(&daemon->reported));
	if (may_pack(daemon))
		due_ms = earliest(due_ms, packer_due_ms(&daemon->packer));
	if (daemon->state == DAEMON_CLEARING)
		due_ms = earliest(due_ms, now_ms + CLEAR_POLL_MS);
	if (daemon->draining)
		due_ms = earliest(due_ms, earliest(daemon->drain_deadline_ms, earliest(daemon->give_up_ms, daemon->leave_ms)));
	return due_ms;
}

static void wait_and_serve(struct daemon *daemon, int child_signals)
{
	size_t count = FIXED_FDS;
	struct pollfd *ready = xcalloc(FIXED_FDS + daemon->held_len, sizeof(*ready));
	struct held **owners = xcalloc(FIXED_FDS + daemon->held_len, sizeof(struct held *));
	ready[0] = (struct pollfd){.fd = mailbox_fd(daemon->mailbox), .events = POLLIN};
	ready[1] = (struct pollfd){.fd = daemon->drain_limited ? -1 : signals_drain_fd(), .events = POLLIN};
	ready[2] = (struct pollfd){.fd = child_signals, .events = POLLIN};
	LIST_FOR_EACH (node, &daemon->held) {
		struct held *held = LIST_ITEM(node, struct held, node);
		short events = child_events(&held->child, attempts_reads(held));
		/* Without events it is left out: a closed end would be ready all the time. */
		ready[count] = (struct pollfd){.fd = events != 0 ? held->child.fd : -1, .events = events};
		owners[count++] = held;
	}
	int left_ms = clock_left_ms(next_due_ms(daemon, clock_boot_ms()));
	int got = poll(ready, (nfds_t)count, left_ms);
	CHECK(got >= 0 || errno == EINTR);
	if (got > 0 && ready[2].revents != 0) {
		struct signalfd_siginfo info;
		while (read(child_signals, &info, sizeof(info)) > 0) {
		}
	}
	/* First of all: a lease may have run out while this process did not run. */
	heartbeats_check(daemon, clock_boot_ms());
	for (size_t i = FIXED_FDS; got > 0 && i < count; i++) {
		if (ready[i].revents != 0)
			attempts_serve(daemon, owners[i]);
	}
	free(ready);
	free(owners);
}

static void loop(struct daemon *daemon, int child_signals)
{
	while (daemon->state != DAEMON_OVER) {
		wait_and_serve(daemon, child_signals);
		take_mail(daemon);
		greet(daemon);
		int64_t now_ms = clock_boot_ms();
		attempts_tick(daemon, now_ms);
		tidying_tick(daemon);
		heartbeats_tick(daemon, now_ms);
		sender_tick(&daemon->sender, now_ms);
		resend(daemon, now_ms);
		if (may_pack(daemon))
			packer_tick(&daemon->packer, now_ms);
		drain(daemon, now_ms);
	}
}

/* After the loop nothing of ours may run. */
static void end_children(struct daemon *daemon)
{
	packer_close(&daemon->packer); /* it ends while we wait for the others */
	attempts_kill_all(daemon, "worker_lost", "the worker ends");
	if (daemon->has_spare)
		child_kill(&daemon->spare);
	int64_t now_ms = clock_boot_ms();
	int64_t deadline_ms = now_ms >= daemon->give_up_ms ? now_ms : now_ms + FENCED_MS;
	while (daemon->held_len > 0 && clock_boot_ms() < deadline_ms) {
		attempts_tick(daemon, clock_boot_ms());
		(void)poll(NULL, 0, 5); /* until they are gone */
	}
	int64_t packer_ms = clock_boot_ms() + PACKER_MS;
	nursery_stop(&daemon->nursery);
	packer_stop(&daemon->packer, packer_ms);
}

/* ---- start and end */

static int open_signals(void)
{
	sigset_t child;
	(void)sigemptyset(&child);                        /* cannot fail */
	(void)sigaddset(&child, SIGCHLD);                 /* as above */
	CHECK(sigprocmask(SIG_BLOCK, &child, NULL) == 0); /* before other threads exist */
	int fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	CHECK(fd >= 0);
	return fd;
}

/* Attempts open it themselves; what is wrong with it the operator hears now. */
static int open_artifacts(struct daemon *daemon, struct error *err)
{
	const char *path = daemon->config->artifacts_dir;
	if (path != NULL && artifact_directory_new(path, &daemon->artifacts, err) < 0)
		return error_prefix(err, "KILN_ARTIFACTS_DIR");
	return 0;
}

static int start(struct daemon *daemon, struct error *err)
{
	const struct executor_config *config = daemon->config;
	struct kafka_settings settings = {.brokers = config->common.kafka_brokers,
									  .properties_file = config->common.kafka_config,
									  .client_id = "kiln-executor"};
	struct kafka_producer_options options = {
		.idempotent = true, .linger_ms = RESULTS_LINGER_MS, .max_queued_messages = MAX_QUEUED};
	if (worker_identity_take(config->state_dir, config->worker_id, &daemon->identity, err) < 0)
		return -1;
	log_set_field("worker_id", daemon->identity.worker_id);
	CHECK(setenv("KILN_WORKER_ID", daemon->identity.worker_id, 1) == 0); /* for the log lines of all that we start */
	if (reported_open(&daemon->reported, config->state_dir, (int)config->resend_ms, err) < 0 ||
		kafka_producer_new(&settings, &options, &daemon->producer, err) < 0 ||
		heartbeats_init(daemon, &settings, err) < 0)
		return -1;
	if (sandbox_find(config->sandbox)->set_up(config, err) < 0 || open_artifacts(daemon, err) < 0)
		return -1;
	agent_offers_find(config, &daemon->offers);
	sender_init(&daemon->sender, daemon->producer, daemon->mailbox);
	if (start_ops(daemon, err) < 0)
		return -1;
	daemon->janitor = janitor_start(config, daemon->artifacts);
	daemon->state_writer = state_writer_start(config->state_dir, daemon->mailbox, daemon->janitor);
	daemon->assignments = assignments_start(&settings, daemon->producer, daemon->identity.worker_id, daemon->mailbox);
	return 0;
}

/* False when the disk hangs: then the threads that wait for it are still there, and what they use must be, too. */
static bool stop_disk_threads(struct daemon *daemon)
{
	int64_t deadline_ms = clock_boot_ms() + THREADS_MS;
	return state_writer_stop(daemon->state_writer, deadline_ms) && janitor_stop(daemon->janitor, deadline_ms);
}

static void stop(struct daemon *daemon)
{
	end_children(daemon);
	ops_server_stop();
	assignments_stop(daemon->assignments);
	bool ended = stop_disk_threads(daemon);
	kafka_producer_free(daemon->producer, FLUSH_MS);
	kafka_producer_free(daemon->heartbeat_producer, 0);
	if (!ended) {
		log_error("executor ends without waiting for its disk any longer", "status", LOG_INT(daemon->exit_status),
				  NULL);
		_exit(daemon->exit_status); /* the state directory's lock goes with the last of the threads */
	}
	artifact_store_free(daemon->artifacts);
	sender_release(&daemon->sender);
	mailbox_free(daemon->mailbox);
	reported_release(&daemon->reported);
	tidying_release(&daemon->tidying);
	worker_identity_release(&daemon->identity);
	agent_offers_release(&daemon->offers);
}

int daemon_run(const struct executor_config *config)
{
	static struct daemon daemon; /* zeroed; as large as the process is long */
	struct error err = ERROR_INIT;
	daemon.config = config;
	daemon.identity.lock_fd = -1;
	daemon.spare_due_ms = daemon.sweep_due_ms = daemon.leave_ms = INT64_MAX;
	daemon.drain_deadline_ms = daemon.give_up_ms = INT64_MAX;
	daemon.read_offset = -1;
	list_init(&daemon.held);
	tidying_init(&daemon.tidying);
	nursery_init(&daemon.nursery);
	packer_init(&daemon.packer);
	(void)gethostname(daemon.hostname, sizeof(daemon.hostname) - 1); /* "" is a name too */
	/* Orphans of a child that died come to us. */
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	int child_signals = open_signals();
	daemon.mailbox = mailbox_new();
	if (start(&daemon, &err) < 0) {
		log_error("cannot start", "error", err.message, NULL);
		return 1;
	}
	loop(&daemon, child_signals);
	if (daemon.has_spare)
		state_writer_clear_spare(daemon.state_writer, (int)daemon.spare.pid);
	int status = daemon.exit_status;
	stop(&daemon);
	(void)close(child_signals); /* a descriptor without content */
	log_info("executor ends", "status", LOG_INT(status), NULL);
	return status;
}
