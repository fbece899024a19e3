/* What the agent left and the build's globs name, into the artifact store. */
#include "executor/attempt/attempt.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "executor/artifacts/collect.h"

struct globs {
	struct glob *items[FIND_MAX_GLOBS];
	size_t len;
};

static void globs_release(struct globs *globs)
{
	for (size_t i = 0; i < globs->len; i++)
		glob_free(globs->items[i]);
}

static bool was_cancelled(void *ctx)
{
	struct attempt *attempt = ctx;
	return daemon_link_receive(attempt->link);
}

static void say(void *ctx, const char *line)
{
	struct attempt *attempt = ctx;
	attempt_log_kiln(&attempt->log, "%s", line);
}

/* The gateway has checked them; of an older one, each that is none is told. */
static void read_globs(struct attempt *attempt, struct globs *globs)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, attempt->assignment.artifacts)
	{
		struct error err = ERROR_INIT;
		if (!cJSON_IsString(item) || globs->len == FIND_MAX_GLOBS)
			continue;
		if (glob_new(item->valuestring, &globs->items[globs->len], &err) == 0)
			globs->len++;
		else
			attempt_log_kiln(&attempt->log, "artifacts: \"%.512s\" is no glob: %s", item->valuestring, err.message);
	}
}

static void leave_all_out(struct attempt *attempt, const char *reason, const char *detail)
{
	attempt_log_kiln(&attempt->log, "artifacts: %s", detail);
	(void)artifact_list_leave_out(&attempt->outcome.artifacts, NULL, reason, detail); /* it is the first one */
}

static void collect(struct attempt *attempt, const struct globs *globs)
{
	const struct executor_config *config = attempt->config;
	CLEANUP(artifact_store_free_p) struct artifact_store *store = NULL;
	struct error err = ERROR_INIT;
	if (config->artifacts_dir == NULL) {
		leave_all_out(attempt, "no_store", "they are not kept: this worker has no KILN_ARTIFACTS_DIR");
		return;
	}
	if (artifact_directory_new(config->artifacts_dir, &store, &err) < 0) {
		log_error("artifact store", "error", err.message, NULL);
		leave_all_out(attempt, "store_failed", "they are not kept: the artifact store cannot be opened");
		return;
	}
	const struct collect request = {
		.store = store,
		.files = attempt->workspace.files,
		.globs = globs->items,
		.globs_len = globs->len,
		.max_files = (size_t)config->artifacts_max_files,
		.max_file_bytes = config->artifacts_max_file_bytes,
		.max_bytes = config->artifacts_max_bytes,
		.deadline_ms = clock_boot_ms() + config->artifacts_timeout_ms,
		.stop = was_cancelled,
		.say = say,
		.ctx = attempt,
	};
	collect_artifacts(&request, &attempt->outcome.artifacts);
}

void attempt_keep_artifacts(struct attempt *attempt)
{
	CLEANUP(globs_release) struct globs globs = {.len = 0};
	read_globs(attempt, &globs);
	if (globs.len > 0)
		collect(attempt, &globs);
	attempt_mark(attempt, "artifacts kept");
}
