#include "build-service/assignment.h"

#include "build-service/deadlines.h"
#include "build-service/fields.h"
#include "build-service/releases.h"
#include "common/base/log.h"
#include "common/json/json.h"
#include "common/kafka/topics.h"

enum applied assignment_decide(const struct service *service, const struct transition_context *context,
							   struct build *build, const struct addressee *worker)
{
	char lease_id[UUID_TEXT_SIZE];
	uuid_v4(lease_id);
	const struct occurrence occurrence = {.what = HAPPENED_ASSIGN,
										  .assign = {.lease_id = lease_id,
													 .worker_id = worker->worker_id,
													 .incarnation = worker->incarnation,
													 .epoch = atomic_load(&service->epoch)}};
	return transition_apply(context, build, &occurrence);
}

void assignment_mind(struct service *service, const struct build *build)
{
	struct fencing_token token;
	struct addressee to;
	build_assignee(build, &token, &to);
	deadlines_start(service->deadlines, &token, &to);
}

void assignment_take_row(struct assignment *assignment, const PGresult *rows, int row)
{
	assignment->project_id = pg_text(rows, row, "project_id");
	assignment->project_name = pg_text(rows, row, "project_name");
	assignment->spec = pg_text(rows, row, "spec");
	assignment->git = pg_text(rows, row, "git");
	assignment->base_sha = pg_text(rows, row, "base_sha");
	assignment->branch = pg_text(rows, row, "branch");
	assignment->earlier = pg_text(rows, row, "earlier");
	assignment->settle_end = pg_text(rows, row, "settle_end");
	assignment->traceparent = pg_text(rows, row, "traceparent");
	continued_take_row(&assignment->continued, rows, row);
}

int assignment_write(struct buffer *buf, const struct assignment *assignment)
{
	struct json_writer w;
	json_writer_init(&w, buf);
	json_object_begin(&w, NULL);
	field_write_addressee(&w, &assignment->to);
	fencing_token_write(&w, &assignment->token);
	json_string(&w, "mode", attempt_mode_name(assignment->mode));
	json_object_begin(&w, "project");
	json_string(&w, "id", assignment->project_id);
	json_string(&w, "name", assignment->project_name);
	json_object_end(&w);
	json_raw(&w, "spec", assignment->spec);
	json_raw(&w, "git", assignment->git);
	json_string(&w, "base_sha", assignment->base_sha);
	json_string(&w, "branch", assignment->branch);
	json_raw(&w, "earlier", assignment->earlier);
	json_raw(&w, "settle_end", assignment->mode == MODE_SETTLE ? assignment->settle_end : NULL);
	continued_write(&w, &assignment->continued);
	json_string(&w, "assigned_at", assignment->assigned_at);
	json_object_end(&w);
	return buffer_ok(buf) && buf->len < (size_t)KAFKA_MAX_MESSAGE_BYTES - (size_t)64 * 1024 ? 0 : -1;
}

/* On the producer's thread. */
static void delivered(void *ctx, const struct kafka_delivery *delivery)
{
	if (delivery->outcome != ERR_NONE)
		log_warn("assignment not acknowledged, heartbeats will repeat it", "build_id", deadline_token(ctx)->build_id,
				 "attempt", LOG_INT(deadline_token(ctx)->attempt), "worker_id", deadline_worker(ctx)->worker_id,
				 "reason", delivery->reason, NULL);
	deadline_sent(ctx);
}

/* Whoever was told, or may have been, has its time from then on; `deadline` NULL: it runs already. */
static int produce(struct service *service, const struct assignment *assignment, struct buffer *body,
				   struct deadline *deadline, struct error *err)
{
	buffer_clear(body);
	if (assignment_write(body, assignment) < 0)
		(void)error_set(err, ERR_INVALID, "too large"); /* requests.c refuses such builds */
	else if (commands_send_assign(service->commands, assignment->to.worker_id, body->data, body->len,
								  assignment->traceparent, deadline == NULL ? NULL : delivered, deadline, err) == 0)
		return 0;
	if (deadline == NULL)
		return -1;
	if (err->kind == ERR_LIMIT || err->kind == ERR_UNAVAILABLE) /* for a while */
		deadline_unsent(deadline);
	else
		deadline_sent(deadline);
	return -1;
}

void assignment_send(struct service *service, const struct assignment *assignment, struct buffer *body)
{
	struct error err = ERROR_INIT;
	struct deadline *deadline = deadlines_add(service->deadlines, &assignment->token, &assignment->to);
	if (produce(service, assignment, body, deadline, &err) == 0)
		releases_follow(service->releases, assignment->to.worker_id);
	else
		log_warn("assignment not sent, it will be sent again", "build_id", assignment->token.build_id, "worker_id",
				 assignment->to.worker_id, "error", err.message, NULL);
}

int assignment_send_again(struct service *service, const struct assignment *assignment, struct buffer *body,
						  struct error *err)
{
	struct deadline *deadline = deadlines_again(service->deadlines, assignment->token.lease_id);
	return produce(service, assignment, body, deadline, err);
}
