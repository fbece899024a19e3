/* files_changed: what the build has changed, in the outcome. */
#include "executor/attempt/attempt.h"

#include <string.h>

#include "executor/git/files_changed.h"

struct count {
	size_t total, listed;
};

static int told(struct attempt *attempt, int rc, const struct count *count, const struct error *err)
{
	if (rc < 0) {
		buffer_clear(&attempt->outcome.files_changed);
		attempt_log_kiln(&attempt->log, "files_changed: %s", err->message);
	} else if (count->listed < count->total) {
		attempt_log_kiln(&attempt->log, "files_changed lists %zu of %zu files", count->listed, count->total);
	}
	return rc;
}

int attempt_files_changed(struct attempt *attempt, const git_oid *from_tree, const git_oid *to_tree)
{
	struct count count = {.total = 0};
	struct error err = ERROR_INIT;
	buffer_clear(&attempt->outcome.files_changed);
	int rc = files_changed_json(attempt->workspace.repo, from_tree, to_tree, &attempt->outcome.files_changed,
								&count.total, &count.listed, &err);
	return told(attempt, rc, &count, &err);
}

struct range {
	git_repository *repo;
	const git_oid *from, *to;
};

/* The list, and behind it its count. */
static int list(void *ctx, struct buffer *out, struct error *err)
{
	const struct range *range = ctx;
	CLEANUP(git_commit_free_p) git_commit *from = NULL;
	CLEANUP(git_commit_free_p) git_commit *to = NULL;
	struct count count = {.total = 0};
	if ((range->from != NULL && git_commit_lookup(&from, range->repo, range->from) < 0) ||
		git_commit_lookup(&to, range->repo, range->to) < 0)
		return git_library_error(err, ERR_INTERNAL, "reading a commit");
	if (files_changed_json(range->repo, from != NULL ? git_commit_tree_id(from) : NULL, git_commit_tree_id(to), out,
						   &count.total, &count.listed, err) < 0)
		return -1;
	return buffer_append(out, &count, sizeof(count)) < 0 ? error_set(err, ERR_LIMIT, "it is too long") : 0;
}

int attempt_files_changed_since(struct attempt *attempt, const git_oid *from, const git_oid *to,
								const struct aside_limits *limits)
{
	struct range range = {.repo = attempt->workspace.repo != NULL ? attempt->workspace.repo : attempt->mirror.repo,
						  .from = from,
						  .to = to};
	struct buffer *out = &attempt->outcome.files_changed;
	struct count count = {.total = 0};
	struct error err = ERROR_INIT;
	buffer_clear(out);
	int rc = aside_run(limits, list, &range, out, &err);
	if (rc == 0) {
		CHECK(out->len >= sizeof(count));
		memcpy(&count, out->data + out->len - sizeof(count), sizeof(count));
		buffer_truncate(out, out->len - sizeof(count));
	}
	return told(attempt, rc, &count, &err);
}
