#include "executor/git/export.h"

#include <errno.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "executor/git/remote.h"

#define HEAD_BYTES 1024
#define BLOCK_BYTES ((size_t)65536)

/* Where a callback of libgit2 writes, and what stopped it. */
struct sink {
	int fd;
	const struct artifact_limits *limits;
	int64_t bytes;
	struct buffer block; /* not written yet: libgit2 gives a patch in pieces of a line */
	struct error why;    /* ERR_NONE: nothing of ours */
};

static void sink_init(struct sink *sink, int fd, const struct artifact_limits *limits)
{
	*sink = (struct sink){.fd = fd, .limits = limits, .why = ERROR_INIT};
	buffer_init(&sink->block, BLOCK_BYTES);
}

/* Asked in every callback: libgit2 stops at -1. */
static int sink_check(struct sink *sink)
{
	const struct artifact_limits *limits = sink->limits;
	if (sink->bytes > limits->max_bytes)
		return error_set(&sink->why, ERR_LIMIT, "it has more than %lld bytes", (long long)limits->max_bytes);
	if (clock_boot_ms() >= limits->deadline_ms)
		return error_set(&sink->why, ERR_TIMEOUT, "making it took too long");
	if (limits->stop != NULL && limits->stop(limits->ctx))
		return error_set(&sink->why, ERR_CANCELLED, "cancelled");
	return 0;
}

static int write_out(struct sink *sink, const void *data, size_t len)
{
	return fd_write_all(sink->fd, data, len) < 0 ? error_set_errno(&sink->why, errno, "it cannot be written") : 0;
}

static int sink_flush(struct sink *sink)
{
	int rc = write_out(sink, sink->block.data, sink->block.len);
	buffer_clear(&sink->block);
	return rc;
}

static int sink_write(struct sink *sink, const void *data, size_t len)
{
	sink->bytes += (int64_t)len;
	if (sink_check(sink) < 0 || (len > BLOCK_BYTES - sink->block.len && sink_flush(sink) < 0))
		return -1;
	return len > BLOCK_BYTES ? write_out(sink, data, len) : buffer_append(&sink->block, data, len);
}

/* ERR_LIMIT is the caller's limit only. */
static int failed(const struct sink *sink, const char *what, struct error *err)
{
	if (sink->why.kind == ERR_NONE)
		(void)git_library_error(err, ERR_INTERNAL, "%s", what); /* told by its result */
	else
		(void)error_set(err, sink->why.kind, "%s: %s", what, sink->why.message); /* as above */
	if (err->kind == ERR_LIMIT && sink->bytes <= sink->limits->max_bytes)
		err->kind = ERR_UNAVAILABLE;
	return -1;
}

/* Ends what libgit2 has done with the result `rc`. */
static int sink_finish(struct sink *sink, int rc, const char *what, struct error *err)
{
	if (rc != 0 || sink_flush(sink) < 0)
		rc = failed(sink, what, err);
	buffer_release(&sink->block);
	return rc;
}

static int pack_progress(int stage, uint32_t current, uint32_t total, void *payload)
{
	(void)stage;
	(void)current;
	(void)total;
	return sink_check(payload);
}

static int write_pack(void *data, size_t len, void *payload)
{
	return sink_write(payload, data, len);
}

static int write_line(const git_diff_delta *delta, const git_diff_hunk *hunk, const git_diff_line *line, void *payload)
{
	(void)delta;
	(void)hunk;
	bool has_sign = line->origin == GIT_DIFF_LINE_ADDITION || line->origin == GIT_DIFF_LINE_DELETION ||
					line->origin == GIT_DIFF_LINE_CONTEXT;
	if (has_sign && sink_write(payload, &line->origin, 1) < 0)
		return -1;
	return sink_write(payload, line->content, line->content_len);
}

static int bundle(git_packbuilder *pack, git_revwalk *walk, const git_oid *base, const git_oid *commit, const char *ref,
				  struct sink *sink)
{
	CLEANUP(buffer_release_p) struct buffer head;
	char sha[GIT_SHA_SIZE];
	buffer_init(&head, HEAD_BYTES);
	(void)buffer_append_str(&head, "# v2 git bundle\n"); /* all of it fits: a ref has GIT_REF_SIZE bytes */
	if (base != NULL) {
		git_oid_text(base, sha);
		(void)buffer_appendf(&head, "-%s where the build began\n", sha); /* as above */
	}
	git_oid_text(commit, sha);
	(void)buffer_appendf(&head, "%s %s\n\n", sha, ref); /* as above */
	CHECK(buffer_ok(&head));
	if (git_packbuilder_set_callbacks(pack, pack_progress, sink) < 0 || git_revwalk_push(walk, commit) < 0 ||
		(base != NULL && git_revwalk_hide(walk, base) < 0) || git_packbuilder_insert_walk(pack, walk) < 0 ||
		sink_write(sink, head.data, head.len) < 0)
		return -1;
	return git_packbuilder_foreach(pack, write_pack, sink);
}

int export_bundle(git_repository *repo, const git_oid *base, const git_oid *commit, const char *ref, int fd,
				  const struct artifact_limits *limits, struct error *err)
{
	struct sink sink;
	git_packbuilder *pack = NULL;
	git_revwalk *walk = NULL;
	sink_init(&sink, fd, limits);
	int rc = git_packbuilder_new(&pack, repo) < 0 || git_revwalk_new(&walk, repo) < 0
				 ? -1
				 : bundle(pack, walk, base, commit, ref, &sink);
	rc = sink_finish(&sink, rc, "the commit's bundle", err);
	git_revwalk_free(walk);
	git_packbuilder_free(pack);
	return rc;
}

static int print_patch(git_repository *repo, const git_oid *base, const git_oid *commit, struct sink *sink)
{
	CLEANUP(git_commit_free_p) git_commit *old_commit = NULL;
	CLEANUP(git_commit_free_p) git_commit *new_commit = NULL;
	CLEANUP(git_tree_free_p) git_tree *old_tree = NULL;
	CLEANUP(git_tree_free_p) git_tree *new_tree = NULL;
	CLEANUP(git_diff_free_p) git_diff *diff = NULL;
	git_diff_options options;
	CHECK(git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION) == 0);
	options.flags = GIT_DIFF_SHOW_BINARY | GIT_DIFF_IGNORE_SUBMODULES;
	options.id_abbrev = GIT_OID_HEXSZ; /* so that `git apply --3way` finds what was changed */
	if ((base != NULL &&
		 (git_commit_lookup(&old_commit, repo, base) < 0 || git_commit_tree(&old_tree, old_commit) < 0)) ||
		git_commit_lookup(&new_commit, repo, commit) < 0 || git_commit_tree(&new_tree, new_commit) < 0 ||
		git_diff_tree_to_tree(&diff, repo, old_tree, new_tree, &options) < 0)
		return -1;
	return git_diff_print(diff, GIT_DIFF_FORMAT_PATCH, write_line, sink);
}

int export_patch(git_repository *repo, const git_oid *base, const git_oid *commit, int fd,
				 const struct artifact_limits *limits, struct error *err)
{
	struct sink sink;
	sink_init(&sink, fd, limits);
	return sink_finish(&sink, print_patch(repo, base, commit, &sink), "the work as a patch", err);
}
