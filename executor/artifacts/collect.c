#include "executor/artifacts/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/fd.h"
#include "common/base/str.h"
#include "executor/agent_files.h"

#define LINE_BYTES (FIND_MAX_PATH + 1024)

struct collection {
	const struct collect *collect;
	struct artifact_list *list;
};

static PRINTF_LIKE(2, 3) void say(const struct collect *collect, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args); /* a long one is cut */
	va_end(args);
	collect->say(collect->ctx, line);
}

static void leave_out(const struct collection *c, const char *path, const char *reason, const char *detail)
{
	if (!artifact_list_leave_out(c->list, path, reason, detail))
		return; /* counted at the end */
	if (path != NULL)
		say(c->collect, "artifact left out: %s: %s", path, detail);
	else
		say(c->collect, "artifacts: %s", detail);
}

static void skipped(void *ctx, const char *path, enum find_skip why)
{
	static const struct {
		const char *reason, *detail;
	} words[] = {
		[FIND_LINK] = {"no_file", "symbolic links are not followed"},
		[FIND_SPECIAL] = {"no_file", "it is no regular file"},
		[FIND_UNREADABLE] = {"unreadable", "the folder cannot be read"},
		[FIND_TOO_DEEP] = {"too_deep", "folders are nested too deep"},
		[FIND_LONG_PATH] = {"bad_name", "its path is too long"},
		[FIND_NOT_UTF8] = {"bad_name", "its path is not UTF-8"},
	};
	leave_out(ctx, path, words[why].reason, words[why].detail);
}

static bool asked_to_stop(void *ctx)
{
	const struct collection *c = ctx;
	return c->collect->stop(c->collect->ctx);
}

const char *collect_reason(const struct error *err)
{
	switch ((int)err->kind) {
	case ERR_LIMIT:
		return "too_large";
	case ERR_TIMEOUT:
		return "timeout";
	case ERR_UNAVAILABLE:
		return "store_failed";
	case ERR_INVALID:
	case ERR_NOT_FOUND:
		return "no_file";
	default:
		return "unreadable";
	}
}

static bool is_own(const char *path)
{
	return str_equal(path, ARTIFACT_COMMIT_BUNDLE) || str_equal(path, ARTIFACT_WORK_PATCH);
}

/* What this one may take. Kiln's own may hold the only copy of a commit: an agent's files do not count against it. */
static int check_size(const struct collection *c, const char *path, int64_t size, int64_t *ret_max_bytes,
					  struct error *err)
{
	int64_t left = is_own(path) ? c->collect->max_file_bytes : c->collect->max_bytes - c->list->bytes;
	*ret_max_bytes = left < c->collect->max_file_bytes ? left : c->collect->max_file_bytes;
	if (size > c->collect->max_file_bytes)
		return error_set(err, ERR_LIMIT, "it has %lld bytes, and an artifact may have %lld", (long long)size,
						 (long long)c->collect->max_file_bytes);
	if (size > left)
		return error_set(err, ERR_LIMIT, "it has %lld bytes, and all artifacts together may have %lld", (long long)size,
						 (long long)c->collect->max_bytes);
	return 0;
}

static int put(const struct collection *c, int fd, const char *path, struct error *err)
{
	struct artifact_limits limits = {
		.deadline_ms = c->collect->deadline_ms, .stop = c->collect->stop, .ctx = c->collect->ctx};
	struct artifact_content content;
	struct stat info;
	if (fstat(fd, &info) < 0)
		return error_set_errno(err, errno, "it cannot be read");
	if (check_size(c, path, info.st_size, &limits.max_bytes, err) < 0 ||
		c->collect->put(c->collect->ctx, fd, &limits, &content, err) < 0)
		return -1;
	if (!artifact_list_add(c->list, path, &content, is_own(path)))
		return error_set(err, ERR_LIMIT, "the list of artifacts has no room for its path");
	return 0;
}

static void keep(const struct collection *c, int root_fd, const char *path)
{
	CLEANUP(close_p) int fd = -1;
	struct error err = ERROR_INIT;
	if (is_own(path)) {
		leave_out(c, path, "reserved", "the name is Kiln's");
		return;
	}
	if ((agent_open_file(root_fd, path, &fd, &err) < 0 || put(c, fd, path, &err) < 0) && err.kind != ERR_CANCELLED)
		leave_out(c, path, collect_reason(&err), err.message);
}

static void tell(const struct collection *c, const struct find *find)
{
	char detail[128];
	if (find->late && !c->collect->stop(c->collect->ctx))
		leave_out(c, NULL, "timeout", "looking for files took too long: there may be more");
	if (find->fitting > find->len) {
		(void)snprintf(detail, sizeof(detail), "%zu files fit; the first %zu, in the order of their paths, are kept",
					   find->fitting, find->len);
		leave_out(c, NULL, "too_many", detail);
	}
	for (size_t i = 0; i < find->globs_len; i++) {
		if (!find->used[i])
			say(c->collect, "artifacts: nothing fits \"%s\"", glob_text(find->globs[i]));
	}
}

void collect_artifacts(const struct collect *collect, struct artifact_list *list)
{
	struct collection c = {collect, list};
	struct error err = ERROR_INIT;
	CLEANUP(close_p) int root_fd = open(collect->files, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct find find = {
		.root_fd = root_fd,
		.globs = collect->globs,
		.globs_len = collect->globs_len,
		.max = collect->max_files,
		.deadline_ms = collect->deadline_ms,
		.stop = asked_to_stop,
		.skipped = skipped,
		.ctx = &c,
	};
	if (root_fd < 0 || find_files(&find, &err) < 0) {
		leave_out(&c, NULL, "unreadable", "the workspace cannot be read");
		return;
	}
	tell(&c, &find);
	for (size_t i = 0; i < find.len && !collect->stop(collect->ctx); i++)
		keep(&c, root_fd, find.paths[i]);
	find_release(&find);
	if (list->left_out_total > list->left_out_named)
		say(collect, "artifacts: %zu more are left out", list->left_out_total - list->left_out_named);
	say(collect, "artifacts: %zu kept, %lld bytes", list->items_len, (long long)list->bytes);
}

int collect_own(const struct collect *collect, int fd, const char *path, struct artifact_list *list, struct error *err)
{
	const struct collection c = {collect, list};
	int rc = put(&c, fd, path, err);
	if (rc == 0)
		say(collect, "artifact kept: %s", path);
	else if (err->kind != ERR_CANCELLED)
		leave_out(&c, path, collect_reason(err), err->message);
	return rc;
}
