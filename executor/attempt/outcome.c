#include "executor/attempt/outcome.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/json/json.h"

#define MAX_FILES_CHANGED_BYTES ((size_t)2 * 1024 * 1024)

void outcome_init(struct outcome *outcome)
{
	*outcome = (struct outcome){.completed = true, .started_ms = clock_boot_ms()};
	agent_report_init(&outcome->report);
	buffer_init(&outcome->files_changed, MAX_FILES_CHANGED_BYTES);
	artifact_list_init(&outcome->artifacts);
}

void outcome_release(struct outcome *outcome)
{
	agent_report_release(&outcome->report);
	output_tail_release(&outcome->output);
	buffer_release(&outcome->files_changed);
	artifact_list_release(&outcome->artifacts);
}

int outcome_fail(struct outcome *outcome, const char *error_class, bool retryable, const char *format, ...)
{
	if (!outcome->completed)
		return -1;
	outcome->completed = false;
	outcome->error_class = error_class;
	outcome->retryable = retryable;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(outcome->error_message, sizeof(outcome->error_message), format, args);
	va_end(args);
	return -1;
}

int outcome_cancel(struct outcome *outcome)
{
	return outcome_fail(outcome, "cancelled", false, "cancelled by request");
}

int outcome_fail_git(struct outcome *outcome, const struct error *err)
{
	/* A system call of ours: what a remote says, or has not, is no errno. */
	if (err->sys_errno != 0)
		return outcome_fail(outcome, "internal", true, "%s", err->message);
	switch (err->kind) {
	case ERR_CANCELLED:
		return outcome_cancel(outcome);
	case ERR_DENIED:
		return outcome_fail(outcome, "git_auth", false, "%s", err->message);
	case ERR_CONFLICT:
		return outcome_fail(outcome, "git_conflict", false, "%s", err->message);
	case ERR_INVALID:
	case ERR_NOT_FOUND:
		return outcome_fail(outcome, "git_unreachable", false, "%s", err->message);
	case ERR_TIMEOUT:
	case ERR_UNAVAILABLE:
	case ERR_UNKNOWN:
		return outcome_fail(outcome, "git_unreachable", true, "%s", err->message);
	case ERR_NONE:
	case ERR_LIMIT:
	case ERR_INTERNAL:
		return outcome_fail(outcome, "internal", true, "%s", err->message);
	}
	return outcome_fail(outcome, "internal", true, "%s", err->message);
}

/* Any bytes: git's words, or a message that was cut. */
static void write_masked(struct json_writer *w, const char *key, const char *text, size_t len,
						 const struct secrets *secrets)
{
	CLEANUP(free_p) char *masked = xmemdup(text, len);
	CLEANUP(buffer_release_p) struct buffer clean;
	if (secrets != NULL)
		len = secrets_mask(secrets, masked, len);
	buffer_init(&clean, 3 * len + 1);
	CHECK(str_append_utf8_lossy(&clean, masked, len) == 0);
	json_string_len(w, key, clean.data, clean.len);
}

static void write_result(struct json_writer *w, const struct outcome *outcome)
{
	json_object_begin(w, "result");
	json_bool(w, "success", outcome->completed);
	if (outcome->provider == NULL) {
		json_null(w, "output");
	} else {
		CLEANUP(buffer_release_p) struct buffer text;
		buffer_init(&text, OUTPUT_TAIL_BYTES + 1);
		output_tail_text(&outcome->output, &text);
		write_masked(w, "output", text.data, text.len, outcome->secrets);
	}
	if (outcome->completed) {
		json_null(w, "error");
	} else {
		json_object_begin(w, "error");
		json_string(w, "class", outcome->error_class);
		write_masked(w, "message", outcome->error_message, strlen(outcome->error_message), outcome->secrets);
		json_object_end(w);
	}
	json_string(w, "commit_sha", outcome->completed && outcome->commit_sha[0] != '\0' ? outcome->commit_sha : NULL);
	json_string(w, "branch", outcome->branch[0] != '\0' ? outcome->branch : NULL);
	if (outcome->files_changed.len > 0)
		json_raw_len(w, "files_changed", outcome->files_changed.data, outcome->files_changed.len);
	else
		json_raw(w, "files_changed", "[]");
	json_int(w, "duration_ms", clock_boot_ms() - outcome->started_ms);
	artifact_list_write(w, &outcome->artifacts);
	if (outcome->provider != NULL)
		agent_report_write(w, "agent", outcome->provider, &outcome->report);
	else
		json_null(w, "agent");
	json_raw(w, "pipelines", "[]");
	json_object_end(w);
}

static void write_all(const struct outcome *outcome, struct buffer *out)
{
	struct json_writer w;
	json_writer_init(&w, out);
	json_object_begin(&w, NULL);
	json_string(&w, "outcome",
				outcome->completed                             ? "completed"
				: str_equal(outcome->error_class, "cancelled") ? "cancelled"
															   : "failed");
	json_bool(&w, "published", outcome->published);
	json_bool(&w, "closed", outcome->closed);
	json_bool(&w, "retryable", outcome->retryable);
	write_result(&w, outcome);
	json_string(&w, "fence", outcome->fence[0] != '\0' ? outcome->fence : NULL);
	json_object_end(&w);
}

/* Each part has a bound, and all of them fit. Were one forgotten, the result could never be sent, and the build would
 * never end. Another attempt finds what this one has published. */
static void write_too_large(const struct outcome *outcome, struct buffer *out)
{
	struct outcome bare;
	outcome_init(&bare);
	(void)outcome_fail(&bare, "internal", true, "what the attempt came to is too large to be told"); /* it is set */
	bare.closed = outcome->closed;
	bare.started_ms = outcome->started_ms;
	memcpy(bare.branch, outcome->branch, sizeof(bare.branch));
	memcpy(bare.fence, outcome->fence, sizeof(bare.fence));
	write_all(&bare, out);
	outcome_release(&bare);
}

void outcome_write(const struct outcome *outcome, struct buffer *out)
{
	write_all(outcome, out);
	if (!buffer_ok(out) || out->len > OUTCOME_MAX_BYTES) {
		buffer_clear(out);
		write_too_large(outcome, out);
	}
	CHECK(buffer_ok(out));
}
