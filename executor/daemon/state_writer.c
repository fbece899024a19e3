#include "executor/daemon/state_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/queue.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "executor/daemon/orphans.h"
#include "executor/daemon/reported.h"
#include "executor/daemon/worker_identity.h"
#include "executor/trash.h"

#define IDLE_MS 60000

enum job_kind { JOB_SAVE_RESULT, JOB_REMOVE_RESULT, JOB_CLEAR_LEASE, JOB_CLEAR_SPARE };

struct job {
	enum job_kind kind;
	char lease_id[UUID_TEXT_SIZE];
	int pid;
	size_t len;
	char *text;
};

struct state_writer {
	const char *state_dir;
	struct mailbox *mailbox;
	struct janitor *janitor;
	struct queue *jobs;
	_Atomic size_t taken, bytes; /* jobs, and bytes of their texts, with the one at work */
	pthread_t thread;
};

static void job_free(struct job *job)
{
	free(job->text);
	free(job);
}

/* There is room for another one. */
static void give_back(struct state_writer *writer, struct job *job)
{
	(void)atomic_fetch_sub(&writer->bytes, job->len); /* what it was is of no use */
	(void)atomic_fetch_sub(&writer->taken, 1);        /* as above */
	job_free(job);
}

/* ---- the thread */

static int open_results(const struct state_writer *writer, struct error *err)
{
	CLEANUP(free_p) char *path = xasprintf("%s/results", writer->state_dir);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set_errno(err, errno, "%s", path) : fd;
}

static int write_result(const struct state_writer *writer, const struct job *job, struct error *err)
{
	char name[REPORTED_NAME_SIZE];
	reported_file_name(job->lease_id, name);
	CLEANUP(close_p) int results_fd = open_results(writer, err);
	return results_fd < 0 ? -1 : write_file_durably(results_fd, name, job->text, job->len, err);
}

static void save_result(const struct state_writer *writer, const struct job *job)
{
	struct error err = ERROR_INIT;
	struct mail *mail = xcalloc(1, sizeof(*mail));
	mail->kind = MAIL_SAVED;
	memcpy(mail->lease_id, job->lease_id, sizeof(mail->lease_id));
	if (write_result(writer, job, &err) < 0) {
		mail->outcome = err.kind;
		mail->data = xstrdup(err.message);
	}
	mailbox_post(writer->mailbox, mail);
}

static void remove_result(const struct state_writer *writer, const struct job *job)
{
	char name[REPORTED_NAME_SIZE];
	reported_file_name(job->lease_id, name);
	CLEANUP(free_p) char *path = xasprintf("%s/results/%s", writer->state_dir, name);
	(void)unlink(path); /* ENOENT: it was never saved */
}

static void work_on(struct state_writer *writer, const struct job *job)
{
	switch (job->kind) {
	case JOB_SAVE_RESULT:
		save_result(writer, job);
		return;
	case JOB_REMOVE_RESULT:
		remove_result(writer, job);
		return;
	case JOB_CLEAR_LEASE:
		trash_move(writer->state_dir, "work", job->lease_id);
		orphans_remove_lock(writer->state_dir, job->lease_id);
		janitor_wake(writer->janitor);
		return;
	case JOB_CLEAR_SPARE:
		trash_move_spare(writer->state_dir, job->pid);
		janitor_wake(writer->janitor);
		return;
	}
}

static void *work(void *arg)
{
	struct state_writer *writer = arg;
	for (;;) {
		bool last = queue_closed(writer->jobs); /* asked first: then nothing comes behind an empty queue */
		struct job *job = queue_pop(writer->jobs, IDLE_MS);
		if (job == NULL && last)
			return NULL;
		if (job == NULL)
			continue;
		work_on(writer, job);
		give_back(writer, job);
	}
}

/* ---- the main thread */

struct state_writer *state_writer_start(const char *state_dir, struct mailbox *mailbox, struct janitor *janitor)
{
	struct state_writer *writer = xcalloc(1, sizeof(*writer));
	writer->state_dir = state_dir;
	writer->mailbox = mailbox;
	writer->janitor = janitor;
	writer->jobs = queue_new(STATE_WRITER_MAX_JOBS);
	struct error err = ERROR_INIT;
	CHECK(thread_start(&writer->thread, "state-writer", 0, work, writer, &err) == 0);
	return writer;
}

bool state_writer_stop(struct state_writer *writer, int64_t deadline_ms)
{
	queue_close(writer->jobs);
	if (!thread_join_until(writer->thread, deadline_ms))
		return false;
	queue_free(writer->jobs);
	free(writer);
	return true;
}

static bool give(struct state_writer *writer, struct job *job)
{
	const size_t most =
		job->kind == JOB_SAVE_RESULT ? STATE_WRITER_MAX_JOBS : STATE_WRITER_MAX_JOBS - STATE_WRITER_RESULTS_ONLY;
	size_t bytes = atomic_fetch_add(&writer->bytes, job->len) + job->len;
	size_t taken = atomic_fetch_add(&writer->taken, 1) + 1;
	if (bytes <= STATE_WRITER_MAX_BYTES && taken <= most && queue_try_push(writer->jobs, job))
		return true;
	give_back(writer, job);
	return false;
}

static struct job *job_new(enum job_kind kind, const char *lease_id)
{
	struct job *job = xcalloc(1, sizeof(*job));
	job->kind = kind;
	(void)snprintf(job->lease_id, sizeof(job->lease_id), "%s", lease_id);
	return job;
}

bool state_writer_save_result(struct state_writer *writer, const char *lease_id, const char *text, size_t len)
{
	struct job *job = job_new(JOB_SAVE_RESULT, lease_id);
	job->text = xmemdup(text, len);
	job->len = len;
	return give(writer, job);
}

void state_writer_remove_result(struct state_writer *writer, const char *lease_id)
{
	if (!give(writer, job_new(JOB_REMOVE_RESULT, lease_id)))
		log_warn("the disk is far behind: a released result stays", "lease_id", lease_id, NULL);
}

void state_writer_clear_lease(struct state_writer *writer, const char *lease_id)
{
	if (!give(writer, job_new(JOB_CLEAR_LEASE, lease_id)))
		log_warn("the disk is far behind: a workspace stays", "lease_id", lease_id, NULL);
}

void state_writer_clear_spare(struct state_writer *writer, int pid)
{
	struct job *job = job_new(JOB_CLEAR_SPARE, "");
	job->pid = pid;
	(void)give(writer, job); /* most of those who ask are an attempt's orphans, which have none */
}
